"""A connection that has ended leaves nothing to the garbage collector, which comes seldom: reference counts free it."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from gateway.demo.world import EDITOR_PORT
from gateway.http.edge import ClientConnection
from gateway.http.tunnel import Tunnel
from gateway.http.upstream import UpstreamConnection
from tests.gateway.conftest import Live

CONNECTIONS = (ClientConnection, UpstreamConnection, Tunnel)
ROUNDS = 5


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No collector comes while the block runs."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def remains() -> Counter[str]:
    """What there is of connections, reachable or not, but for those that wait for the next request."""
    found = [held for held in gc.get_objects() if isinstance(held, CONNECTIONS)]
    return Counter(type(held).__name__ for held in found if "IDLE" not in repr(held))


async def expect_none(before: Counter[str]) -> None:
    """Go on when nothing is left but what was there."""
    try:
        async with asyncio.timeout(5):
            while remains() - before:  # noqa: ASYNC110 - nothing tells of an object that is no more
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"still there: {remains() - before}")


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("kind", ["answered", "uploaded", "refused", "no request", "left", "websocket", "pipelined"])
async def test_a_connection_that_ended_is_freed(live: Live, kind: str) -> None:
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada:
        host = live.url("/").partition("://")[2].partition("/")[0]
        get = f"GET /download?bytes=100000 HTTP/1.1\r\nHost: {host}\r\n"
        last = f"{get}Connection: close\r\n\r\n"
        asked = {
            "answered": last,
            "uploaded": f"POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            "refused": "GET / HTTP/1.1\r\nHost: nowhere.example\r\nConnection: close\r\n\r\n",
            "no request": "nonsense\r\n\r\n",
            "pipelined": f"{get}\r\n{last}",
            "left": f"{get}\r\n",
        }
        before = remains()
        for _ in range(ROUNDS):
            if kind == "websocket":
                async with ada.open_socket(live.url("/ws", port=EDITOR_PORT)) as socket:
                    await socket.send_str("hello")
                    assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
                continue
            reader, writer = await asyncio.open_connection(*live.world.visit.connect_address)
            writer.write(asked[kind].encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
            if kind != "left":
                await reader.read()
            writer.close()

        await expect_none(before)
