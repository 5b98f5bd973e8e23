"""The operators' listener."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.admin import Operated, serve_admin
from gateway.listening import bind, close


@asynccontextmanager
async def serving(*, ready: bool) -> AsyncIterator[str]:
    """The listener of something that is, or is not, ready; its URL."""

    async def render() -> bytes:
        return b"some_metric 3.0\n"

    sockets = bind("the admin listener", "127.0.0.1", 0)
    try:
        async with serve_admin(sockets, Operated(lambda: ready, render, render)):
            yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        close(sockets)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_what_the_gateway_says(ready: bool, status: int) -> None:  # noqa: FBT001 - a table cell
    """Being alive is another question."""
    async with (
        serving(ready=ready) as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}/readyz") as readyz,
        client.get(f"{url}/healthz") as healthz,
    ):
        assert (readyz.status, healthz.status) == (status, 200)


async def test_metrics_are_what_was_counted() -> None:
    """In Prometheus' text format."""
    async with (
        serving(ready=True) as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}/metrics") as response,
    ):
        text = await response.text()

    assert text == "some_metric 3.0\n"
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
