"""Asks the same question once, however many ask it at the same time: single flight. Nothing is remembered after it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from auth.model import GitLabUnavailable

KeyT = TypeVar("KeyT", bound=Hashable)
AnswerT = TypeVar("AnswerT")


class Flights(Generic[KeyT, AnswerT]):
    """Questions under way. A key must hold no secret."""

    def __init__(self) -> None:
        self._under_way: dict[KeyT, asyncio.Future[AnswerT | GitLabUnavailable | None]] = {}

    def __repr__(self) -> str:
        return f"<Flights {len(self._under_way)}>"

    async def join(self, key: KeyT, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """The answer of whoever asks already, or one's own.

        An outage is everybody's. What else goes wrong for the one who asks, such as leaving, lets the next one ask.
        """
        while (flight := self._under_way.get(key)) is not None:
            outcome = await asyncio.shield(flight)
            if isinstance(outcome, GitLabUnavailable):
                raise GitLabUnavailable(outcome.operator, outcome.retry_after)  # its own, with its own traceback
            if outcome is not None:
                return outcome
        return await self._lead(key, ask)

    async def _lead(self, key: KeyT, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        flight: asyncio.Future[AnswerT | GitLabUnavailable | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = flight
        outcome: AnswerT | GitLabUnavailable | None = None
        try:
            answer = outcome = await ask()
        except GitLabUnavailable as fault:
            outcome = GitLabUnavailable(fault.operator, fault.retry_after)
            raise
        finally:
            del self._under_way[key]
            flight.set_result(outcome)
        return answer
