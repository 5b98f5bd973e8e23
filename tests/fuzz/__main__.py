# ruff: noqa: T201 - what a person waits for is printed
"""`make fuzz`: searches all targets, or those named, for inputs that break them; says how far it is, and what it found.

    python -m tests.fuzz SECONDS [TARGET...]

SECONDS are those of the whole, shared by the targets, of which as many run at once as there are processors. What grows
is kept in tests/output/fuzz, so that the next search goes on from there. Ends with 1 if something was found.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.catalogue import TARGETS

OUTPUT = Path("tests/output/fuzz")
START_SECONDS = 4  # until a target is ready: a process, its imports and their instrumentation
BROKEN = ("crash-*", "timeout-*", "oom-*")
STATUS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+)", re.MULTILINE)
RAISED = re.compile(r"=== Uncaught Python exception: ===\n(.*?)(?:^==\d+== ERROR|\Z)", re.MULTILINE | re.DOTALL)
TAIL = 20  # lines that say why a search ended, where nothing was raised


@dataclass(frozen=True)
class Outcome:
    """How the search of one target ended."""

    target: str
    inputs: int
    reached: int
    """Edges of our code."""
    found: tuple[Path, ...]
    last_words: str
    """Of a search that found something, or could not go on."""

    def __str__(self) -> str:
        verdict = "broken" if self.last_words else "holds"
        return f"{self.target:<16} {verdict:<7} {self.inputs:>9} inputs, {self.reached:>5} edges"


def search(target: str, seconds: int) -> Outcome:
    folder = OUTPUT / target
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "tests.fuzz.explore", target, str(folder), str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - ourselves
    told = STATUS.findall(done.stderr)
    inputs, reached = map(int, told[-1]) if told else (0, 0)
    raised = RAISED.search(done.stdout + done.stderr)  # atheris says it on the one, libFuzzer all else on the other
    said = raised[1].strip() if raised else "\n".join(done.stderr.splitlines()[-TAIL:])
    found = tuple(path for pattern in BROKEN for path in folder.glob(pattern))
    return Outcome(target, inputs, reached, found, said if done.returncode else "")


def search_all(targets: list[str], seconds: int) -> Iterator[Outcome]:
    """One after the other as they end."""
    at_once = min(os.cpu_count() or 1, len(targets))
    each = max(1, seconds * at_once // len(targets) - START_SECONDS)
    print(f"{len(targets)} targets, {at_once} at once, {each} seconds each", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda target: search(target, each), targets)


def main(argv: list[str]) -> int:
    seconds, targets = int(argv[0]), argv[1:] or list(TARGETS)
    if unknown := [target for target in targets if target not in TARGETS]:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    began, outcomes = time.monotonic(), []
    for number, outcome in enumerate(search_all(targets, seconds), 1):
        outcomes.append(outcome)
        print(f"[{number}/{len(targets)}] {outcome}", flush=True)
    broken = [outcome for outcome in outcomes if outcome.last_words]
    for outcome in broken:
        print(f"\n{outcome.target}\n{outcome.last_words}")
        for path in outcome.found:
            print(f"put it where its test reads it: cp {path} tests/fuzz/corpus/{outcome.target}/")
    total = sum(outcome.inputs for outcome in outcomes)
    print(f"\n{len(broken)} of {len(targets)} targets broken, {total} inputs in {time.monotonic() - began:.0f} seconds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
