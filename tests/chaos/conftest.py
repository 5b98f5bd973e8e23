"""A gateway of its own process between people and what it depends on, each of which can be taken away."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncssh
import pytest
import yaml

from gateway.demo.browser import Browser, Network, Page
from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.workspace import WorkspaceServers
from gateway.demo.world import free_ports
from tests.e2e.conftest import Setup
from tests.e2e.conftest import setup as setup  # noqa: PLC0414 - a fixture, for the tests of this folder
from tests.link import Link, open_link

ZONE = "workspaces.localhost"
NAME = "apple-bear-blue"
EDITOR, SITE = 60001, 3000
PATIENCE = 40  # s; for what has to happen on a machine that does much else


@dataclass
class Stage:
    """The gateway while it runs, and everything around it."""

    setup: Setup
    state: GitLabState
    gitlab: StandInGitLab
    link: Link
    """Between the gateway and GitLab."""
    ada: GitLabUser
    """The owner of the one workspace."""
    grace: GitLabUser
    process: asyncio.subprocess.Process | None = None
    lines: list[str] = field(default_factory=list)
    """What the gateway has logged."""

    @property
    def network(self) -> Network:
        return Network(("127.0.0.1", self.setup.ports.http), ZONE, ZONE)

    def url(self, port: int = EDITOR, path: str = "/") -> str:
        """An address on a port of the workspace."""
        return f"http://{port}-{NAME}.{ZONE}:{self.setup.ports.http}{path}"

    def token(self, user: GitLabUser) -> str:
        """A new token of somebody."""
        return self.state.add_token(user)

    @asynccontextmanager
    async def person(self, username: str = "") -> AsyncIterator[Browser]:
        """Somebody's browser: in the editor, where a name is given."""
        async with Browser(self.network) as browser:
            if username:
                page = await browser.visit(self.url(), username)
                assert page.status == 200, page
            yield browser

    async def ssh(self, token: str) -> asyncssh.SSHClientConnection:
        """A login at the SSH door."""
        return await asyncssh.connect(
            "127.0.0.1",
            self.setup.ports.ssh,
            username=NAME,
            password=token,
            known_hosts=None,
            client_keys=None,
            agent_path=None,
            config=None,
            login_timeout=PATIENCE,
        )

    async def program(self, token: str, port: int = EDITOR) -> int:
        """The status that a program with this token gets."""
        async with Browser(self.network) as browser:
            return (await browser.fetch(self.url(port), headers={"X-Workspaces-Token": token})).status

    async def stranger(self, port: int = EDITOR) -> Page:
        """What somebody gets who never signed in."""
        async with Browser(self.network) as browser:
            return await browser.navigate(self.url(port))

    def declare(self, visibility: str, port: int = SITE) -> None:
        """Say in the route file how open a port is."""
        for entry in self.setup.routes["workspaces"][0]["ports"]:
            if entry["target_port"] == port:
                entry["visibility"] = visibility
        (self.setup.folder / "routes.yaml").write_text(yaml.safe_dump(self.setup.routes))

    async def admin(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the admin port."""
        status, _, text = await self.setup.get(f"http://127.0.0.1:{self.setup.ports.admin}{path}")
        return status, text

    async def metric(self, name: str, label: str = "") -> float:
        """The value of a metric, all labels added up, or those that have this one."""
        _, text = await self.admin("/metrics")
        lines = re.findall(rf"^workspaces_gateway_{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for labels, value in lines if label in labels)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line of the log with this name."""
        return [line for text in self.lines if (line := json.loads(text))["event"] == event]


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again until it is so."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{what} did not come to be within {PATIENCE} s")


@asynccontextmanager
async def open_stage(setup: Setup, *, tls: ssl.SSLContext | None = None, hostname: str = "") -> AsyncIterator[Stage]:
    """Everything on, and the gateway ready; a test may change its settings before."""
    async with AsyncExitStack() as stack:
        state = GitLabState()
        link = await stack.enter_async_context(open_link(free_ports().http))
        gitlab = StandInGitLab(state, port=link.port, hostname=hostname)
        client_id, secret = gitlab.register_application(setup.settings["auth"]["redirect_uri"])
        await stack.enter_async_context(gitlab.serve(port=link.target, tls=tls))
        setup.settings["auth"] |= {"host": gitlab.url, "client_id": client_id, "client_secret": secret}
        setup.settings["auth"].setdefault("timeout", 2)
        ada, grace = state.add_user("ada"), state.add_user("grace")
        workspace = state.add_workspace(ada, NAME)
        servers = await stack.enter_async_context(WorkspaceServers(NAME))
        sshd = await stack.enter_async_context(WorkspaceSshd())
        setup.routes["workspaces"] = [
            {
                "name": NAME,
                "id": workspace.id,
                "host_template": f"{{{{.port}}}}-{NAME}.{ZONE}",
                "address": "127.0.0.1",
                "ports": [
                    {"name": "editor-server", "port": servers.editor_port, "target_port": EDITOR},
                    {"name": "site", "port": servers.site_port, "target_port": SITE, "visibility": "public"},
                    {"name": "ssh-server", "port": sshd.port, "target_port": 60022},
                ],
            }
        ]
        stage = Stage(setup, state, gitlab, link, ada, grace)
        stage.process = await stack.enter_async_context(setup.serve())
        group = await stack.enter_async_context(asyncio.TaskGroup())
        reading = group.create_task(_read(stage))
        stack.callback(reading.cancel)
        yield stage


async def _read(stage: Stage) -> None:
    """A log that nobody reads would stop the gateway."""
    assert stage.process is not None
    assert stage.process.stdout is not None
    async for line in stage.process.stdout:
        stage.lines.append(line.decode())


@pytest.fixture
async def stage(setup: Setup) -> AsyncIterator[Stage]:
    """A gateway of one process."""
    async with open_stage(setup) as opened:
        yield opened


async def assert_people_who_are_in_go_on(
    browser: Browser, stage: Stage, socket: aiohttp.ClientWebSocketResponse, ssh: asyncssh.SSHClientConnection
) -> None:
    """A page of the editor, its WebSocket, a public port, a command over SSH, and what operators ask."""
    page = await browser.navigate(stage.url())
    assert page.status == 200, page
    await socket.send_str("still here?")
    assert (await socket.receive(timeout=PATIENCE)).data == "still here?"
    assert (await ssh.run("echo here", check=True, timeout=PATIENCE)).stdout == "here\n"
    assert (await stage.admin("/healthz"))[0] == 200
    assert (await stage.admin("/readyz"))[0] == 200


async def assert_nobody_gets_in(stage: Stage) -> None:
    """No stranger, nobody with a token that is void or another's, and nobody through a port that was closed."""
    assert (await stage.stranger()).status in {303, 503}
    void = stage.token(stage.ada)
    stage.state.revoke(void)
    for token in (void, "glpat-made-up", stage.token(stage.grace)):
        assert await stage.program(token) in {401, 404, 503}
        with pytest.raises((asyncssh.Error, OSError)):
            await stage.ssh(token)
    stage.declare("private")
    await wait_for(lambda: _is_closed(stage), "a port that is public no more")
    stage.declare("public")


async def _is_closed(stage: Stage) -> bool:
    return (await stage.stranger(SITE)).status == 303
