"""The HTTP server of all workspaces of a soak: what it sends and takes is content of the host it was asked as.

So a request that was led to the wrong host, or a byte of another visitor's stream, does not go unseen.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.soak.content import Checker, Corrupt, content, generate

_GRACE = 0.1  # seconds; what is open at the end would not end by itself


def seed_of(host: str, name: str) -> str:
    """What content is generated from: the host without its port, and a name that the client made up."""
    return f"{host.partition(':')[0]}/{name}"


@asynccontextmanager
async def serve_workspaces() -> AsyncIterator[int]:
    """Serve on a free loopback port, which it yields."""
    app = web.Application(client_max_size=0)
    app.router.add_get("/", _show_page)
    app.router.add_get("/bytes", _send)
    app.router.add_post("/bytes", _take)
    app.router.add_get("/events", _send_events)
    app.router.add_get("/ws", _echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _show_page(_request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>a workspace</title>", content_type="text/html")


def _seed(request: web.Request) -> str:
    return seed_of(request.headers["Host"], request.query["seed"])


async def _send(request: web.Request) -> web.StreamResponse:
    """`?bytes=N` bytes of content, with their length or, with `chunked`, without."""
    size = int(request.query["bytes"])
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if "chunked" in request.query:
        response.enable_chunked_encoding()
    else:
        response.content_length = size
    await response.prepare(request)
    for piece in generate(_seed(request), size):
        await response.write(piece)
    return response


async def _take(request: web.Request) -> web.Response:
    """Check a body of content, and say how much of it came, and what was wrong."""
    checker, wrong = Checker(_seed(request)), ""
    async for piece in request.content.iter_any():
        if not wrong:
            try:
                checker.feed(piece)
            except Corrupt as exc:
                wrong = str(exc)
    return web.json_response({"bytes": checker.position, "wrong": wrong})


async def _send_events(request: web.Request) -> web.StreamResponse:
    """`?count=` numbered events, 64 bytes of content in each, `?interval=` seconds apart."""
    seed, count, interval = _seed(request), int(request.query["count"]), float(request.query["interval"])
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    for number in range(count):
        await response.write(f"id: {number}\ndata: {content(f'{seed}/{number}', 64).hex()}\n\n".encode())
        await asyncio.sleep(interval)
    return response


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is web.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket
