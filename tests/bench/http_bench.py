"""Measures the HTTP data plane beside nginx and Caddy: `python -m tests.bench.http_bench`, or `make bench-http`.

ROUNDS=n changes the number of rounds (5), LINES=a,b chooses lines. A whole run of at least five rounds is kept under
tests/bench/results and in the README; anything shorter goes to tests/output.
"""

import os
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType

from tests.bench.lines import LINES, Bench, Sample
from tests.bench.peers import LOAD_CORE, ROOT, Site, find_program
from tests.bench.report import keep, machine, say, table

ROUNDS_MIN = 5


def main() -> int:
    """Measure what was asked for; 0 if every line could be measured."""
    rounds, chosen = int(os.environ.get("ROUNDS") or ROUNDS_MIN), _chosen(os.environ.get("LINES", ""))
    for program in ("nginx", "wrk", "caddy"):
        find_program(program)
    about = machine()
    say(about)
    os.sched_setaffinity(0, {LOAD_CORE})
    signal.signal(signal.SIGTERM, _end)
    samples: list[Sample] = []
    failed = []
    with ExitStack() as stack:
        site = Site(stack)
        proxies = tuple(stack.enter_context(start()) for start in (site.gateway, site.nginx, site.caddy))
        bench = Bench(site, proxies, rounds)
        for name in chosen:
            started = time.monotonic()
            try:
                samples += LINES[name](bench)
            except (RuntimeError, OSError) as exc:
                failed.append(name)
                say(f"{name}: failed: {exc!r}")
            say(f"{name}: {time.monotonic() - started:.0f} s")
    is_whole = list(chosen) == list(LINES) and rounds >= ROUNDS_MIN and not failed
    folder = ROOT / "tests" / "bench" / "results" if is_whole else ROOT / "tests" / "output"
    readme = ROOT / "tests" / "bench" / "README.md" if is_whole else None
    path = keep(folder, samples, f"{about}; {rounds} rounds", readme=readme)
    say(f"\n{table(samples)}\n{path.relative_to(ROOT)}")
    return 1 if failed else 0


def _chosen(text: str) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else tuple(LINES)
    unknown = set(names) - LINES.keys()
    if unknown:
        raise SystemExit(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    return names


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # so that everything started is ended on the way out


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # everything started has ended by now
