"""The operators' listener: alive, ready, metrics, activity, what is slow. On a port of its own, no public host's."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Operated:
    """What the listener tells of: one gateway, or several workers as one."""

    is_ready: Callable[[], bool]
    """Whether traffic should come here."""
    render_metrics: Callable[[], Awaitable[bytes]]
    report_activity: Callable[[], Awaitable[bytes]]
    """Which workspace was used when, as JSON."""
    report_slow: Callable[[], Awaitable[bytes]]
    """Which requests are the slowest, as JSON."""
    remarks: Callable[[], Sequence[str]] = tuple
    """What /readyz says beside the word, a line each: whatever does not do its work."""


_OPERATED = web.AppKey("operated", Operated)


@asynccontextmanager
async def serve_admin(sockets: Sequence[socket.socket], operated: Operated) -> AsyncIterator[None]:
    """Serve /healthz, /readyz, /metrics, /activity and /slowest on listening sockets while the block runs."""
    app = web.Application()
    app[_OPERATED] = operated
    app.add_routes([web.get("/healthz", _healthz), web.get("/readyz", _readyz), web.get("/metrics", _metrics)])
    app.add_routes([web.get("/activity", _activity), web.get("/slowest", _slowest)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)  # s; a scrape takes milliseconds
    await runner.setup()
    try:
        for sock in sockets:
            await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    operated = request.app[_OPERATED]
    is_ready = operated.is_ready()
    lines = ("ready" if is_ready else "not ready", *operated.remarks())
    return web.Response(text="".join(f"{line}\n" for line in lines), status=200 if is_ready else 503)


async def _metrics(request: web.Request) -> web.Response:
    body = await request.app[_OPERATED].render_metrics()
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _activity(request: web.Request) -> web.Response:
    return web.Response(body=await request.app[_OPERATED].report_activity(), content_type="application/json")


async def _slowest(request: web.Request) -> web.Response:
    return web.Response(body=await request.app[_OPERATED].report_slow(), content_type="application/json")
