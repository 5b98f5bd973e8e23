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
AT_ONCE = (
    50  # visitors asked about at a time: a thousand in one moment would each want a connection to Redis and GitLab
)
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
        """One round: each visitor of each host once, of those whose grant is due or whom a token let in.

        An answer about a token is remembered for a minute, which is sooner than a grant is due.
        """
        visits: dict[_Visitor, list[Stream]] = {}
        due: set[_Visitor] = set()
        now = self._clock()
        for stream, forward in self._open.items():
            if forward.grant and forward.route:
                visitor = (forward.grant.session_ref, forward.route.host)
                visits.setdefault(visitor, []).append(stream)
                if forward.token or forward.grant.is_due(now) or not forward.grant.holds(now):
                    due.add(visitor)
        left = iter(due)

        async def ask() -> None:
            for visitor in left:
                await self._recheck_visitor(visits[visitor])

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(due))):
                group.create_task(ask())

    async def _recheck_visitor(self, streams: list[Stream]) -> None:
        held = {stream: forward for stream in streams if (forward := self._open.get(stream))}
        if not held:
            return
        answer = await self._rules.recheck(next(iter(held.values())))
        for stream, forward in held.items():
            if self._open.get(stream) is not forward:
                continue  # it ended meanwhile
            match answer:
                case Grant():
                    self._open[stream] = replace(forward, grant=answer)
                case Denied():
                    self._close(stream)
                case Unavailable() if forward.grant and not forward.grant.holds(self._clock()):
                    self._close(stream)  # like any grant that nobody could renew

    def _close(self, stream: Stream) -> None:
        self.discard(stream)
        stream.revoke()
