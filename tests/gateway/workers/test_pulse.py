"""A worker that hangs is told from one that is merely slow."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.workers.pulse import wait_silent

QUICK = {"interval": 0.05, "silent": 0.3}  # tenths instead of seconds


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[tuple[Path, asyncio.Event]]:
    """An admin socket that answers while the event is set."""
    answers = asyncio.Event()
    answers.set()

    async def healthz(_request: web.Request) -> web.Response:
        await answers.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "admin").start()
    yield tmp_path / "admin", answers
    answers.set()
    await runner.cleanup()


async def test_one_that_answers_is_left_alone(admin: tuple[Path, asyncio.Event]) -> None:
    """For ever."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_silent(admin[0], **QUICK)


async def test_one_that_answers_no_more_is_noticed(admin: tuple[Path, asyncio.Event]) -> None:
    """Once it has said nothing for as long as no healthy one does."""
    path, answers = admin
    answers.clear()

    async with asyncio.timeout(20):
        await wait_silent(path, **QUICK)


async def test_one_whose_socket_is_gone_is_noticed(tmp_path: Path) -> None:
    """It is as silent as can be."""
    async with asyncio.timeout(20):
        await wait_silent(tmp_path / "nobody", **QUICK)
