"""Notices that a worker answers no more: stopped, or stuck in something that never ends.

A process that hangs keeps its sockets, and the kernel goes on handing it clients, whom nobody would ever answer.
"""

import asyncio
from pathlib import Path

import aiohttp

from gateway.workers.admin_socket import ask_worker

INTERVAL_SECONDS = 3.0  # between two looks; each costs a worker less than a millisecond
SILENT_SECONDS = 15.0  # a loop that does not turn for so long serves nobody; a machine under load is late by one or two


async def wait_silent(admin: Path, *, interval: float = INTERVAL_SECONDS, silent: float = SILENT_SECONDS) -> None:
    """Until the worker behind this admin socket has said nothing for so many seconds; it is asked at each interval."""
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while loop.time() - heard < silent:
        await asyncio.sleep(interval)
        if await _ask_alive(admin, interval):
            heard = loop.time()


async def _ask_alive(admin: Path, seconds: float) -> bool:
    try:
        await ask_worker(admin, "healthz", seconds)
    except (aiohttp.ClientError, TimeoutError):
        return False
    return True
