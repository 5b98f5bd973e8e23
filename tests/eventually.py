"""Waiting for what no event tells of."""

import asyncio
from collections.abc import Callable

PATIENCE = 10  # seconds for what comes at once; only a failure takes so long


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait until something that no event tells of is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_true():  # noqa: ASYNC110 - what is waited for is outside this program, or tells nobody
            await asyncio.sleep(0.005)
