"""What a person sees of it."""

from dataclasses import replace

import pytest

from gateway.telemetry.slowest import KEPT, Slow, SlowRequest
from gateway.top.figures import Around, Figures, Http, Process, Ssh
from gateway.top.screen import draw

REQUEST = SlowRequest(
    seconds=12.3456, method="GET", workspace="apple", port=3000, path="/report", status=200, code="", request_id="ab"
)
FIGURES = Figures(
    Process("0.1.0", True, 2, 7300, 0.42, 181_000_000, 0.123, 0.02),  # noqa: FBT003 - the fields in their order
    Http(123.4, 100, 20, 3, 0.5, 1_234, 98_765_432, 0.005, 1, 312, 104, 96, 40, 0, 2),
    Ssh(23, 1, 31, 0.1, 0, 12, 34, 2),
    Around(0.8, 0, 0.12, 0.1, 0, 120, 40, 95, 0),
    Slow(ended=(REQUEST,), open=(replace(REQUEST, status=0, path="/hangs"),)),
)

SCREEN = """\
workspaces gateway 0.1.0: ready, 2 workers, up 2.0 h
process  42 % of a core   181 MB memory   12 % of descriptors   loop late 20 ms (p99)

http     123.4 requests/s   workspaces 100.0   portal 20.0   4xx 3.0   5xx 0.5   p50 5 ms   p99 1 s
         in 1.2 KB/s   out 99 MB/s   312 clients   104 WebSockets   upstream 96 busy, 40 idle   turned away 2.0/s
ssh      23 sessions   1 logging in   31 channels   in 12 B/s   out 34 B/s   0.1 logins/s   refused 0.0   2 banned
gitlab   0.8 calls/s   failed 0.0   p90 120 ms   0.1 sign-ins/s   failed 0.0
routes   120 hosts   40 workspaces   heard of 1.6 min ago

Under way for longest:
seconds  status  method  workspace  port  path
 12.346  -       GET     apple      3000  /hangs

Slowest of the last five minutes:
seconds  status  method  workspace  port  path
 12.346  200     GET     apple      3000  /report
"""


def test_a_screen_says_it_in_units_that_people_read() -> None:
    """Each line about one thing."""
    assert draw(FIGURES, columns=200, rows=50) == SCREEN.splitlines()


@pytest.mark.parametrize("rows", [20, 24, 40])
@pytest.mark.parametrize("columns", [20, 80])
def test_it_fits_the_terminal(rows: int, columns: int) -> None:
    """With the line of the cursor."""
    crowded = replace(FIGURES, slow=Slow((REQUEST,) * KEPT, (REQUEST,) * KEPT))
    lines = draw(crowded, columns, rows)

    assert len(lines) < rows
    assert max(map(len, lines)) <= columns


def test_a_path_cannot_steer_the_terminal() -> None:
    """It is a stranger's, who may have put an escape sequence into it."""
    hostile = replace(REQUEST, path="/\x1b[2J\x9b31m\u202e")
    lines = draw(replace(FIGURES, slow=Slow((hostile,))), columns=200, rows=40)

    assert lines[-1].endswith("/?[2J?31m?")
    assert all(line.isprintable() for line in lines)
