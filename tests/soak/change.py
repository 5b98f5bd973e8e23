"""What changes under the load: people come and go, ports open and shut, workspaces appear and vanish, clients too.

Each change says first what it takes away, so that only those who lose something may notice.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import asyncssh

from gateway.demo.world import EDITOR_PORT
from tests.soak import http_load, ssh_load
from tests.soak.http_load import Place, Visitors, host_of
from tests.soak.ledger import OUTLIVE_SECONDS, Lease, Refused
from tests.soak.person import PATIENCE, Person, open_person
from tests.soak.stage import INTERNAL_PORT, OPEN_PORT, SHARED_PORT, Stage, Workspace
from tests.soak.vitals import read_metrics

_LEVELS = ("private", "internal", "public")
_LINGER = struct.pack("ii", 1, 0)  # close(2) sends RST
_LOOK_SECONDS = 0.2


async def sign_in(stage: Stage, _visitors: Visitors) -> None:
    """Somebody signs in, opens an editor, and signs out, which ends what is open in that browser."""
    workspace, lease = stage.any(), Lease()
    url = stage.address(workspace, EDITOR_PORT)
    with stage.ledger.record("sign-in"):
        async with open_person(stage, workspace.owner) as person:
            await person.enter(f"{stage.portal}/")
            await person.enter(url)
            async with asyncio.TaskGroup() as group:
                group.create_task(http_load.stay(Place(stage, person, workspace, EDITOR_PORT), lease))
                await _rest(stage, 3)
                lease.lose()
                await person.sign_out()
            await _until(person, url, 401)


async def look_in(stage: Stage, _visitors: Visitors) -> None:
    """Somebody signs in for an internal port, and leaves without signing out."""
    with stage.ledger.record("visit"):
        async with open_person(stage, "lin") as person:
            await person.enter(stage.address(stage.any(), INTERNAL_PORT))


async def flip(stage: Stage, _visitors: Visitors) -> None:
    """An owner changes who may see a port; those who may no longer lose what they have open, and nobody else."""
    workspace = stage.workspaces[0]
    with stage.ledger.record("visibility"):
        async with stage.changing, open_person(stage) as program:
            level = stage.random.choice(_LEVELS)
            lost = [lease for name, lease in stage.openness.items() if _LEVELS.index(level) < _LEVELS.index(name)]
            for lease in lost:
                lease.lose()
            url = f"{stage.portal}/api/v1/workspaces/{workspace.name}/ports/{SHARED_PORT}"
            headers = {"X-Workspaces-Token": workspace.token.get_secret_value()}
            body = json.dumps({"visibility": level}).encode()
            async with asyncio.timeout(PATIENCE), program.ask(url, method="PUT", headers=headers, body=body) as answer:
                if answer.status != 200:
                    raise Refused(f"{answer.status} {await answer.text()}")
            for name, lease in stage.openness.items():
                if lease.is_lost and _LEVELS.index(level) >= _LEVELS.index(name):
                    stage.openness[name] = Lease()
            await _until(program, stage.address(workspace, SHARED_PORT), 200 if level == "public" else 401)
            for lease in lost:
                await lease.wait_free()


async def share(stage: Stage, visitors: Visitors) -> None:
    """Visitors of the port whose openness changes, until it is shut before them."""
    with stage.ledger.record("shared port"):
        async with open_person(stage) as nobody, AsyncExitStack() as stack:
            async with stage.changing:
                # Whoever comes while it is public comes as nobody, and has to go when it is internal.
                is_public = not stage.openness["public"].is_lost
                need, person = ("public", nobody) if is_public else ("internal", visitors.named("grace"))
                lease = stage.openness[need]
                if lease.is_lost:
                    return
                stack.enter_context(lease.hold())
                place = Place(stage, person, stage.workspaces[0], SHARED_PORT)
                await person.enter(place.url("/"))
            async with asyncio.TaskGroup() as group:
                holding = group.create_task(http_load.stay(place, lease))
                await asyncio.wait({holding}, timeout=stage.random.uniform(2, 8))
                if not lease.is_lost:
                    holding.cancel()


async def guest(stage: Stage, visitors: Visitors) -> None:
    """A workspace appears, is used, is perhaps made anew under its name, and vanishes; only what is open there ends."""
    owner = visitors.named(stage.random.choice(("ada", "grace")))
    with stage.ledger.record("guest"):
        workspace = stage.add(f"guest-{stage.serial()}", owner.name)
        if stage.random.random() < 0.5:
            successor: list[Workspace] = []
            await _use(stage, owner, workspace, lambda: successor.append(stage.renew(workspace)))
            [workspace] = successor
        await _use(stage, owner, workspace, lambda: stage.remove(workspace))
        await _until(owner, stage.address(workspace, EDITOR_PORT), 401, 404)


async def _use(stage: Stage, owner: Person, workspace: Workspace, end: Callable[[], None]) -> None:
    await _wait_known(stage, workspace)
    await owner.enter(stage.address(workspace, EDITOR_PORT))
    async with asyncio.TaskGroup() as group:
        group.create_task(http_load.stay(Place(stage, owner, workspace, EDITOR_PORT), workspace.lease))
        group.create_task(ssh_load.stay(stage, workspace))
        await _rest(stage, 8)
        end()


async def _wait_known(stage: Stage, workspace: Workspace) -> None:
    async with asyncio.timeout(PATIENCE), open_person(stage) as program:
        url = stage.address(workspace, OPEN_PORT, "/bytes?seed=known&bytes=1")
        while True:
            async with program.ask(url) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(_LOOK_SECONDS)


async def _until(person: Person, url: str, *wanted: int) -> None:
    """Ask until the answer has one of these statuses.

    Raises:
        Refused: if it has another for too long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OUTLIVE_SECONDS
    while True:
        async with person.ask(url) as answer:
            if answer.status in wanted:
                return
            if loop.time() > deadline:
                raise Refused(f"still {answer.status} instead of {wanted} at {host_of(url)}")
        await asyncio.sleep(_LOOK_SECONDS)


async def reload(stage: Stage, _visitors: Visitors) -> None:
    """The settings are read again: as they were, with another key, or refused for a fault. Nobody notices."""
    change = stage.random.choice(("nothing", "nothing", "key", "fault"))
    async with stage.reloading:
        with stage.ledger.record(f"reload, {change}"):
            before = await read_metrics(stage.admin)
            if change == "nothing":
                stage.signal_reload()
            elif change == "key":
                stage.rotate_keys()
            else:
                stage.misconfigure()
                await _wait_loaded(stage, before, succeeds=False)
                before = await read_metrics(stage.admin)
                stage.configure()
            await _wait_loaded(stage, before, succeeds=True)


async def _wait_loaded(stage: Stage, before: Mapping[str, float], *, succeeds: bool) -> None:
    """Until the settings were loaded once more, with that outcome."""
    loads = "config_reloads_total"
    async with asyncio.timeout(PATIENCE):
        while True:
            now = await read_metrics(stage.admin)
            if now.get(loads, 0) > before.get(loads, 0) and now["config_last_reload_successful"] == succeeds:
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def vanish(stage: Stage, _visitors: Visitors) -> None:
    """A client sends or takes a part, and is gone without a word."""
    host = host_of(stage.address(stage.any(), OPEN_PORT))
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    head = stage.random.choice(
        (
            f"GET /bytes?seed=v&bytes=1 HTTP/1.1\r\nHost: {host}\r\nX-",
            f"GET /bytes?seed=v&bytes=5000000 HTTP/1.1\r\nHost: {host}\r\n\r\n",
            f"POST /bytes?seed=v HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n" + 50_000 * "x",
            f"GET /events?seed=v&count=99&interval=0.1 HTTP/1.1\r\nHost: {host}\r\n\r\n",
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\n{upgrade}{'A' * 22}==\r\n\r\n",
        )
    )
    with stage.ledger.record("vanished"):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.ports.http)
        writer.write(head.encode())
        if head.startswith("GET") and head.endswith("\r\n\r\n"):
            async with asyncio.timeout(PATIENCE):
                if not (await reader.readline()).startswith(b"HTTP/1.1 "):
                    raise Refused("no answer")
        _reset(writer)


async def vanish_from_ssh(stage: Stage, _visitors: Visitors) -> None:
    """Before the login, or in the middle of a command's output."""
    with stage.ledger.record("ssh vanished"):
        if stage.random.random() < 0.5:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.ports.ssh)
            async with asyncio.timeout(PATIENCE):
                await reader.readline()
            _reset(writer)
            return
        try:
            async with ssh_load.connect(stage, stage.any()) as connection:
                process = await connection.create_process("cat /dev/zero", encoding=None)
                async with asyncio.timeout(PATIENCE):
                    await process.stdout.readexactly(100_000)
                connection.abort()
        except asyncssh.ConnectionLost:
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()


async def _rest(stage: Stage, seconds: float) -> None:
    """For a while, or until the load ends."""
    try:
        async with asyncio.timeout(stage.random.uniform(0.3, 1) * seconds):
            await stage.ending.wait()
    except TimeoutError:
        return
