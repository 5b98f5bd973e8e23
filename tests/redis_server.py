"""Debian's redis-server on a free loopback port, for tests that share sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from gateway.demo.quiet_ports import quiet_ports

PROGRAM = "/usr/bin/redis-server"


@dataclass
class RedisServer:
    """A Redis that keeps nothing on disk, and can be taken away and brought back."""

    port: int
    folder: str
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        flags = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--save", ""]
        self.process = await asyncio.create_subprocess_exec(PROGRAM, *flags, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        async with asyncio.timeout(10):
            while b"Ready to accept connections" not in await self.process.stdout.readline():
                pass

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.communicate()
            self.process = None


@asynccontextmanager
async def run_redis() -> AsyncIterator[RedisServer]:
    """A fresh Redis while the block runs."""
    with TemporaryDirectory(prefix="workspaces-redis-") as folder:
        (port,) = quiet_ports(1)
        server = RedisServer(port, folder)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
