"""Measures the HTTP data plane beside nginx and Caddy: `python -m tests.bench.http_bench`, or `make bench-http`.

ROUNDS=n changes the number of rounds (5), LINES=a,b chooses lines. A whole run of at least five rounds is kept under
tests/bench/results and in the README; anything shorter goes to tests/output.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.lines import LINES, Bench
from tests.bench.measurement import Measurement, run
from tests.bench.peers import Site, find_program
from tests.bench.report import GATEWAY, Medians, Report, Row, packages, said


def _at_least(**factors: float) -> Callable[[Medians], bool]:
    return lambda found: all(found[GATEWAY] >= factor * found[peer] for peer, factor in factors.items())


def _at_most(limit: float) -> Callable[[Medians], bool]:
    return lambda found: found[GATEWAY] <= limit


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


def _programs() -> str:
    nginx = said(find_program("nginx"), "-v").removeprefix("nginx version: ")
    caddy, wrk = said(find_program("caddy"), "version").split()[0], said(find_program("wrk"), "-v").split()[1]
    return f"{packages('uvloop', 'httptools')}; {nginx}; Caddy {caddy}; wrk {wrk}"


@contextmanager
def _open(rounds: int) -> Iterator[Bench]:
    with ExitStack() as stack:
        site = Site(stack)
        proxies = tuple(stack.enter_context(start()) for start in (site.gateway, site.nginx, site.caddy))
        yield Bench(site, proxies, rounds)


if __name__ == "__main__":
    sys.exit(run(Measurement(Report("http", ("nginx", "Caddy"), ROWS, _programs, tells_cpu=True), LINES, _open)))
