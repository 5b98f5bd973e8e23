"""Two gateways are replaced one after the other behind a load balancer, and nobody loses a request by it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.workspace import WorkspaceServers
from gateway.demo.world import LOOPBACK, free_ports
from tests.e2e.conftest import Setup
from tests.e2e.conftest import setup as setup  # noqa: PLC0414 - a fixture, for the tests of this folder
from tests.rolling.balancers import Balancer, run_haproxy, run_nginx
from tests.rolling.traffic import Account, Traffic

NAME = "apple-bear-blue"
GOING_AWAY = 1001
DELAY, GRACE, SPREAD = 2, 4, 3  # seconds; the delay is ten of haproxy's looks, and an upload takes less than the rest
SOCKETS, TERMINALS = 20, 4


@contextmanager
def open_folder() -> Iterator[Path]:
    """One that the user of the workspace can look into too."""
    with TemporaryDirectory(prefix="workspaces-rolling-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@dataclass
class Fleet:
    """Two gateways of one setting, each a process of its own, and a token of the workspace's owner."""

    setups: list[Setup]
    token: SecretStr

    async def replace_each(self, balancer: Balancer, running: list[AsyncExitStack]) -> list[int | None]:
        """As a rolling update does: one goes, its successor is ready, then the other; their exit statuses."""
        statuses = []
        for number, each in enumerate(self.setups):
            process = self.processes[number]
            process.terminate()
            async with asyncio.timeout(60):
                await process.communicate()
            statuses.append(process.returncode)
            await running[number].aclose()
            self.processes[number] = await running[number].enter_async_context(each.serve())
            await balancer.wait_up()
        return statuses

    def __post_init__(self) -> None:
        self.processes: list[asyncio.subprocess.Process] = []

    async def roll(self, balancer: Balancer, *, terminals: int) -> tuple[Account, list[int | None]]:
        """An update under load: what came of the load, and how the old ones ended."""
        running = [AsyncExitStack() for _ in self.setups]
        async with AsyncExitStack() as stack:
            for own in running:
                await stack.enter_async_context(own)
            self.processes = [
                await own.enter_async_context(each.serve()) for own, each in zip(running, self.setups, strict=True)
            ]
            await balancer.wait_up()
            folder = stack.enter_context(open_folder())
            traffic = Traffic(balancer.front, NAME, self.token, folder / "over")
            async with asyncio.TaskGroup() as group:
                group.create_task(traffic.run(readers=6, uploaders=3, sockets=SOCKETS, terminals=terminals))
                statuses = await self.replace_each(balancer, running)
                traffic.stop()
        return traffic.account, statuses


@pytest.fixture
async def fleet(setup: Setup, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Around one workspace, whose port 3000 is public."""
    state = GitLabState()
    gitlab = StandInGitLab(state)
    ada = state.add_user("ada")
    async with gitlab.serve(LOOPBACK) as url, WorkspaceServers(NAME) as servers, WorkspaceSshd() as sshd:
        entry = setup.routes["workspaces"][0]
        entry["id"] = state.add_workspace(ada, NAME).id
        entry["ports"][0]["port"] = servers.site_port
        entry["ports"].append({"name": "ssh-server", "port": sshd.port, "target_port": 60022})
        setup.settings["auth"]["host"] = url
        setup.settings["drain"] = {"delay": DELAY, "spread": SPREAD}
        setup.settings["http"] |= {"drain_grace": GRACE, "max_connections_per_ip": 0}
        setup.settings["ssh"] |= {"drain_grace": GRACE, "max_startups_per_ip": 0}
        setups = []
        for number in range(2):
            folder, ports, settings = tmp_path / str(number), free_ports(), deepcopy(setup.settings)
            folder.mkdir()
            for door in ("http", "ssh", "admin"):
                settings[door]["port"] = getattr(ports, door)
            settings["routing"] = {"file": str(folder / "routes.yaml")}
            setups.append(replace(setup, folder=folder, ports=ports, settings=settings))
        yield Fleet(setups, SecretStr(state.add_token(ada)))


Run = Callable[..., AbstractAsyncContextManager[Balancer]]


@pytest.mark.parametrize(("run", "terminals"), [(run_haproxy, TERMINALS), (run_nginx, 0)], ids=["haproxy", "nginx"])
async def test_a_rolling_update_loses_no_request_and_no_upload(
    fleet: Fleet, tmp_path: Path, run: Run, terminals: int
) -> None:
    """Each WebSocket is closed once, with 1001, each SSH connection told to come again; both find the other gateway."""
    async with run(free_ports(), [each.ports for each in fleet.setups], tmp_path) as balancer:
        account, statuses = await fleet.roll(balancer, terminals=terminals)

    assert account.lost == []
    assert statuses == [0, 0]
    assert set(account.closed) == {GOING_AWAY}
    assert account.closed[GOING_AWAY] >= SOCKETS  # every one at least once, as both gateways went
    assert account.parted >= terminals
    assert account.done["terminal"] == terminals
    assert min(account.done[what] for what in ("read", "upload", "socket")) > 0
