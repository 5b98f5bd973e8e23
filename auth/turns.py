"""Lets so many ask GitLab at once as its circuit has room for; the others wait in the order of their coming.

Nobody waits for long: who would is told when to come back, and all of them at once when GitLab fails.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from auth.circuit import Circuit

WAITING_MAX = 1000  # at once; with 50 questions of 100 ms at a time, the last of them waits two seconds
PATIENCE = 5  # s; a person waits so long for a page


class Turns:
    """One turn for each question."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._inside = 0
        self._opening = circuit.openings
        self._waiting: dict[asyncio.Future[None], None] = {}

    def __repr__(self) -> str:
        return f"<Turns inside={self._inside} waiting={len(self._waiting)} {self._circuit!r}>"

    @asynccontextmanager
    async def turn(self, asker: str) -> AsyncIterator[int]:
        """The right to ask while the block runs; its value names the circuit's opening that it belongs to.

        Raises GitLabUnavailable for whoever may not ask, or not soon.
        """
        self._circuit.check(asker)
        opening = self._circuit.openings
        if self._inside_now() < self._circuit.room:
            self._inside += 1
        else:
            await self._wait()
        try:
            self._circuit.check(asker)  # again: much may have happened while it waited
            yield opening
        finally:
            self._leave(opening)

    def _inside_now(self) -> int:
        """Questions from before the last opening count no more: a silent GitLab holds them until they time out."""
        if self._opening != self._circuit.openings:
            self._opening, self._inside = self._circuit.openings, 0
        return self._inside

    async def _wait(self) -> None:
        if self._circuit.is_probing or len(self._waiting) >= WAITING_MAX:
            raise self._circuit.refuse("too many want GitLab asked at once")
        place = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        opening = self._circuit.openings
        try:
            async with asyncio.timeout(PATIENCE):
                await place
        except TimeoutError as exc:
            self._hand_back(place, opening)
            raise self._circuit.refuse("too many want GitLab asked at once") from exc
        except asyncio.CancelledError:
            self._hand_back(place, opening)
            raise

    def _hand_back(self, place: asyncio.Future[None], opening: int) -> None:
        """Whoever gives up may have been given a turn at the same moment."""
        if place in self._waiting:
            del self._waiting[place]
        elif not place.cancelled() and place.exception() is None:
            self._leave(opening)

    def _leave(self, opening: int) -> None:
        if opening == self._circuit.openings:
            self._inside -= 1
        if self._circuit.is_pausing or self._circuit.is_probing:
            self._send_away()
        else:
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside_now() < self._circuit.room:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                self._inside += 1
                place.set_result(None)

    def _send_away(self) -> None:
        for place in self._waiting:
            if not place.done():
                place.set_exception(self._circuit.refuse("GitLab fails and is spared for a while"))
        self._waiting.clear()
