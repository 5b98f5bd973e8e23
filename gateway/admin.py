"""The operators' listener: alive, ready, metrics. On a port of its own, never behind a public host."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from config.settings import AdminSettings
from gateway.telemetry import Metrics


class _Readiness:
    """Whether traffic should come here."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self.is_ready = is_ready


_READINESS = web.AppKey("readiness", _Readiness)
_METRICS = web.AppKey("metrics", Metrics)


@asynccontextmanager
async def serve_admin(settings: AdminSettings, metrics: Metrics, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Serve /healthz, /readyz and /metrics while the block runs.

    Raises:
        OSError: if the address cannot be listened on.
    """
    app = web.Application()
    app[_READINESS] = _Readiness(is_ready)
    app[_METRICS] = metrics
    app.add_routes([web.get("/healthz", _healthz), web.get("/readyz", _readyz), web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: AdminSettings) -> None:
    try:
        await web.TCPSite(runner, settings.address or None, settings.port).start()
    except OSError as exc:
        where = f"{settings.address or '*'}:{settings.port}"
        raise OSError(exc.errno, f"the admin listener cannot listen on {where}: {os.strerror(exc.errno or 0)}") from exc


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    if request.app[_READINESS].is_ready():
        return web.Response(text="ready\n")
    return web.Response(text="not ready\n", status=503)


async def _metrics(request: web.Request) -> web.Response:
    body = request.app[_METRICS].render()
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
