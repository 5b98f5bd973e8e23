"""Asks GitLab again about those who are in, so that whoever loses the right to a workspace loses the session too."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from auth.model import Denied, Granted, Unavailable, Verdict
from gateway.telemetry.crash import describe_crash
from gateway.telemetry.log import Log

WITHDRAWN = "Access to the workspace was withdrawn"

_SPREAD = 0.2  # of the interval: those who all came back after a restart are not all asked about in one moment
_REFUSALS = 2  # one may be the hiccup of a GitLab that is being upgraded; two, minutes apart, are an answer


@dataclass(frozen=True, slots=True)
class Entry:
    """How somebody came to be in a workspace."""

    ask: Callable[[], Awaitable[Verdict]]
    """Has GitLab itself say whether that still leads in, and not what is remembered of it."""


class Recheck:
    """Watches over entries."""

    def __init__(self, interval: float, log: Log, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives a number from 0 to 1, as `random` does: no secret comes of it."""
        self._chance = chance
        self._interval = interval
        self._log = log

    def adopt(self, interval: float) -> None:
        """Ask at this interval, once the wait that has begun is over."""
        self._interval = interval

    async def wait_withdrawn(self, entry: Entry) -> None:
        """Returns once the entry was definitely refused; a GitLab that does not answer refuses nothing."""
        refusals = 0
        early = _SPREAD * self._chance()
        while refusals < _REFUSALS:
            await asyncio.sleep(self._interval * (1 - early))
            is_refused = await self._ask(entry)
            if is_refused is not None:
                refusals = refusals + 1 if is_refused else 0

    async def _ask(self, entry: Entry) -> bool | None:
        """None if nobody could say."""
        try:
            verdict = await entry.ask()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is no reason to end somebody's work
            self._log.warning("ssh.recheck_failed", crash=describe_crash(exc))
            return None
        match verdict:
            case Unavailable():
                return None
            case Denied():
                return True
            case Granted():
                return False
