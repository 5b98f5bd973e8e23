"""Which requests were the slowest lately, for people who look: a few, found without work for those that are quick.

A request is looked at only if it took longer than the least of those that are kept. Paths come without queries.
"""

import json
import time
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from heapq import nlargest

KEPT = 20  # requests: what fits on a screen
WINDOW_SECONDS = 300.0  # for which one is kept: what happens now, and what somebody has just complained about
PATH_MAX = 200  # characters: enough to recognise it


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """A request that has ended, or is still under way."""

    seconds: float
    method: str
    workspace: str
    """Its name; empty where the gateway or its portal answered."""
    port: int
    path: str
    status: int
    """0 while there is no answer."""
    code: str
    """Of the gateway's own answer, or how it broke off."""
    request_id: str


@dataclass(frozen=True, slots=True)
class Slow:
    """What one process found slow, or several together; the slowest first."""

    ended: tuple[SlowRequest, ...] = ()
    """Of the last minutes."""
    open: tuple[SlowRequest, ...] = ()
    """Under way now, event streams and downloads too."""


class Slowest:
    """Keeps the slowest requests of the last minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.least = 0.0
        """Seconds; one that took no longer is not among them."""
        self._clock = clock
        self._kept: list[tuple[float, float, SlowRequest]] = []
        """By duration, the quickest first; with the time at which each ended."""

    def add(self, request: SlowRequest) -> None:
        """A request has ended that took longer than `least`."""
        self.expire()
        insort(self._kept, (request.seconds, self._clock(), request), key=lambda kept: kept[0])
        del self._kept[:-KEPT]
        self._find_least()

    def expire(self) -> None:
        """Forget what is too long ago; to be called now and then, for room is made by it."""
        since = self._clock() - WINDOW_SECONDS
        self._kept = [kept for kept in self._kept if kept[1] > since]
        self._find_least()

    def requests(self) -> tuple[SlowRequest, ...]:
        """The slowest first."""
        self.expire()
        return tuple(request for _, _, request in reversed(self._kept))

    def _find_least(self) -> None:
        self.least = self._kept[0][0] if len(self._kept) == KEPT else 0.0


def write_slow(slow: Slow) -> bytes:
    """As JSON, by the names of the fields."""
    return json.dumps(asdict(slow)).encode()


def read_slow(told: bytes) -> Slow:
    """What `write_slow` wrote, in another process."""
    record = json.loads(told)
    ended, under_way = (tuple(SlowRequest(**request) for request in record[when]) for when in ("ended", "open"))
    return Slow(ended, under_way)


def merge_slow(reports: Iterable[bytes]) -> bytes:
    """The slowest of several processes."""
    told = [read_slow(report) for report in reports]
    return write_slow(
        Slow(
            ended=_slowest(request for slow in told for request in slow.ended),
            open=_slowest(request for slow in told for request in slow.open),
        )
    )


def _slowest(requests: Iterable[SlowRequest]) -> tuple[SlowRequest, ...]:
    return tuple(nlargest(KEPT, requests, key=lambda request: request.seconds))
