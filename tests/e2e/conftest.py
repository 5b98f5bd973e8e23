"""The whole demo in this process, the gateway's command as a child, and a real browser."""

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import load_pem_x509_certificate
from playwright.async_api import BrowserContext, async_playwright, expect

from config.section import Section
from config.settings import Settings
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.world import SITE_PORT, ZONE, OpenWorld, Ports, free_ports, open_world
from gateway.telemetry.log import open_log
from tests.clock import RunningClock
from tests.log_words import check_words

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUIET += ["--disable-sync", "--no-first-run"]
SIGNING_KEY = "a-signing-key-that-nobody-may-read"
CLIENT_SECRET = "a-client-secret-that-nobody-may-read"

expect.set_options(timeout=20_000)  # milliseconds: a browser on a busy machine; only a failure takes so long


@dataclass
class Demo:
    """The demo while it runs, and everything it has logged."""

    world: OpenWorld
    log: io.StringIO
    clock: RunningClock = field(default_factory=RunningClock)

    def address(self, path: str = "/", *, port: int = SITE_PORT, name: str = "") -> str:
        """An address on a port of ada's running workspace, or of another one."""
        return self.world.visit.address(name or self.world.visit.running, port, path)

    def declare(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a workspace's entry of the route file."""
        told = yaml.safe_load(self.world.routes.read_text())
        change(next(entry for entry in told["workspaces"] if entry["name"] == name))
        self.world.routes.write_text(yaml.safe_dump(told))
        self.world.gateway.reload_routes()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line of the log with this name."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def requests(self, host: str) -> list[dict[str, Any]]:
        """What was asked of a host, as the log has it."""
        return [line for line in self.logged("http.request") if line["host"] == host]


@dataclass(frozen=True)
class Certificate:
    """A wildcard certificate of the demo's zone, and what makes a Chromium believe it."""

    chain: Path
    key: Path
    pin: str
    """Hash of its public key, as `--ignore-certificate-errors-spki-list` takes it."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Made once: a key takes its time."""
    folder = tmp_path_factory.mktemp("certificate")
    issued = trustme.CA().issue_cert(ZONE, f"*.{ZONE}")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    public = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Certificate(folder / "pem", folder / "pem", base64.b64encode(hashlib.sha256(der).digest()).decode())


@asynccontextmanager
async def open_demo(
    certificate: Certificate | None = None,
    adjust: Callable[[Settings, GitLabState], Settings] = lambda settings, _state: settings,
    /,
    **sections: Section,
) -> AsyncIterator[Demo]:
    """The demo on free ports, over TLS with a certificate, with other settings where some are given."""
    log, clock = io.StringIO(), RunningClock()
    files = (certificate.chain, certificate.key) if certificate else None
    async with open_world(
        free_ports(), open_log("debug", log), clock, sections, certificate=files, adjust=adjust
    ) as world:
        yield Demo(world, log, clock)
    check_words(log)


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """The demo as a newcomer runs it: over plain HTTP."""
    async with open_demo() as opened:
        yield opened


@pytest.fixture
async def zone(certificate: Certificate) -> AsyncIterator[Demo]:
    """The demo as people use a gateway: over TLS, with a certificate for all hosts of the zone."""
    async with open_demo(certificate) as opened:
        yield opened


@asynccontextmanager
async def open_browser(certificate: Certificate, *, scripts: bool = True) -> AsyncIterator[BrowserContext]:
    """A Chromium that nobody has used before, and that may run no scripts."""
    with TemporaryDirectory(prefix="workspaces-chromium-") as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=CHROMIUM,
                headless=True,
                java_script_enabled=scripts,
                args=[*QUIET, f"--ignore-certificate-errors-spki-list={certificate.pin}"],
            )
            try:
                yield context
            finally:
                await context.close()


@pytest.fixture
async def browser(certificate: Certificate) -> AsyncIterator[BrowserContext]:
    """A person's own browser."""
    async with open_browser(certificate) as opened:
        yield opened


@dataclass
class Setup:
    """A configuration on disk that a test may still change, and the command that runs it."""

    folder: Path
    ports: Ports
    settings: dict[str, Any]
    routes: dict[str, Any]
    environ: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    under: list[str] = field(default_factory=list)
    """A program, with its arguments, that starts the gateway."""

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
        async with running(*self.write(), environ=self.environ, under=self.under) as process:
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
        said = b""
        async with asyncio.timeout(50):
            while line := await process.stdout.readline():
                if b'"gateway.open"' in line:
                    return
                said += line
        pytest.fail(f"the gateway ended before it was ready: {said.decode()}")


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
async def running(
    *arguments: str, environ: Mapping[str, str] = {}, under: Sequence[str] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m gateway …` as a child in a process group of its own, which is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *under,
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
