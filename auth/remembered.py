"""Remembers answers for as long as each is worth, and asks each question once, however many wait for the answer.

Bounded and in memory only. A key must hold no secret: whoever remembers something about a token hashes it first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from auth.steady import SteadyClock

KeyT = TypeVar("KeyT", bound=Hashable)
AnswerT = TypeVar("AnswerT")


class Remembered(Generic[KeyT, AnswerT]):
    """Answers by what was asked."""

    def __init__(self, size: int, lifetime: Callable[[AnswerT], float], clock: Callable[[], float]) -> None:
        """`lifetime` says for how many seconds an answer holds; one of 0 is for those alone who wait for it now."""
        self._known: TLRUCache[KeyT, AnswerT] = TLRUCache(
            size, ttu=lambda _key, answer, now: now + lifetime(answer), timer=SteadyClock(clock)
        )
        self._asking: WeakValueDictionary[KeyT, asyncio.Lock] = WeakValueDictionary()  # gone with the last who waits

    def __repr__(self) -> str:
        return f"<Remembered {len(self)} answers>"

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: KeyT) -> AnswerT | None:
        """The answer, if it is known; never waits."""
        return self._known.get(key)

    async def find(self, key: KeyT, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """The answer, asked for if need be. What `ask` raises is nobody else's, and the next one asks again."""
        async with self._asking.setdefault(key, asyncio.Lock()):
            answer = self._known.get(key)
            if answer is None:
                answer = self._known[key] = await ask()
        return answer

    def forget(self, key: KeyT) -> None:
        """The next one asks again."""
        self._known.pop(key, None)
