"""Measures the SSH data plane beside a plain relay of asyncssh: `python -m tests.bench.ssh_bench`, or `make bench-ssh`.

`measurement` says what ROUNDS and LINES do.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.measurement import Measurement, run
from tests.bench.report import DIRECT, GATEWAY, Medians, Report, Row, packages, said
from tests.bench.ssh_lines import IDLE, LINES, Bench
from tests.bench.ssh_peers import CIPHER, Site

PLAIN = "plain relay"


def _at_most(limit: float) -> Callable[[Medians], bool]:
    return lambda found: found[GATEWAY] <= limit


def _at_most_of_plain(factor: float) -> Callable[[Medians], bool]:
    return lambda found: found[GATEWAY] <= factor * found[PLAIN]


def _is_fast(found: Medians) -> bool:
    return found[GATEWAY] >= 1.5 * found[PLAIN] and found[GATEWAY] >= 0.7 * found[DIRECT]


ROWS = (
    Row("download", "cpu", "download, CPU s/GB", 2, "<= 0.5 x plain relay", _at_most_of_plain(0.5)),
    Row("upload", "cpu", "upload, CPU s/GB", 2, "<= 0.5 x plain relay", _at_most_of_plain(0.5)),
    Row("download", "rate", "download, MiB/s", 0, ">= 1.5 x plain relay, >= 0.7 x direct", _is_fast),
    Row("upload", "rate", "upload, MiB/s", 0, ">= 1.5 x plain relay, >= 0.7 x direct", _is_fast),
    Row("download", "reads", "download, reads per MiB", 1),
    Row("download", "writes", "download, writes per MiB", 1),
    Row("upload", "reads", "upload, reads per MiB", 1),
    Row("upload", "writes", "upload, writes per MiB", 1),
    Row("login", "cpu", "login and `true`, CPU ms", 1, "<= 1.0 x plain relay", _at_most_of_plain(1.0)),
    Row("login", "ms", "login and `true`, ms", 0),
    Row("keystroke", "idle", "keystroke idle, p99, ms", 2),
    Row("keystroke", "idle added", "p99 over direct, ms", 2, "<= 2 ms", _at_most(2)),
    Row("keystroke", "busy", "keystroke beside a transfer, p99, ms", 2),
    Row("keystroke", "busy added", "p99 over direct, ms", 2, "<= 20 ms", _at_most(20)),
    Row("idle", "kb", f"{IDLE[GATEWAY]:,} idle connections, kB each", 0, "<= 150 kB", _at_most(150)),
)


def _programs() -> str:
    return f"{packages('uvloop', 'asyncssh', 'cryptography')}; {said('ssh', '-V')}; {CIPHER}"


@contextmanager
def _open(rounds: int) -> Iterator[Bench]:
    with ExitStack() as stack:
        site = Site(stack)
        relays = tuple(stack.enter_context(start()) for start in (site.gateway, site.plain_relay))
        yield Bench(site, relays, rounds)


if __name__ == "__main__":
    sys.exit(run(Measurement(Report("ssh", (PLAIN,), ROWS, _programs), LINES, _open)))
