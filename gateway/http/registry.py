"""What is open right now, and the moment when nothing is any more."""

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """A set of open things that can be waited for to become empty."""

    def __init__(self) -> None:
        self._items: set[T] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """A snapshot: what is open may close while it is gone through."""
        return iter(tuple(self._items))

    def add(self, item: T) -> None:
        self._items.add(item)
        self._empty.clear()

    def discard(self, item: T) -> None:
        self._items.discard(item)
        if not self._items:
            self._empty.set()

    async def wait_empty(self) -> None:
        await self._empty.wait()
