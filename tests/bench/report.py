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

from tests.bench.lines import Sample
from tests.bench.peers import find_program

PEERS = ("direct", "gateway", "nginx", "Caddy")
_TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)

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


def _at_least(**factors: float) -> Callable[[Medians], bool]:
    return lambda found: all(found["gateway"] >= factor * found[peer] for peer, factor in factors.items())


def _at_most(limit: float) -> Callable[[Medians], bool]:
    return lambda found: found["gateway"] <= limit


ROWS = (
    Row(
        "small",
        "rate",
        "65-byte answers, 32 connections, req/s",
        0,
        "2.5 x Caddy, 0.5 x nginx",
        _at_least(Caddy=2.5, nginx=0.5),
    ),
    Row("64k", "rate", "64 KiB answers, req/s", 0, "0.8 x nginx", _at_least(nginx=0.8)),
    Row("download", "rate", "1 GiB download, MiB/s", 0, "1.0 x nginx", _at_least(nginx=1.0)),
    Row("download", "growth", "its memory, MiB", 1, "< 32 MiB", _at_most(32)),
    Row("upload", "rate", "1 GiB upload, MiB/s", 0, "1.0 x nginx", _at_least(nginx=1.0)),
    Row("upload", "growth", "its memory, MiB", 1, "< 32 MiB", _at_most(32)),
    Row("connections", "rate", "new connection per request, req/s", 0, "0.5 x nginx", _at_least(nginx=0.5)),
    Row("echo", "rate", "WebSocket echo, 64 x 1 KiB, messages/s", 0, "0.7 x nginx", _at_least(nginx=0.7)),
    Row("tunnels", "kib", "5,000 idle tunnels, KiB each", 1, "<= 25 KiB", _at_most(25)),
    Row("latency", "p50", "one connection, p50, us"),
    Row("latency", "p99", "one connection, p99, us"),
    Row("latency", "p50 added", "p50 over direct, us", 0, "<= 150 us", _at_most(150)),
    Row("latency", "p99 added", "p99 over direct, us", 0, "<= 1 ms", _at_most(1000)),
    Row("routes", "rate", "100,000 routes, 65-byte answers, req/s"),
    Row("routes", "loss", "slower than with 4 routes by, %", 1, "<= 5 %", _at_most(5)),
    Row("neighbour", "p99 quiet", "neighbour quiet, p99, us"),
    Row("neighbour", "p99 busy", "neighbour downloads, p99, us"),
    Row("neighbour", "times", "p99 times quiet", 1, "<= 3 x", _at_most(3)),
)


def table(samples: Sequence[Sample]) -> str:
    """Medians in Markdown."""
    lines = [
        "| work | direct | gateway | nginx | Caddy | / nginx | / Caddy | us a unit: gateway, nginx, Caddy | reach | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
    ]
    return "\n".join(lines + [_row(row, found, samples) for row in ROWS if (found := _medians(row, samples))]) + "\n"


def _row(row: Row, found: Medians, samples: Sequence[Sample]) -> str:
    cells = [row.title, *(f"{found[peer]:,.{row.digits}f}" if peer in found else "" for peer in PEERS)]
    cells += [_ratio(row, found, "nginx"), _ratio(row, found, "Caddy"), _cpu(row, samples), row.reach]
    cells.append("" if row.is_reached is None else "reached" if _is_reached(row, found) else "**missed**")
    return "| " + " | ".join(cells) + " |"


def _is_reached(row: Row, found: Medians) -> bool:
    return row.is_reached is not None and row.is_reached(found)


def _ratio(row: Row, found: Medians, peer: str) -> str:
    return f"{found['gateway'] / found[peer]:.2f}" if row.metric == "rate" and peer in found else ""


def _cpu(row: Row, samples: Sequence[Sample]) -> str:
    by_peer = [
        [
            s.cpu_us
            for s in samples
            if (s.line, s.metric, s.peer) == (row.line, row.metric, peer) and s.cpu_us is not None
        ]
        for peer in PEERS[1:]
    ]
    return ", ".join(f"{median(values):,.0f}" for values in by_peer if values)


def _medians(row: Row, samples: Sequence[Sample]) -> Medians:
    chosen = [sample for sample in samples if (sample.line, sample.metric) == (row.line, row.metric)]
    peers = {sample.peer for sample in chosen}
    return {peer: median(sample.value for sample in chosen if sample.peer == peer) for peer in peers}


def machine() -> str:
    """What it was measured on, in one paragraph."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvloop", "httptools"))
    nginx = _said(find_program("nginx"), "-v").removeprefix("nginx version: ")
    caddy, wrk = _said(find_program("caddy"), "version").split()[0], _said(find_program("wrk"), "-v").split()[1]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} x {model[1] if model else platform.machine()}; "
        f"Linux {platform.release()}; Python {platform.python_version()}, {packages}; {nginx}; "
        f"Caddy {caddy}; wrk {wrk}; "
        f"revision {_said('git', 'rev-parse', '--short', 'HEAD')}; "
        f"load before the start {Path('/proc/loadavg').read_text().split()[0]}"
    )


def _said(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603 - the commands are fixed
    return done.stdout.strip().partition("\n")[0]


def to_csv(samples: Sequence[Sample]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Sample))
    writer.writerows(astuple(sample) for sample in samples)
    return stream.getvalue()


def keep(folder: Path, samples: Sequence[Sample], about: str, *, readme: Path | None) -> Path:
    """Write the CSV, and the table into the README of the measurements if it is given; the CSV's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"http-{datetime.now(UTC):%Y-%m-%d}.csv"
    path.write_text(f"# {about}\n{to_csv(samples)}")
    if readme is not None:
        block = f"{about}\n\n{table(samples)}"
        readme.write_text(_TABLE.sub(lambda match: match[1] + block + match[2], readme.read_text()))
    return path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
