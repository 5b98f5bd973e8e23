"""The private Unix socket on which the portal listens: to the HTTP door it is just another upstream."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from gateway.portal.app import PORTAL_RUNNER_LIMITS


@asynccontextmanager
async def serve_portal(app: web.Application) -> AsyncIterator[Path]:
    """Serve an application on a Unix socket that only this user can connect to; its path."""
    runner = web.AppRunner(app, shutdown_timeout=1, **PORTAL_RUNNER_LIMITS)
    with tempfile.TemporaryDirectory(prefix="workspaces-gateway-") as folder:  # made with mode 0700
        path = Path(folder) / "portal"
        await runner.setup()
        try:
            await web.UnixSite(runner, path).start()
            yield path
        finally:
            await runner.cleanup()
