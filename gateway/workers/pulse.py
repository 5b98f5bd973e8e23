"""Notices that a worker answers no more: stopped, or stuck in something that never ends.

A process that hangs keeps its sockets, and the kernel goes on handing it clients, whom nobody would ever answer.
"""

import asyncio
from pathlib import Path

import aiohttp

INTERVAL_SECONDS = 3.0  # between two looks; each costs a worker less than a millisecond
SILENT_SECONDS = 15.0  # a loop that does not turn for so long serves nobody; a machine under load is late by one or two


async def wait_silent(admin: Path) -> None:
    """Until the worker behind this admin socket has said nothing for `SILENT_SECONDS`."""
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while loop.time() - heard < SILENT_SECONDS:
        await asyncio.sleep(INTERVAL_SECONDS)
        if await _ask_alive(admin):
            heard = loop.time()


async def _ask_alive(admin: Path) -> bool:
    timeout = aiohttp.ClientTimeout(total=INTERVAL_SECONDS)
    connector = aiohttp.UnixConnector(str(admin))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
            client.get("http://worker/healthz") as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
