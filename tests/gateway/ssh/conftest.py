"""A real SSH door in front of a real sshd, with OpenSSH's own client programs to go through it.

Who owns a token and which workspaces exist is said by two small fakes that fill the seams of the door.
"""

import asyncio
import io
import json
import os
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from auth.model import Denied, Granted, User, Verdict, WorkspaceRecord
from config.settings import IdleSettings, SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.idle.ledger import Ledger
from gateway.idle.uses import Uses
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.internals.leg import Leg
from gateway.ssh.keys import Owners
from gateway.ssh.options import client_leg_options, workspace_leg_options
from gateway.ssh.parting import Parting
from gateway.ssh.server import SshDoor
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.model import Endpoint, Workspace, WorkspaceState
from tests.clock import Clock
from tests.log_words import check_words

TOKEN = "glpat-of-the-owner"
WORKSPACE = "apple"
LOOPBACK = "127.0.0.1"
PATIENCE = 30  # seconds for one program; it takes a fraction of one


@dataclass
class Directory:
    """The workspaces there are."""

    workspaces: dict[str, Workspace] = field(default_factory=dict)
    synced: bool = True
    observers: list[Callable[[], None]] = field(default_factory=list)

    def get_workspace(self, name: str) -> Workspace | None:
        return self.workspaces.get(name)

    def subscribe(self, observer: Callable[[], None]) -> None:
        self.observers.append(observer)


@dataclass
class Access:
    """Says what a test tells it to say, as often as it is asked, and remembers the questions."""

    state: str = "Running"
    answer: Verdict | Exception | None = None
    """Given to everybody; None decides by the token."""
    gate: asyncio.Event | None = None
    """Holds every answer back until it is set."""
    asked: list[str] = field(default_factory=list)
    open_questions: int = 0
    most_open_questions: int = 0

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict:
        self.asked.append(workspace_id)
        self.open_questions += 1
        self.most_open_questions = max(self.most_open_questions, self.open_questions)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.open_questions -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or self._decide(token, workspace_id)

    def _decide(self, token: SecretStr, workspace_id: str) -> Verdict:
        if token.get_secret_value() != TOKEN:
            return Denied("401", is_token_refused=True)
        if workspace_id != "7":
            return Denied("not the owner")
        return Granted(User(1, "ada"), WorkspaceRecord("7", WORKSPACE, 1, self.state))


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it wrote."""

    code: int
    out: bytes
    err: str


@dataclass
class Gateway:
    """The door, its seams, what it left behind in log and metrics, and OpenSSH's client in front of it."""

    door: SshDoor
    directory: Directory
    access: Access
    metrics: Metrics
    log: io.StringIO
    folder: Path
    ledger: Ledger
    uses: Uses
    clock: Clock
    """Of the ledger."""

    @property
    def workspace(self) -> Workspace:
        return self.directory.workspaces[WORKSPACE]

    def change_workspace(self, **changes: Any) -> None:
        self.directory.workspaces[WORKSPACE] = replace(self.workspace, **changes)
        for observer in self.directory.observers:
            observer()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 where it was never touched."""
        return self.metrics.registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0

    @property
    def options(self) -> tuple[str, ...]:
        """What makes ssh, scp and sftp use this door and nothing of the machine's own."""
        return (
            *("-F", "/dev/null", "-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "LogLevel=INFO"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"Port={self.door.port}"),
        )

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        """Answers every prompt with the token."""
        script = self.folder / f"askpass-{abs(hash(token))}"
        if not script.exists():
            script.write_text(f"#!/bin/sh\nprintf '%s\\n' '{token}'\n")
            script.chmod(0o700)
        home = str(self.folder)
        return {"PATH": os.environ["PATH"], "HOME": home, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}

    def command_line(self, *args: str) -> str:
        """`ssh <args>` for a shell, with the destination before the command, which is the last argument."""
        *options, command = args
        return shlex.join(("ssh", *self.options, *options, f"{WORKSPACE}@{LOOPBACK}", command))

    async def ssh(self, *args: str, stdin: bytes = b"", user: str = WORKSPACE, token: str = TOKEN) -> Done:
        """`ssh <args>`: options first; the destination is put before the command, which is the last argument."""
        *options, command = args
        destination = f"{user}@{LOOPBACK}"
        return await self.run("ssh", *self.options, *options, destination, command, stdin=stdin, token=token)

    async def run(
        self, *argv: str, stdin: bytes = b"", token: str = TOKEN, patience: float = PATIENCE, **environment: str
    ) -> Done:
        async with self.start(*argv, token=token, **environment) as program:
            if not stdin and program.stdin is not None:
                program.stdin.close()  # uvloop does not write, not even nothing, to a program that has ended
            async with asyncio.timeout(patience):
                out, err = await program.communicate(stdin or None)
            return Done(program.returncode or 0, out, err.decode())

    @asynccontextmanager
    async def start(
        self, *argv: str, token: str = TOKEN, **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A program that is ended with the block."""
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**self.environment(token), **environment},
            start_new_session=True,  # without a terminal of the test run to ask on
        )
        try:
            yield program
        finally:
            if program.returncode is None:
                program.kill()
                await program.communicate()

    @asynccontextmanager
    async def listen(self, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """An ssh without a command, which has logged in and has opened the listeners these options ask for."""
        ready = ("-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo ready")
        argv = ("ssh", *self.options, *ready, *options, "-N", f"{WORKSPACE}@{LOOPBACK}")
        async with self.start(*argv) as program:
            assert program.stdout is not None
            async with asyncio.timeout(PATIENCE):
                assert await program.stdout.readline() == b"ready\n"
            yield program

    @asynccontextmanager
    async def mount(self, place: Path) -> AsyncIterator[None]:
        """The workspace's home in this folder; who waits for it must not be the loop, on which the gateway runs."""
        async with self.start("sshfs", "-f", *self.options, f"{WORKSPACE}@{LOOPBACK}:", str(place)) as program:
            try:
                async with asyncio.timeout(PATIENCE):
                    while not _is_mounted(place):
                        assert program.returncode is None
                        await asyncio.sleep(0.02)
                yield
            finally:
                await self.run("umount", "--lazy", str(place))

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """asyncssh's client, for what OpenSSH's cannot be made to do."""
        settings: dict[str, Any] = {
            "username": WORKSPACE,
            "password": TOKEN,
            "config": None,
            "known_hosts": None,
            "client_keys": None,
            "agent_path": None,
            "gss_host": None,
        }
        port = options.pop("port", self.door.port)
        async with asyncssh.connect(LOOPBACK, port, **{**settings, **options}) as connection:
            yield connection


def _is_mounted(place: Path) -> bool:
    """Asks the kernel, and nothing of what is mounted."""
    return f" {place} fuse" in Path("/proc/mounts").read_text()


class Peer:
    """One end of the relay with every packet in the test's hand, as client or as the workspace's sshd."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.parting: asyncio.Future[Parting | None] = asyncio.get_running_loop().create_future()

    def packet_received(self, _leg: Leg, payload: bytes) -> None:
        self.received.put_nowait(payload)

    def data_relayed(self, _leg: Leg, _size: int, _packets: int) -> None:
        """Nothing is relayed: a raw end reads all packets itself."""

    def congestion_changed(self) -> None:
        """Lets everything pile up, as a hostile peer would."""

    def keepalive_due(self, _leg: Leg) -> None:
        """Nothing is asked."""

    def leg_closed(self, _leg: Leg, parting: Parting | None) -> None:
        self.parting.set_result(parting)

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.received.get()

    async def wait_parting(self) -> Parting | None:
        """What the other side said when it closed the connection; None if it just closed it."""
        async with asyncio.timeout(PATIENCE):
            return await self.parting


class _RawSshd(asyncssh.SSHServer):
    """Lets the gateway in and gives the connection to the test."""

    def __init__(self, arrived: "asyncio.Future[Peer]") -> None:
        self._arrived = arrived
        self._leg: Leg | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLeg)
        self._leg = conn

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return False

    def auth_completed(self) -> None:
        assert self._leg is not None
        peer = Peer(self._leg)
        self._leg.attach(peer)
        self._arrived.set_result(peer)


class _RawClient(asyncssh.SSHClient):
    """Logs in with the token."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def password_auth_requested(self) -> str:
        return TOKEN

    def auth_completed(self) -> None:
        self.outcome.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(exc or ConnectionError())


class Bench:
    """Opens doors; whatever it opened is closed after the test."""

    def __init__(self, stack: AsyncExitStack, host_key: asyncssh.SSHKey, folder: Path) -> None:
        self._stack = stack
        self._host_key = host_key
        self._folder = folder
        self.cipher = "aes128-gcm@openssh.com"
        """Of raw clients."""

    async def open_sshd(self) -> WorkspaceSshd:
        return await self._stack.enter_async_context(WorkspaceSshd())

    async def open_door(
        self,
        ssh: Endpoint | None,
        *,
        portal_url: str = "",
        owners: Owners | None = None,
        **settings: Any,
    ) -> Gateway:
        """A door to one workspace whose sshd is at this address."""
        workspace = Workspace("7", "uid-7", WORKSPACE, "ns", "1", WorkspaceState.RUNNING, ssh)
        directory, access, metrics, log = Directory({WORKSPACE: workspace}), Access(), Metrics(), io.StringIO()
        key = SecretStr(self._host_key.export_private_key().decode())
        changes = {"host_key": key, "failure_delay": 0.01, **settings}
        chosen = SshSettings(address=LOOPBACK, **changes).model_copy(update={"port": 0})  # any free one
        told = open_log("debug", log)
        clock = Clock()
        ledger = Ledger(clock)
        uses = Uses(IdleSettings(), ledger)
        door = SshDoor(chosen, directory, access, metrics, told, uses=uses, owners=owners, portal_url=portal_url)
        self._stack.callback(check_words, log)
        await self._stack.enter_async_context(door)
        self._write_known_hosts(door)
        return Gateway(door, directory, access, metrics, log, self._folder, ledger, uses, clock)

    async def join(self, **settings: Any) -> tuple[Gateway, Peer, Peer]:
        """A gateway that relays between a raw client and a raw workspace."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[Peer] = loop.create_future()
        options = client_leg_options(SshSettings(), [self._host_key])
        server = await loop.create_server(lambda: ClientLeg(options, _RawSshd(arrived)), LOOPBACK, 0)
        self._stack.callback(server.close)
        gateway = await self.open_door(Endpoint(LOOPBACK, server.sockets[0].getsockname()[1]), **settings)
        client = await self.connect_raw(gateway)
        workspace = await arrived
        self._stack.push_async_callback(self._end, workspace)
        return gateway, client, workspace

    async def connect_raw(self, gateway: Gateway) -> Peer:
        """A raw client that has logged in."""
        login = _RawClient()
        options = workspace_leg_options(SshSettings(backend_username=WORKSPACE))
        options.encryption_algs = [self.cipher.encode()]
        _, leg = await asyncio.get_running_loop().create_connection(
            lambda: WorkspaceLeg(options, login), LOOPBACK, gateway.door.port
        )
        assert await login.outcome is None
        peer = Peer(leg)
        leg.attach(peer)
        self._stack.push_async_callback(self._end, peer)
        return peer

    @staticmethod
    async def _end(peer: Peer) -> None:
        peer.leg.kill()
        await peer.leg.gone

    def _write_known_hosts(self, door: SshDoor) -> None:
        key = self._host_key.export_public_key().decode()
        with (self._folder / "known_hosts").open("a") as file:
            file.write(f"[{LOOPBACK}]:{door.port} {key}")


@pytest.fixture(scope="session")
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
async def bench(tmp_path: Path, host_key: asyncssh.SSHKey) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack, host_key, tmp_path)


@pytest.fixture
async def sshd(bench: Bench) -> WorkspaceSshd:
    """The workspace's sshd."""
    return await bench.open_sshd()


@pytest.fixture
async def gateway(bench: Bench, sshd: WorkspaceSshd) -> Gateway:
    """A door to the workspace `apple`, which runs and belongs to the owner of `TOKEN`."""
    return await bench.open_door(Endpoint(LOOPBACK, sshd.port))
