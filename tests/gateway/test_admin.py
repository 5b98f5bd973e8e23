"""The operators' listener."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.admin import Operated, serve_admin
from gateway.listening import bind, close
from gateway.telemetry.slowest import Slow, SlowRequest, read_slow, write_slow

SLOW = SlowRequest(
    seconds=2.5, method="GET", workspace="apple", port=3000, path="/", status=200, code="", request_id="ab"
)


@asynccontextmanager
async def serving(*, ready: bool) -> AsyncIterator[str]:
    """The listener of something that is, or is not, ready; its URL."""

    async def render() -> bytes:
        return b"some_metric 3.0\n"

    async def report_slow() -> bytes:
        return write_slow(Slow(ended=(SLOW,)))

    sockets = bind("the admin listener", "127.0.0.1", 0)
    try:
        async with serve_admin(sockets, Operated(lambda: ready, render, render, report_slow)):
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


async def test_what_is_slow_is_told_as_json() -> None:
    """As a program or another process reads it."""
    async with (
        serving(ready=True) as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}/slowest") as response,
    ):
        told = await response.read()

    assert response.content_type == "application/json"
    assert read_slow(told) == Slow(ended=(SLOW,))
