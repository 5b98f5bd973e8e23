"""Decisions that were made before and still hold: the same browser, the same host, nothing changed since.

Only what depends on nothing but host and cookies is kept: safe requests of somebody who holds a grant. Whatever could
make a decision wrong (a change of the table, a sign-out, GitLab's no) forgets all of them, and each is forgotten by
itself when its grant is due.
"""

from collections.abc import Callable

from auth.model import CLOCK_SKEW
from gateway.http.decision import Forward
from gateway.http.entrance import RESERVED
from gateway.http.headers import RequestHead
from gateway.http.token_gate import TOKEN
from gateway.telemetry.metrics import Metrics

HELD_MAX = 10_000  # browsers times hosts, about 2 KiB each; when it is full it starts again from nothing
_SAFE = frozenset((b"GET", b"HEAD"))


class Recall:
    """Remembers who was let in where."""

    def __init__(self, clock: Callable[[], float], metrics: Metrics) -> None:
        self._clock = clock
        self._hits = metrics.http_grant_memory.labels("hit")
        self._misses = metrics.http_grant_memory.labels("miss")
        self._held: dict[tuple[str, bytes], tuple[Forward, float, float]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, head: RequestHead) -> Forward | None:
        """How a request like this one was passed on, if that still holds."""
        held = self._held.get((head.host, head.get(b"cookie")))
        if held is None or not _is_plain(head) or not held[1] <= self._clock() < held[2]:
            return None
        self._hits.value += 1
        return held[0]

    def put(self, head: RequestHead, forward: Forward) -> None:
        """Remember a decision until its grant is due."""
        grant = forward.grant
        if grant is None or not _is_plain(head):
            return
        self._misses.value += 1
        if len(self._held) >= HELD_MAX:
            self._held.clear()
        self._held[head.host, head.get(b"cookie")] = (forward, grant.issued - CLOCK_SKEW, grant.due)

    def forget(self) -> None:
        """Something changed that might make a decision wrong."""
        self._held.clear()


def _is_plain(head: RequestHead) -> bool:
    return (
        head.method in _SAFE and not head.upgrade and TOKEN not in head.named and not head.target.startswith(RESERVED)
    )
