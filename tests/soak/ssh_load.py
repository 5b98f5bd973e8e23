"""The SSH half of the load: commands, copies, forwards and terminals, each checked byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh

from gateway.demo.terminal import run_over_ssh
from tests.soak.content import Checker, Corrupt, content, generate
from tests.soak.http_load import Visitors
from tests.soak.ledger import Ended, Kind
from tests.soak.person import PATIENCE
from tests.soak.stage import Stage, Workspace
from tests.soak.workspace import seed_of

COPY = 10_000_000  # bytes at most
PIECE = 256 * 1024
KEYS = 99_991  # a prime: what is typed again after so many bytes is cut up differently
KEY_SECONDS = 0.5


@asynccontextmanager
async def connect(stage: Stage, workspace: Workspace) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A login with the owner's token."""
    login = stage.login(workspace)
    async with asyncssh.connect(
        login.host,
        login.port,
        username=login.workspace,
        password=login.token.get_secret_value(),
        known_hosts=None,
        config=None,
        client_keys=None,
        agent_path=None,
        kex_algs=["curve25519-sha256"],  # the cheapest, for the side that is not tested
        login_timeout=2 * PATIENCE,
    ) as connection:
        yield connection


async def command(stage: Stage, _visitors: Visitors) -> None:
    """What is sent to `cat` comes back, and its status."""
    seed, size = stage.serial(), stage.size(COPY)
    with stage.ledger.record("ssh command") as kind:
        async with (
            connect(stage, stage.any()) as connection,
            connection.create_process("cat", encoding=None) as process,
        ):
            async with asyncio.TaskGroup() as group:
                group.create_task(_send(process, seed, size, kind))
                group.create_task(_receive(process, seed, size, kind))
            async with asyncio.timeout(PATIENCE):
                await process.wait_closed()
        if process.exit_status != 0:
            raise Ended(f"cat ended with {process.exit_status}")


async def _send(process: asyncssh.SSHClientProcess[bytes], seed: str, size: int, kind: Kind) -> None:
    for piece in generate(seed, size):
        process.stdin.write(piece)
        kind.sent += len(piece)
        async with asyncio.timeout(PATIENCE):
            await process.stdin.drain()
    process.stdin.write_eof()


async def _receive(process: asyncssh.SSHClientProcess[bytes], seed: str, size: int, kind: Kind) -> None:
    checker = Checker(seed)
    while True:
        async with asyncio.timeout(PATIENCE):
            piece = await process.stdout.read(PIECE)
        if not piece:
            break
        checker.feed(piece)
        kind.received += len(piece)
    if checker.position < size:
        raise Ended(f"after {checker.position} of {size} bytes")
    checker.end(size)


async def copy(stage: Stage, _visitors: Visitors) -> None:
    """A file there and back by SFTP, looked at where it lies."""
    name, size = stage.serial(), stage.size(COPY)
    with stage.ledger.record("ssh copy") as kind:
        async with connect(stage, stage.any()) as connection, connection.start_sftp_client() as sftp:
            async with sftp.open(name, "wb") as file:
                for piece in generate(name, size):
                    async with asyncio.timeout(PATIENCE):
                        await file.write(piece)
                    kind.sent += len(piece)
            check(name, (stage.home / name).read_bytes(), size)
            checker = Checker(name)
            async with sftp.open(name, "rb") as file:
                while True:
                    async with asyncio.timeout(PATIENCE):
                        piece = await file.read(PIECE)
                    if not piece:
                        break
                    checker.feed(piece)
                    kind.received += len(piece)
            checker.end(size)
            await sftp.remove(name)


def check(seed: str, data: bytes, size: int) -> None:
    checker = Checker(seed)
    checker.feed(data)
    checker.end(size)


async def forward(stage: Stage, _visitors: Visitors) -> None:
    """A request to a server in the workspace, as `ssh -L` makes it."""
    name, size = stage.serial(), stage.size(COPY // 10)
    request = f"GET /bytes?seed={name}&bytes={size} HTTP/1.1\r\nHost: inside\r\nConnection: close\r\n\r\n"
    with stage.ledger.record("ssh forward") as kind:
        async with connect(stage, stage.any()) as connection:
            reader, writer = await connection.open_connection("127.0.0.1", stage.http_port)
            writer.write(request.encode())
            async with asyncio.timeout(PATIENCE):
                data = await reader.read()
            writer.close()
        kind.received += len(data)
        check(seed_of("inside", name), data.partition(b"\r\n\r\n")[2], size)


async def openssh(stage: Stage, _visitors: Visitors) -> None:
    """OpenSSH's own client, whose output is a file that lies there."""
    workspace, name = stage.any(), stage.serial()
    text = content(name, stage.size(COPY // 100)).hex()
    with stage.ledger.record("ssh program") as kind:
        file = stage.home / name
        file.write_text(text)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                outcome = await run_over_ssh(stage.login(workspace), f"cat {name}; exit 7")
        finally:
            file.unlink()
        kind.received += len(outcome.stdout)
        if outcome.is_refused:
            raise Ended(outcome.stderr)
        if (outcome.status, outcome.stdout) != (7, text):
            raise Corrupt(f"status {outcome.status}, {len(outcome.stdout)} of {len(text)} characters, {outcome.stderr}")


async def stranger(stage: Stage, _visitors: Visitors) -> None:
    """A made-up token opens nothing."""
    workspace = stage.any()
    with stage.ledger.record("ssh refused"):
        try:
            async with asyncssh.connect(
                *("127.0.0.1", stage.ports.ssh),
                username=workspace.name,
                password=f"glpat-{stage.serial()}",
                known_hosts=None,
                config=None,
                client_keys=None,
                agent_path=None,
                login_timeout=2 * PATIENCE,
            ):
                raise Corrupt("a made-up token was let in")
        except asyncssh.PermissionDenied:
            return


async def stay(stage: Stage, workspace: Workspace) -> None:
    """Type into a terminal that is open until the workspace goes or the load ends."""
    with stage.ledger.record("held terminal", workspace.lease, where=workspace.name) as kind:
        async with (
            workspace.lease.limit(),
            connect(stage, workspace) as connection,
            connection.create_process(term_type="xterm", encoding=None) as process,
        ):
            await _type(stage, process, kind)


async def _type(stage: Stage, process: asyncssh.SSHClientProcess[bytes], kind: Kind) -> None:
    process.stdin.write(b"stty raw -echo; echo re''ady; exec cat\n")
    async with asyncio.timeout(PATIENCE):
        await process.stdout.readuntil(b"ready\n")
    keys = content(stage.serial(), KEYS)
    position = 0
    while not stage.ending.is_set():
        typed = keys[position : position + stage.random.randint(1, 20)]
        process.stdin.write(typed)
        kind.sent += len(typed)
        async with asyncio.timeout(PATIENCE):
            echo = await process.stdout.readexactly(len(typed))
        kind.received += len(echo)
        if echo != typed:
            raise Corrupt(f"typed {typed!r}, saw {echo!r}")
        position = (position + len(typed)) % KEYS
        await asyncio.sleep(stage.random.expovariate(1 / KEY_SECONDS))
