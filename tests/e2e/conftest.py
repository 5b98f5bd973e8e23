"""The whole demo in this process, the gateway's command as a child, and a real browser."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.async_api import BrowserContext, async_playwright

from gateway.demo.world import OpenWorld, Ports, free_ports, open_world
from gateway.telemetry import open_log

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUIET += ["--disable-sync", "--no-first-run"]
SIGNING_KEY = "a-signing-key-that-nobody-may-read"
CLIENT_SECRET = "a-client-secret-that-nobody-may-read"


@dataclass
class Demo:
    """The demo while it runs, and everything it has logged."""

    world: OpenWorld
    log: io.StringIO


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """The demo on free ports."""
    log = io.StringIO()
    async with open_world(free_ports(), open_log("debug", log)) as world:
        yield Demo(world, log)


@pytest.fixture
async def browser() -> AsyncIterator[BrowserContext]:
    """A Chromium that nobody has used before."""
    with TemporaryDirectory(prefix="workspaces-chromium-") as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=CHROMIUM, headless=True, args=QUIET
            )
            try:
                yield context
            finally:
                await context.close()


@dataclass
class Setup:
    """A configuration on disk that a test may still change, and the command that runs it."""

    folder: Path
    ports: Ports
    settings: dict[str, Any]
    routes: dict[str, Any]
    environ: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    def write(self) -> list[str]:
        """Write both files; the arguments of `serve`."""
        (self.folder / "routes.yaml").write_text(yaml.safe_dump(self.routes))
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self.settings))
        return ["serve", "--config", str(self.folder / "settings.yaml"), *self.flags]

    async def fail(self) -> tuple[int, str]:
        """Run the gateway, which is expected to give up; its exit status and everything it said."""
        async with running(*self.write(), environ=self.environ) as process:
            async with asyncio.timeout(20):
                output, _ = await process.communicate()
            return process.returncode or 0, output.decode()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the gateway, and go on when it is ready."""
        async with running(*self.write(), environ=self.environ) as process:
            await self._wait_ready(process)
            yield process

    async def get(self, url: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and text of one GET that follows no redirect."""
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
            client.get(url, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, response.headers, await response.text()

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            while line := await process.stdout.readline():
                if b'"gateway.open"' in line:
                    return
        pytest.fail("the gateway ended before it was ready")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """A sound configuration whose GitLab is not reachable, with one public and one private port."""
    ports = free_ports()
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (tmp_path / "host_key").write_bytes(key)
    settings = {
        "auth": {
            "host": "http://127.0.0.1:9",  # the discard port, where nobody answers
            "client_id": "an-application",
            "client_secret": CLIENT_SECRET,
            "redirect_uri": f"http://workspaces.localhost:{ports.http}/auth/callback",
            "signing_key": SIGNING_KEY,
            "protocol": "http",
        },
        "http": {"address": "127.0.0.1", "port": ports.http},
        "ssh": {"address": "127.0.0.1", "port": ports.ssh, "host_key_files": [str(tmp_path / "host_key")]},
        "admin": {"address": "127.0.0.1", "port": ports.admin},
        "routing": {"file": str(tmp_path / "routes.yaml")},
    }
    routes = {
        "workspaces": [
            {
                "name": "apple-bear-blue",
                "id": 993,
                "host_template": "{{.port}}-apple-bear-blue.workspaces.localhost",
                "address": "127.0.0.1",
                "ports": [
                    {"name": "http-3000", "port": 9, "target_port": 3000, "visibility": "public"},
                    {"name": "editor-server", "port": 9, "target_port": 60001},
                ],
            }
        ]
    }
    return Setup(tmp_path, ports, settings, routes)


@asynccontextmanager
async def running(*arguments: str, environ: Mapping[str, str] = {}) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m gateway …` as a child in a process group of its own, which is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environ},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()  # until its children, which share its output, are gone too
