"""The measured samples as a table for people and a CSV for programs, and whether each line is within reach."""

import csv
import io
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

DIRECT, GATEWAY = "direct", "gateway"
_COMPARED = frozenset(("rate", "cpu"))  # metrics of which the gateway's share of the others' says something


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured figure."""

    line: str
    metric: str
    peer: str
    round: int
    value: float
    cpu_us: float | None = None
    """Processor time of the proxy per unit of work, in microseconds: what remains true on a busy machine."""


Medians = dict[str, float]
"""By peer, for one row."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a metric of a line, and what the gateway is to reach in it."""

    line: str
    metric: str
    title: str
    digits: int = 0
    reach: str = ""
    is_reached: Callable[[Medians], bool] | None = None


@dataclass(frozen=True)
class Report:
    """How the samples of one measurement are told."""

    name: str
    """Of its CSV, and of its place in the README."""
    proxies: tuple[str, ...]
    """Beside which the gateway is measured."""
    rows: tuple[Row, ...]
    programs: Callable[[], str]
    """What is measured, with versions."""
    tells_cpu: bool = False
    """Whether the samples say what a unit of work cost."""

    @property
    def peers(self) -> tuple[str, ...]:
        return (DIRECT, GATEWAY, *self.proxies)


def table(report: Report, samples: Sequence[Sample]) -> str:
    """Medians in Markdown."""
    heads = ["work", *report.peers, *(f"/ {proxy}" for proxy in report.proxies)]
    if report.tells_cpu:
        heads.append(f"us a unit: {', '.join((GATEWAY, *report.proxies))}")
    rule = ["---", *["--:"] * (len(heads) - 1), "---", "---"]
    lines = [f"| {' | '.join(heads)} | reach | |", f"|{'|'.join(rule)}|"]
    rows = [_row(report, row, found, samples) for row in report.rows if (found := _medians(row, samples))]
    return "\n".join(lines + rows) + "\n"


def _row(report: Report, row: Row, found: Medians, samples: Sequence[Sample]) -> str:
    cells = [row.title, *(f"{found[peer]:,.{row.digits}f}" if peer in found else "" for peer in report.peers)]
    cells += [_ratio(row, found, proxy) for proxy in report.proxies]
    if report.tells_cpu:
        cells.append(_cpu(report, row, samples))
    cells += [row.reach, "" if row.is_reached is None else "reached" if row.is_reached(found) else "**missed**"]
    return "| " + " | ".join(cells) + " |"


def _ratio(row: Row, found: Medians, peer: str) -> str:
    return f"{found[GATEWAY] / found[peer]:.2f}" if row.metric in _COMPARED and peer in found else ""


def _cpu(report: Report, row: Row, samples: Sequence[Sample]) -> str:
    by_peer = [
        [
            s.cpu_us
            for s in samples
            if (s.line, s.metric, s.peer) == (row.line, row.metric, peer) and s.cpu_us is not None
        ]
        for peer in (GATEWAY, *report.proxies)
    ]
    return ", ".join(f"{median(values):,.0f}" for values in by_peer if values)


def _medians(row: Row, samples: Sequence[Sample]) -> Medians:
    chosen = [sample for sample in samples if (sample.line, sample.metric) == (row.line, row.metric)]
    peers = {sample.peer for sample in chosen}
    return {peer: median(sample.value for sample in chosen if sample.peer == peer) for peer in peers}


def machine(programs: str) -> str:
    """What it was measured on, in one paragraph."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} x {model[1] if model else platform.machine()}; "
        f"Linux {platform.release()}; Python {platform.python_version()}, {programs}; "
        f"revision {said('git', 'rev-parse', '--short', 'HEAD')}; "
        f"load before the start {Path('/proc/loadavg').read_text().split()[0]}"
    )


def packages(*names: str) -> str:
    """Python's, with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def said(*command: str) -> str:
    """The first line that a program says."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603 - the commands are fixed
    return done.stdout.strip().partition("\n")[0]


def to_csv(samples: Sequence[Sample]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Sample))
    writer.writerows(astuple(sample) for sample in samples)
    return stream.getvalue()


def keep(report: Report, folder: Path, samples: Sequence[Sample], about: str, *, readme: Path | None) -> Path:
    """Write the CSV, and the table into the README of the measurements if it is given; the CSV's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}-{datetime.now(UTC):%Y-%m-%d}.csv"
    path.write_text(f"# {about}\n{to_csv(samples)}")
    if readme is not None:
        block = f"{about}\n\n{table(report, samples)}"
        place = re.compile(rf"(<!-- {report.name} -->\n).*?(<!-- end of {report.name} -->)", re.DOTALL)
        readme.write_text(place.sub(lambda match: match[1] + block + match[2], readme.read_text()))
    return path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
