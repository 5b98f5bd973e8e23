"""Does one thing to many, one after the other: whoever is sent away comes back, and not all in the same moment."""

import asyncio
from collections.abc import Callable, Collection
from typing import TypeVar

PER_SECOND = 50  # a sign-in check, a TLS handshake and a dial each: a small part of what another gateway can take

ItemT = TypeVar("ItemT")


def find_duration(count: int, longest: float) -> float:
    """Seconds that it takes to get to so many: few need no time, and none more than `longest`."""
    return min(count / PER_SECOND, longest)


async def spread(items: Collection[ItemT], act: Callable[[ItemT], None], longest: float) -> None:
    """Call `act` with each of them, evenly over that time; the first at once."""
    loop = asyncio.get_running_loop()
    started, pause = loop.time(), find_duration(len(items), longest) / max(len(items), 1)
    for index, item in enumerate(items):
        await asyncio.sleep(started + index * pause - loop.time())
        act(item)
