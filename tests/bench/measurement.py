"""One run of a measurement: line by line, round by round, and what is kept of it.

ROUNDS=n changes the number of rounds (5), LINES=a,b chooses lines. A whole run of at least five rounds is kept under
tests/bench/results and in the README; anything shorter goes to tests/output.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar

from tests.bench.process import LOAD_CORE, ROOT
from tests.bench.report import Report, Sample, keep, machine, say, table

ROUNDS_MIN = 5
INTERRUPTED = 130  # as a shell says it of a program that Ctrl-C ended

BenchType = TypeVar("BenchType")


@dataclass(frozen=True)
class Measurement(Generic[BenchType]):
    """What is measured, and how it is told."""

    report: Report
    lines: Mapping[str, Callable[[BenchType], Iterator[Sample]]]
    open: Callable[[int], AbstractContextManager[BenchType]]
    """Starts everything that runs while the lines are measured, for so many rounds."""


def run(measurement: Measurement[BenchType]) -> int:
    """Measure what was asked for; 0 if every line could be measured."""
    try:
        return _run(measurement)
    except KeyboardInterrupt:
        return INTERRUPTED  # everything started has ended by now


def _run(measurement: Measurement[BenchType]) -> int:
    report, lines = measurement.report, measurement.lines
    rounds, chosen = int(os.environ.get("ROUNDS") or ROUNDS_MIN), _chosen(lines, os.environ.get("LINES", ""))
    about = machine(report.programs())
    say(about)
    os.sched_setaffinity(0, {LOAD_CORE})
    signal.signal(signal.SIGTERM, _end)
    samples: list[Sample] = []
    failed = []
    with measurement.open(rounds) as bench:
        for name in chosen:
            started = time.monotonic()
            try:
                samples += lines[name](bench)
            except (RuntimeError, OSError) as exc:
                failed.append(name)
                say(f"{name}: failed: {exc!r}")
            say(f"{name}: {time.monotonic() - started:.0f} s")
    is_whole = list(chosen) == list(lines) and rounds >= ROUNDS_MIN and not failed
    folder = ROOT / "tests" / "bench" / "results" if is_whole else ROOT / "tests" / "output"
    readme = ROOT / "tests" / "bench" / "README.md" if is_whole else None
    path = keep(report, folder, samples, f"{about}; {rounds} rounds", readme=readme)
    say(f"\n{table(report, samples)}\n{path.relative_to(ROOT)}")
    return 1 if failed else 0


def _chosen(lines: Mapping[str, object], text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else tuple(lines)
    unknown = set(names) - lines.keys()
    if unknown:
        raise SystemExit(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(lines)}")
    return names


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # so that everything started is ended on the way out
