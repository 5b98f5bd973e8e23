"""The whole demo in this process, on a clock that a test can move, and people with browsers in front of it."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import yaml
from yarl import URL

from config.section import Section
from config.settings import Settings
from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.world import SITE_PORT, OpenWorld, free_ports, open_world
from gateway.http.streams import Streams
from gateway.telemetry.log import open_log
from tests.clock import RunningClock
from tests.log_words import check_words


@dataclass
class Live:
    """The demo while it runs."""

    world: OpenWorld
    clock: RunningClock
    log: io.StringIO
    steady: RunningClock
    """By which workspaces are unused."""
    browsers: list[Browser] = field(default_factory=list)

    @property
    def state(self) -> GitLabState:
        return self.world.state

    @property
    def streams(self) -> Streams:
        """What is open through the HTTP door."""
        assert self.world.gateway.streams is not None
        return self.world.gateway.streams

    def url(self, path: str, *, port: int = SITE_PORT, name: str = "") -> str:
        """An address on a port of ada's running workspace, or of another one."""
        return self.world.visit.address(name or self.world.visit.running, port, path)

    @asynccontextmanager
    async def person(self, username: str = "", *, at: str = "") -> AsyncIterator[Browser]:
        """Somebody's browser: signed in by visiting an address, or a stranger's."""
        async with Browser(self.world.visit.network) as browser:
            if username:
                page = await browser.visit(at or self.url("/"), username)
                assert page.status == 200, page
            yield browser

    async def sign_out(self, browser: Browser) -> Page:
        """What the button on the portal does."""
        home = await browser.visit(f"{self.world.visit.portal_url}/", "")
        token = home.text.partition('name="csrf" value="')[2].partition('"')[0]
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        return await browser.fetch(
            f"{self.world.visit.portal_url}/auth/sign-out",
            method="POST",
            headers=headers,
            body=f"csrf={token}".encode(),
        )

    def declare(self, change: Callable[[dict[str, Any]], None], name: str = "") -> None:
        """Change a workspace's entry of the route file."""
        told = yaml.safe_load(self.world.routes.read_text())
        change(next(entry for entry in told["workspaces"] if entry["name"] == (name or self.world.visit.running)))
        self.world.routes.write_text(yaml.safe_dump(told))
        self.world.gateway.reload_routes()

    def open_port(self, visibility: str, port: int = SITE_PORT) -> None:
        """Declare how open a port of ada's running workspace is."""

        def change(entry: dict[str, Any]) -> None:
            next(item for item in entry["ports"] if item["target_port"] == port)["visibility"] = visibility

        self.declare(change)

    def token(self, username: str) -> str:
        """A personal access token of one of the demo's users."""
        return next(user.token.get_secret_value() for user in self.world.visit.users if user.username == username)

    async def wait_visible(self, visibility: str, port: int = SITE_PORT, name: str = "") -> None:
        """Go on when the gateway knows what the route file says."""
        host, changed = self.url("/", port=port, name=name).partition("://")[2].partition(":")[0], asyncio.Event()
        self.world.gateway.table.subscribe(changed.set)
        async with asyncio.timeout(10):
            while getattr(self.world.gateway.table.get_route(host), "declared", "") != visibility:
                await changed.wait()
                changed.clear()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line of the log with this name."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric now."""
        registry = self.world.gateway.metrics.registry
        return registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0.0


@asynccontextmanager
async def open_live(
    adjust: Callable[[Settings, GitLabState], Settings] = lambda settings, _state: settings, /, **sections: Section
) -> AsyncIterator[Live]:
    """The demo on free ports, with other settings where some are given."""
    clock, steady, log = RunningClock(), RunningClock(), io.StringIO()
    logged = open_log("debug", log)
    async with open_world(free_ports(), logged, clock, sections, adjust=adjust, steady=steady) as world:
        yield Live(world, clock, log, steady)
    check_words(log)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    """The demo on free ports."""
    async with open_live() as opened:
        yield opened


@dataclass
class Events:
    """An event stream that is being read."""

    response: aiohttp.ClientResponse

    async def next(self) -> bytes:
        """The next line with data."""
        async with asyncio.timeout(10):
            while True:
                line = await self.response.content.readline()
                if line.startswith(b"data:") or not line:
                    return line

    async def is_open(self) -> bool:
        """Whether another event comes."""
        try:
            return await self.next() != b""
        except aiohttp.ClientError:
            return False


async def run_command(*arguments: str, environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Status, output and errors of `python -m gateway` with nobody at the keyboard."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


@asynccontextmanager
async def events(browser: Browser, url: str, **headers: str) -> AsyncIterator[Events]:
    """An event stream, ten events a second, as a script of the page would open it."""
    sent = {"Accept": "text/event-stream", **browser.cookie_header(url), **headers}
    async with browser.session.get(URL(url, encoded=True), headers=sent, allow_redirects=False) as response:
        assert response.status == 200, response.status
        stream = Events(response)
        assert await stream.next()
        yield stream
