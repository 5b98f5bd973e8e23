"""Everything that is open towards a workspace, and who is in it: whoever was let in is asked about again.

A stream is closed as soon as the gateway knows that its visitor would not be let in any more. Whatever might change
that (the table, a sign-out, GitLab's no) only stirs; the answer comes from the same rules as for a new request.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from auth.model import Denied, Grant, Unavailable
from auth.steady import SteadyClock
from gateway.http.decision import Forward

STIR_SECONDS = 0.1  # a burst of changes is looked at once; well within the second in which a stream must be closed
ROUND_SECONDS = 15  # between two rounds; GitLab is asked at most every five minutes about each visitor
_WAKE_SECONDS = 1.0  # between looks at the clock, which may be set meanwhile

_Visitor = tuple[str, str]
"""Session and host: what one answer is about."""


class Stream(Protocol):
    """An exchange or a tunnel."""

    def revoke(self) -> None:
        """Close it now."""


class Rules(Protocol):
    """What decides, as far as open streams ask it."""

    def is_allowed(self, forward: Forward) -> bool:
        """Whether a request that was let in like this would be let in now, by what is known here."""

    async def recheck(self, forward: Forward) -> Grant | Denied | Unavailable:
        """The visitor's grant renewed, as of now or of the last five minutes, or why it cannot be."""


class Streams:
    """Every open exchange and tunnel of the HTTP door, by what let its visitor in."""

    def __init__(self, rules: Rules, clock: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._clock = clock
        self._open: dict[Stream, Forward] = {}
        self._is_stirred = False

    def __repr__(self) -> str:
        return f"<Streams open={len(self._open)}>"

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: Stream, forward: Forward) -> None:
        self._open[stream] = forward

    def discard(self, stream: Stream) -> None:
        self._open.pop(stream, None)

    def stir(self) -> None:
        """Somebody may have lost a right: look through all streams in a moment."""
        if self._open and not self._is_stirred:
            self._is_stirred = True
            asyncio.get_running_loop().call_later(STIR_SECONDS, self.close_stale)

    def close_stale(self) -> None:
        """Close every stream whose visitor would not be let in now, and no other."""
        self._is_stirred = False
        for stream, forward in tuple(self._open.items()):
            if not self._rules.is_allowed(forward):
                self._close(stream)

    async def watch(self) -> None:
        """Ask about the visitors of open streams again and again, for ever."""
        clock = SteadyClock(self._clock)
        due = clock() + ROUND_SECONDS
        while True:
            await asyncio.sleep(_WAKE_SECONDS)
            if clock() >= due:
                await self.recheck()
                due = clock() + ROUND_SECONDS

    async def recheck(self) -> None:
        """One round: each visitor of each host once."""
        visitors = {visitor: forward for forward in self._open.values() if (visitor := _visitor(forward))}
        async with asyncio.TaskGroup() as group:
            for visitor, forward in visitors.items():
                group.create_task(self._recheck_visitor(visitor, forward))

    async def _recheck_visitor(self, visitor: _Visitor, forward: Forward) -> None:
        answer = await self._rules.recheck(forward)
        for stream, held in self._of(visitor):
            match answer:
                case Grant():
                    self._open[stream] = replace(held, grant=answer)
                case Denied():
                    self._close(stream)
                case Unavailable() if held.grant and not held.grant.holds(self._clock()):
                    self._close(stream)  # like any grant that nobody could renew

    def _of(self, visitor: _Visitor) -> tuple[tuple[Stream, Forward], ...]:
        return tuple(item for item in self._open.items() if _visitor(item[1]) == visitor)

    def _close(self, stream: Stream) -> None:
        self.discard(stream)
        stream.revoke()


def _visitor(forward: Forward) -> _Visitor | None:
    return (forward.grant.session_ref, forward.route.host) if forward.grant and forward.route else None
