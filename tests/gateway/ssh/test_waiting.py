"""An owner connects to a stopped workspace: it starts, they read how long it takes, and they are in.

The demo's GitLab, gateway and OpenSSH's own client; what the cluster does, each test does by hand.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from config.settings import Settings
from gateway.demo import lifecycle
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.gitlab_model import GitLabUser, GitLabWorkspace
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.world import SSH_PORT
from gateway.ssh import limits
from routing.model import WorkspaceState
from tests.gateway.conftest import Live, open_live

PATIENCE = 30  # s
ENDLESS = 1_000_000.0


@dataclass
class Client:
    """An ssh that is running."""

    program: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)
    """Its lines on standard error so far."""

    @property
    def told(self) -> str:
        """The last line before the gateway's DISCONNECT, which says the same."""
        return self.said[next(at for at, line in enumerate(self.said) if line.startswith("Received disconnect")) - 1]

    async def wait_line(self, pattern: str) -> str:
        """The next line with this in it."""
        assert self.program.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.program.stderr.readline()).decode().rstrip():
                self.said.append(line)
                if re.search(pattern, line):
                    return line
        raise AssertionError(f"no {pattern!r} in {self.said}")

    async def end(self) -> tuple[int, str]:
        """How it ended, and what it wrote on standard output."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.program.communicate()
        self.said += err.decode().splitlines()
        return self.program.returncode or 0, out.decode()


@dataclass
class Sleeper:
    """The demo with a stopped workspace of ada's, which starts when the test says so."""

    live: Live
    folder: Path
    stack: AsyncExitStack
    wished: list[str] = field(default_factory=list)
    """What GitLab was asked for, in order."""

    @property
    def name(self) -> str:
        return self.live.world.visit.stopped

    @property
    def workspace(self) -> GitLabWorkspace:
        return next(item for item in self.live.state.workspaces.values() if item.name == self.name)

    @property
    def ada(self) -> GitLabUser:
        return self.live.state.users[self.workspace.owner_id]

    @property
    def destination(self) -> str:
        return f"{self.name}@127.0.0.1"

    def token(self, *scopes: str) -> str:
        return self.live.state.add_token(self.ada, scopes or ("api",))

    def options(self) -> tuple[str, ...]:
        return (
            *("-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.folder}/known"),
            *("-o", f"Port={self.live.world.visit.ssh_port}"),
        )

    @asynccontextmanager
    async def run(self, *argv: str, token: str = "") -> AsyncIterator[Client]:
        """A program of OpenSSH that is ended with the block."""
        script = self.folder / f"askpass-{len(list(self.folder.iterdir()))}"  # of its own: one that runs is not written
        script.write_text(f"#!/bin/sh\necho '{token or self.token()}'\n")
        script.chmod(0o700)
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.folder),
                "SSH_ASKPASS": str(script),
                "SSH_ASKPASS_REQUIRE": "force",
            },
            start_new_session=True,  # without a terminal of the test run to ask on
        )
        try:
            yield Client(program)
        finally:
            if program.returncode is None:
                program.kill()
                await program.communicate()

    @asynccontextmanager
    async def ssh(self, *args: str, token: str = "") -> AsyncIterator[Client]:
        """`ssh <args> <workspace> echo in`."""
        argv = ("ssh", *self.options(), "-o", "NumberOfPasswordPrompts=1", *args, self.destination, "echo in")
        async with self.run(*argv, token=token) as client:
            yield client

    async def open_sshd(self) -> int:
        """What the pod brings along; its port."""
        sshd: WorkspaceSshd = await self.stack.enter_async_context(WorkspaceSshd())
        return sshd.port

    def declare(self, state: str, port: int = 0) -> None:
        """What the cluster says of the pod, and where its sshd is if it says so."""

        def change(entry: dict[str, Any]) -> None:
            entry["state"] = state
            for item in entry["ports"]:
                if port and item["target_port"] == SSH_PORT:
                    item["port"] = port

        self.live.declare(change, self.name)

    async def wait_known(self, state: WorkspaceState) -> None:
        """Until the gateway knows it."""
        table, changed = self.live.world.gateway.table, asyncio.Event()
        table.subscribe(changed.set)
        async with asyncio.timeout(PATIENCE):
            while (known := table.get_workspace(self.name)) is None or known.state is not state:
                await changed.wait()
                changed.clear()

    def report(self, state: str) -> None:
        """What the agent tells GitLab."""
        self.live.state.set_actual_state(self.workspace.id, state)

    async def come_up(self) -> None:
        """The pod runs, and everybody knows."""
        self.declare("running", await self.open_sshd())
        self.report("Running")


@asynccontextmanager
async def open_sleeper(folder: Path, *, service: str = "", **ssh: Any) -> AsyncIterator[Sleeper]:
    """With these SSH settings, and a service token of this scope."""

    def adjust(settings: Settings, state: GitLabState) -> Settings:
        auth = settings.auth
        if service:
            token = state.add_token(state.add_user("root", admin=True), (service,))
            auth = auth.model_copy(update={"service_token": SecretStr(token)})
        return settings.model_copy(update={"auth": auth, "ssh": settings.ssh.model_copy(update=ssh)})

    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(open_live(adjust))
        sleeper = Sleeper(live, folder, stack)
        live.state.subscribe(lambda before, after: _note_wish(sleeper, before, after))
        yield sleeper


def _note_wish(sleeper: Sleeper, before: GitLabWorkspace, after: GitLabWorkspace) -> None:
    if after.desired_state_updated != before.desired_state_updated:
        sleeper.wished.append(after.desired_state)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes up by itself, and lines come soon."""
    monkeypatch.setattr(lifecycle, "STARTING_SECONDS", ENDLESS)
    monkeypatch.setattr(limits, "WAKE_LINE", 0.3)


@pytest.fixture
async def sleeper(tmp_path: Path) -> AsyncIterator[Sleeper]:
    async with open_sleeper(tmp_path) as opened:
        yield opened


async def test_a_stopped_workspace_starts_and_its_owner_is_in_by_the_same_login(sleeper: Sleeper) -> None:
    """With a line every few seconds until then."""
    async with sleeper.ssh() as client:
        assert await client.wait_line("workspace") == f"workspace {sleeper.name} is Stopped: starting it"
        assert re.fullmatch(rf"starting {sleeper.name} \.\.\. \d+ s", await client.wait_line("starting"))
        await client.wait_line("starting")
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")

    assert sleeper.wished == ["Running"]
    (line,) = sleeper.live.logged("audit.workspace_started")
    assert (line["way"], line["by"], line["workspace"], line["user_id"]) == (
        "ssh",
        "token",
        sleeper.name,
        sleeper.ada.id,
    )
    assert sleeper.live.metric("wakes_total", way="ssh", result="started") == 1
    assert sleeper.live.metric("wake_seconds_count", way="ssh") == 1
    assert sleeper.live.metric("ssh_login_seconds_count") == 0


async def test_one_that_starts_already_is_waited_for(sleeper: Sleeper) -> None:
    """Somebody pressed the button; nothing is asked for a second time."""
    sleeper.live.state.want_state(sleeper.workspace.id, "Running")
    async with sleeper.ssh() as client:
        assert await client.wait_line("workspace") == f"workspace {sleeper.name} is Starting"
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")

    assert sleeper.wished == ["Running"]
    assert sleeper.live.logged("audit.workspace_started") == []


async def test_a_pod_that_went_while_gitlab_calls_it_running_is_waited_for(sleeper: Sleeper) -> None:
    """As where its node was emptied: the cluster knows first, and starts it somewhere else."""
    sleeper.live.state.want_state(sleeper.workspace.id, "Running")
    await sleeper.wait_known(WorkspaceState.STARTING)
    sleeper.declare("stopped")
    sleeper.report("Running")
    async with sleeper.ssh() as client:
        assert await client.wait_line("workspace") == f"workspace {sleeper.name} is Stopped"
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")


async def test_where_the_routes_do_not_tell_the_sshd_itself_is_tried(sleeper: Sleeper) -> None:
    """Without the right to read EndpointSlices; refused until it is there."""
    sleeper.declare("unknown")
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        await client.wait_line("starting")
        sleeper.report("Running")
        await client.wait_line("starting")
        sleeper.declare("unknown", await sleeper.open_sshd())
        assert await client.end() == (0, "in\n")


async def test_an_sshd_that_is_slower_than_its_pod_is_waited_for(sleeper: Sleeper) -> None:
    """GitLab's pods have no readiness probe: they count as running before their sshd does."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.declare("running")
        sleeper.report("Running")
        await client.wait_line("starting")
        await client.wait_line("starting")
        sleeper.declare("running", await sleeper.open_sshd())
        assert await client.end() == (0, "in\n")


async def test_one_without_an_sshd_is_not_waited_for_to_the_end(
    sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs, and refuses for longer than an sshd takes."""
    monkeypatch.setattr(limits, "WAKE_SSHD", 0.5)
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.declare("running")
        sleeper.report("Running")
        code, _ = await client.end()

    assert code == 255
    assert f"no sshd listens in workspace {sleeper.name}; its image must have one to be reached by SSH" in client.said


async def test_many_at_once_start_it_once_and_all_are_in(sleeper: Sleeper) -> None:
    """As an editor with its five connections, or Ansible."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(sleeper.ssh()) for _ in range(6)]
        for client in clients:
            await client.wait_line("workspace")
        await sleeper.come_up()
        ends = [await client.end() for client in clients]

    assert ends == [(0, "in\n")] * 6
    assert sleeper.wished == ["Running"]


async def test_a_token_that_may_only_read_reads_what_to_do_instead(sleeper: Sleeper) -> None:
    """At once, and nothing was started."""
    async with sleeper.ssh(token=sleeper.token("read_api")) as client:
        code, _ = await client.end()

    portal = sleeper.live.world.visit.portal_url
    assert code == 255
    assert client.told == (
        f"workspace {sleeper.name} is Stopped, and a token with the scope read_api alone cannot start it: "
        f"use one with the scope api, or start it at {portal}"
    )
    assert sleeper.wished == []


async def test_the_service_token_starts_it_for_one_that_may_only_read(tmp_path: Path) -> None:
    """If it may change things itself."""
    async with open_sleeper(tmp_path, service="api") as sleeper:
        async with sleeper.ssh(token=sleeper.token("read_api")) as client:
            await client.wait_line("starting it")
            await sleeper.come_up()
            assert await client.end() == (0, "in\n")

        assert sleeper.live.logged("audit.workspace_started")[0]["by"] == "service"


@pytest.mark.parametrize("state", ["Failed", "Error", "Terminating", "Terminated"])
async def test_what_will_not_run_is_not_waited_for(sleeper: Sleeper, state: str) -> None:
    """Nor started: that is for its owner to see to in GitLab."""
    sleeper.report(state)
    async with sleeper.ssh() as client:
        code, _ = await client.end()

    assert code == 255
    assert client.told == f"workspace {sleeper.name} is {state}, see {sleeper.live.world.visit.portal_url}"
    assert sleeper.wished == []


@pytest.mark.parametrize("state", ["Failed", "Error"])
async def test_a_start_that_fails_ends_the_wait(sleeper: Sleeper, state: str) -> None:
    """By GitLab's word."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.report(state)
        assert (await client.end())[0] == 255

    assert client.told == f"workspace {sleeper.name} is {state}, see {sleeper.live.world.visit.portal_url}"


async def test_one_that_is_stopped_meanwhile_is_not_started_again(sleeper: Sleeper) -> None:
    """By its owner, elsewhere; that was said last."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.live.state.want_state(sleeper.workspace.id, "Stopped")
        assert (await client.end())[0] == 255

    assert client.told.startswith(f"workspace {sleeper.name} was stopped while it started, see http")
    assert sleeper.wished == ["Running", "Stopped"]


async def test_gitlabs_no_is_passed_on_with_its_words(sleeper: Sleeper) -> None:
    """It knows best why."""
    sleeper.live.state.want_state(sleeper.workspace.id, "Terminated")
    sleeper.report("Stopped")
    async with sleeper.ssh() as client:
        assert (await client.end())[0] == 255

    said = f"GitLab does not start workspace {sleeper.name}: is 'Terminated', and cannot be updated"
    assert client.told.startswith(said)


async def test_the_wait_has_an_end(tmp_path: Path) -> None:
    """And says how long it was; the start goes on, so that the next login may find it done."""
    async with open_sleeper(tmp_path, wake_timeout=1) as sleeper:
        async with sleeper.ssh() as client:
            assert (await client.end())[0] == 255

        text = f"workspace {sleeper.name} has not started within 1 s, see {sleeper.live.world.visit.portal_url}"
        assert client.told == f"{text}; connect again to wait on"
        assert sleeper.workspace.desired_state == "Running"
        await sleeper.come_up()
        async with sleeper.ssh() as client:
            assert await client.end() == (0, "in\n")
        assert sleeper.wished == ["Running"]


async def test_the_time_for_a_login_does_not_cut_it(tmp_path: Path) -> None:
    """Who is known waits for something else."""
    async with open_sleeper(tmp_path, login_grace=8) as sleeper, sleeper.ssh() as client:
        await client.wait_line("starting it")
        loop = asyncio.get_running_loop()
        known = loop.time()
        while loop.time() < known + 8:
            await client.wait_line("starting")
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")


async def test_who_waits_takes_no_place_of_those_who_log_in(tmp_path: Path) -> None:
    """Nor do those who log in keep one from waiting."""
    async with open_sleeper(tmp_path, startups_begin=1, startups_full=2, max_startups_per_ip=1) as sleeper:
        async with AsyncExitStack() as stack:
            clients = []
            for _ in range(3):
                clients.append(await stack.enter_async_context(sleeper.ssh()))
                await clients[-1].wait_line("workspace")
            assert sleeper.live.metric("ssh_connections", state="waiting") == 3
            assert sleeper.live.metric("ssh_connections", state="login") == 0
            await sleeper.come_up()
            assert [await client.end() for client in clients] == [(0, "in\n")] * 3
        assert sleeper.live.metric("ssh_startups_dropped_total") == 0
        assert sleeper.live.metric("ssh_connections", state="waiting") == 0


async def test_who_waits_counts_among_the_sessions_of_their_person(tmp_path: Path) -> None:
    """One person cannot hold any number of connections open by it."""
    async with open_sleeper(tmp_path, max_sessions_per_user=1) as sleeper, sleeper.ssh() as client:
        await client.wait_line("starting it")
        async with sleeper.ssh() as second:
            assert (await second.end())[0] == 255
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")

    assert second.told == "Too many connections"


async def test_who_leaves_ends_the_waiting_and_not_the_start(sleeper: Sleeper) -> None:
    """As by Ctrl-C; nothing of the wait is left behind."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        client.program.terminate()
        await client.end()
    async with asyncio.timeout(PATIENCE):
        while not (closed := sleeper.live.logged("ssh.closed")):  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.02)

    assert len(closed) == 1
    assert sleeper.live.metric("ssh_connections", state="waiting") == 0
    assert sleeper.live.metric("ssh_connection_attempts_total", result="refused", error_type="CLIENT_LEFT") == 1
    assert sleeper.workspace.desired_state == "Running"


async def test_a_drain_tells_those_who_wait(sleeper: Sleeper) -> None:
    """They may go on to wait for as long as it lasts, and then read why it ends."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        assert sleeper.live.world.gateway.ssh is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper.live.world.gateway.ssh.drain(1))
            await client.wait_line("Gateway is restarting, this connection ends in 1 s at the latest")
        assert (await client.end())[0] == 255

    assert any("Gateway is restarting, reconnect" in line for line in client.said)


async def test_a_workspace_that_is_deleted_meanwhile_ends_the_wait(sleeper: Sleeper) -> None:
    """Nobody enters what comes after it under the same name."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.live.declare(
            lambda entry: entry.update(name="another", host_template="{{.port}}-another.x.localhost"), sleeper.name
        )
        assert (await client.end())[0] == 255

    assert any("The workspace is gone" in line for line in client.said)


@pytest.mark.parametrize("token", ["glpat-of-nobody", "grace"])
async def test_nobody_but_the_owner_starts_anything_or_learns_that_it_is_stopped(sleeper: Sleeper, token: str) -> None:
    """Another user and a stranger read the same."""
    async with sleeper.ssh(token=sleeper.live.token(token) if token == "grace" else token) as client:
        code, _ = await client.end()

    assert code == 255
    assert client.said[-1] == f"{sleeper.destination}: Permission denied (keyboard-interactive,password)."
    assert (sleeper.wished, sleeper.live.logged("wake.refused")) == ([], [])


async def test_waking_can_be_switched_off(tmp_path: Path) -> None:
    """Then its owner reads that it is stopped, as before."""
    async with open_sleeper(tmp_path, wake=False) as sleeper:
        async with sleeper.ssh() as client:
            assert (await client.end())[0] == 255

        assert client.told == f"workspace {sleeper.name} is Stopped, see {sleeper.live.world.visit.portal_url}"
        assert sleeper.wished == []


async def test_a_gitlab_that_is_away_during_the_wait_ends_nothing(sleeper: Sleeper) -> None:
    """The routes tell when the pod is there."""
    async with sleeper.ssh() as client:
        await client.wait_line("starting it")
        sleeper.live.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
        await client.wait_line("starting")
        sleeper.declare("running", await sleeper.open_sshd())
        assert await client.end() == (0, "in\n")


async def test_a_key_wakes_by_the_service_token(tmp_path: Path) -> None:
    """Once it has signed; a key that is merely offered starts nothing."""
    async with open_sleeper(tmp_path, service="api") as sleeper:
        key = _add_key(sleeper)
        async with sleeper.ssh("-i", key, token="none") as client:
            await client.wait_line("starting it")
            await sleeper.come_up()
            assert await client.end() == (0, "in\n")

        assert sleeper.live.logged("audit.workspace_started")[0]["by"] == "service"
        assert sleeper.live.logged("ssh.login")[0]["auth_method"] == "publickey"


async def test_a_key_wakes_by_the_sign_in_of_its_owner(sleeper: Sleeper) -> None:
    """On the portal of the same process, as keys do in general."""
    key = _add_key(sleeper)
    portal = f"{sleeper.live.world.visit.portal_url}/"
    async with sleeper.live.person("ada", at=portal), sleeper.ssh("-i", key, token="none") as client:
        await client.wait_line("starting it")
        await sleeper.come_up()
        assert await client.end() == (0, "in\n")

    assert sleeper.live.logged("audit.workspace_started")[0]["by"] == "session"


async def test_a_key_alone_cannot_wake_by_a_service_token_that_may_only_read(tmp_path: Path) -> None:
    """Its owner reads what would."""
    async with open_sleeper(tmp_path, service="read_api") as sleeper:
        key = _add_key(sleeper)
        async with sleeper.ssh("-i", key, token="none") as client:
            assert (await client.end())[0] == 255

        assert client.told == (
            f"workspace {sleeper.name} is Stopped, and nobody has let the gateway start it: log in with a GitLab token "
            f"of the scope api as the password, or start it at {sleeper.live.world.visit.portal_url}"
        )
        assert sleeper.wished == []


async def test_a_signature_that_is_none_starts_nothing(tmp_path: Path) -> None:
    """Whoever holds the public key alone."""
    async with open_sleeper(tmp_path, service="api") as sleeper:
        _add_key(sleeper)
        other = asyncssh.generate_private_key("ssh-ed25519")
        other.write_private_key(tmp_path / "other")
        (tmp_path / "other").chmod(0o600)
        async with sleeper.ssh("-i", str(tmp_path / "other"), token="none") as client:
            assert (await client.end())[0] == 255

        assert sleeper.wished == []


def _add_key(sleeper: Sleeper) -> str:
    """A key of ada's profile; its file."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = sleeper.folder / "id_ed25519"
    key.write_private_key(path)
    path.chmod(0o600)
    sleeper.live.state.add_key(sleeper.ada, key.export_public_key().decode())
    return str(path)


@pytest.mark.parametrize("service", ["api", ""])
async def test_a_token_that_is_revoked_during_the_wait_lets_nobody_in(tmp_path: Path, service: str) -> None:
    """What the service token says of the workspace says nothing of the token that was revoked."""
    async with open_sleeper(tmp_path, service=service) as sleeper:
        token = sleeper.token()
        async with sleeper.ssh(token=token) as client:
            await client.wait_line("starting it")
            sleeper.live.state.revoke(token)
            await sleeper.come_up()
            assert await client.end() == (255, "")

        assert [line["reason"] for line in sleeper.live.logged("ssh.refused")] == ["withdrawn"]


async def test_an_owner_who_is_blocked_during_the_wait_is_not_let_in(tmp_path: Path) -> None:
    """With a key, of which the workspace knows nothing either."""
    async with open_sleeper(tmp_path, service="api") as sleeper:
        key = _add_key(sleeper)
        async with sleeper.ssh("-i", key, token="none") as client:
            await client.wait_line("starting it")
            sleeper.live.state.block(sleeper.ada)
            await sleeper.come_up()
            assert await client.end() == (255, "")

        assert sleeper.live.logged("ssh.refused")[-1]["reason"] == "withdrawn"
