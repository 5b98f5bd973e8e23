"""When a session has done nothing for too long, by the bytes it relayed."""

import asyncio
import time
from collections.abc import Callable

_LOOKS = 10  # within the time allowed, so that it is exceeded by a tenth at most
CLOSED_IDLE = "closed after {} without data"
CLOSED_OLD = "closed after {}, the longest a session may last"


async def wait_idle(count: Callable[[], int], seconds: float) -> None:
    """Returns once `count` has been the same for so long."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < seconds:
        await asyncio.sleep(seconds / _LOOKS)
        if (now := count()) != last:
            last, since = now, time.monotonic()


def describe(seconds: float) -> str:
    """As a person would say it."""
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
