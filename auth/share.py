"""A share of the connections to GitLab for callers whom nobody has vouched for yet.

Each kind of stranger has its own, and all of them together leave the rest to people who are in: a flood of made-up
codes or tokens makes its own kind wait, and nobody else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from auth.model import GitLabUnavailable

# Of `auth.circuit.ROOM`, which is 50. A sign-in takes GitLab some 100 ms, so that ten at once are a hundred a
# second: more than any town signs in with in the morning.
SIGN_INS = 10
PROGRAMS = 8  # tokens on ports that nobody knows yet
KNOWN_PROGRAMS = 8  # and those that were good within a day; each is asked about once a minute
PORTAL_TOKENS = 4  # of the portal's API, which lists and sets
SSH_TOKENS = 10  # also the questions about those who are in, which can wait

PATIENCE = 5  # s; a person waits so long for a page, and then is told when to come back


class Share:
    """So many at once."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of them while the block runs. Raises GitLabUnavailable when none comes free in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise GitLabUnavailable("too many strangers want GitLab asked at once", PATIENCE) from exc
        try:
            yield
        finally:
            self._slots.release()
