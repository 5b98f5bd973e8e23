"""Asks a worker for a page of its admin socket."""

from pathlib import Path

import aiohttp


async def ask_worker(admin: Path, page: str, seconds: float) -> bytes:
    """What the worker behind this socket answers within so many seconds.

    Raises:
        aiohttp.ClientError, TimeoutError: if it does not, or with another status than one of success.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.UnixConnector(str(admin))
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, raise_for_status=True) as client,
        client.get(f"http://worker/{page}") as response,
    ):
        return await response.read()
