"""WebSockets: opened only by an answer that accepts them, and then a tunnel that changes no byte."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from gateway.http import farewell
from gateway.http.tunnel import Tunnel
from gateway.http.websocket import accept_key
from gateway.idle.pulse import Pulse
from tests.eventually import eventually
from tests.gateway.http.conftest import (
    HOST,
    OK,
    Message,
    Scene,
    Stage,
    Workspace,
    World,
    answering,
    open_world,
    read_head,
    read_response,
    request,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = request("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + accept_key(KEY.encode())
    + b"\r\n\r\n"
)
Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_tunnel(world: World) -> tuple[Side, Side]:
    """Both ends of a new tunnel: the client's and the workspace's."""
    scene = Scene()
    await world.add(scene)
    client = await world.connect()
    client[1].write(ASK)
    workspace = await scene.accept()
    await read_head(workspace[0])
    workspace[1].write(ACCEPT)
    assert (await read_response(client[0])).status == 101
    return client, workspace


async def test_handshake_keeps_its_spelling_and_order(world: World) -> None:
    """Sec-WebSocket-* reach each side as the other wrote them; the choice of a protocol is the workspace's."""
    scene = Scene()
    await world.add(scene)
    reader, writer = await world.connect()
    asked = [
        b"sec-websocket-VERSION: 13",
        b"Sec-WebSocket-Protocol: vscode, chat",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other",
        b"SEC-WEBSOCKET-KEY: " + KEY.encode(),
    ]

    writer.write(request(*asked, "Connection: keep-alive, Upgrade", "Upgrade: WebSocket"))
    inside, outside = await scene.accept()
    got = await read_head(inside)
    outside.write(ACCEPT[:-2] + b"sec-websocket-PROTOCOL: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    answer = await read_response(reader)

    assert [line for line in got.split(b"\r\n") if line.lower().startswith(b"sec-")] == asked
    assert Message(got).one(b"connection") == b"Upgrade"
    assert Message(got).one(b"upgrade") == b"websocket"
    assert (answer.one(b"connection"), answer.one(b"upgrade")) == (b"Upgrade", b"websocket")
    assert b"\r\nsec-websocket-PROTOCOL: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in answer.head


async def test_protocol_that_was_not_offered_is_not_answered(stage: Stage) -> None:
    """No Sec-WebSocket-Protocol in, none out."""
    stage.writer.write(ASK)
    inside, outside = await stage.scene.accept()
    head = await read_head(inside)
    outside.write(ACCEPT)
    answer = await read_response(stage.reader)

    assert b"protocol" not in head.lower()
    assert not answer.all(b"sec-websocket-protocol")


async def test_tunnel_changes_no_byte(world: World) -> None:
    """50 MiB each way at once arrive as they were sent, whatever they are."""
    (reader, writer), (inside, outside) = await open_tunnel(world)
    size = 50 * 1024 * 1024
    up, down = os.urandom(1 << 20) * 50, os.urandom(1 << 20) * 50

    async with asyncio.TaskGroup() as group:
        group.create_task(send(writer, up))
        group.create_task(send(outside, down))
        from_client = group.create_task(inside.readexactly(size))
        from_workspace = group.create_task(reader.readexactly(size))

    assert from_client.result() == up
    assert from_workspace.result() == down


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def test_single_bytes_pass_at_once(world: World) -> None:
    """Nothing waits to be joined with anything."""
    (reader, writer), (inside, outside) = await open_tunnel(world)

    for number in range(200):
        writer.write(bytes([number]))
        assert await inside.readexactly(1) == bytes([number])
        outside.write(bytes([number]))
        assert await reader.readexactly(1) == bytes([number])


async def test_early_bytes_are_kept(stage: Stage) -> None:
    """What follows the request or the 101 in the same segment, or before the answer, belongs to the tunnel."""
    inside, outside = await stage.ask(ASK + b"with the request,")
    stage.writer.write(b"before the answer,")
    await eventually(lambda: stage.writer.transport.get_write_buffer_size() == 0)
    outside.write(ACCEPT + b"with the answer")
    await read_response(stage.reader)
    stage.writer.write(b"after it")

    assert await stage.reader.readexactly(15) == b"with the answer"
    assert await inside.readexactly(43) == b"with the request,before the answer,after it"


async def test_flood_of_early_bytes_is_held(world: World) -> None:
    """Before there is a tunnel only a little is taken; all of it arrives when there is one."""
    scene = Scene()
    await world.add(scene)
    _, writer = await world.connect()
    flood = os.urandom(1 << 20) * 32

    writer.write(ASK + flood)
    inside, outside = await scene.accept()
    await read_head(inside)
    left = -1
    while left != writer.transport.get_write_buffer_size():
        left = writer.transport.get_write_buffer_size()
        await asyncio.sleep(0.1)  # until nothing moves any more
    outside.write(ACCEPT)

    assert left > 8 << 20
    assert await inside.readexactly(len(flood)) == flood


async def test_pipelined_upgrade_keeps_its_bytes(stage: Stage) -> None:
    """An upgrade behind another request is opened in its turn, and its bytes are no request."""
    inside, outside = await stage.ask(request() + ASK + b"\x81\x02hi")
    stage.writer.write(b" there")
    outside.write(OK)
    assert (await read_response(stage.reader)).body == b"ok"
    await read_head(inside)
    outside.write(ACCEPT)

    assert (await read_response(stage.reader)).status == 101
    assert await inside.readexactly(10) == b"\x81\x02hi there"


@pytest.mark.parametrize("first", ["client", "workspace"])
async def test_half_close_passes(world: World, first: str) -> None:
    """One side may end while the other goes on; then both are closed."""
    ends = await open_tunnel(world)
    (reader, writer), (other_reader, other_writer) = ends if first == "client" else (ends[1], ends[0])

    writer.write(b"last words")
    writer.write_eof()
    assert await other_reader.read() == b"last words"
    other_writer.write(b"and an answer")
    assert await reader.readexactly(13) == b"and an answer"
    other_writer.write_eof()

    assert await reader.read() == b""
    await eventually(lambda: world.metric("http_tunnels") == 0)


@pytest.mark.parametrize("first", ["client", "workspace"])
async def test_end_of_one_side_ends_the_other(world: World, first: str) -> None:
    """Whoever leaves, nothing stays open."""
    ends = await open_tunnel(world)
    (_, writer), (other_reader, other_writer) = ends if first == "client" else (ends[1], ends[0])

    writer.transport.abort()
    async with asyncio.timeout(1):
        assert await other_reader.read() == b""
    other_writer.close()

    await eventually(lambda: world.metric("http_tunnels") == 0)
    assert '"event": "http.tunnel_closed"' in world.log.getvalue()


@pytest.mark.parametrize("slow", ["client", "workspace"])
async def test_tunnel_holds_the_faster_side(world: World, slow: str) -> None:
    """A side that stops reading stops the other; little is kept between them."""
    ends = await open_tunnel(world)
    (reader, _), (_, writer) = ends if slow == "client" else (ends[1], ends[0])
    size = 64 << 20

    writer.write(bytes(size))
    left = -1
    while left != writer.transport.get_write_buffer_size():
        left = writer.transport.get_write_buffer_size()
        await asyncio.sleep(0.2)  # until nothing moves any more

    assert left > 16 << 20
    assert len(await reader.readexactly(size)) == size


class Filler(asyncio.Protocol):
    """Writes until its peer takes no more."""

    def __init__(self) -> None:
        self.is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's are so by shape
        while not self.is_full:
            self.transport.write(bytes(65536))

    def pause_writing(self) -> None:
        self.is_full = True


def tunnel_of(client: asyncio.WriteTransport, workspace: asyncio.WriteTransport, told: list[str]) -> Tunnel:
    """A tunnel that says what it tells."""
    return Tunnel(
        cast(asyncio.Transport, client),
        cast(asyncio.Transport, workspace),
        pulse=Pulse(),
        closed=lambda _up, _down: told.append("closed"),
        client_lost=lambda: told.append("client"),
        workspace_lost=lambda: told.append("workspace"),
    )


async def test_an_end_that_has_yet_to_take_something_is_not_lost_before() -> None:
    """It keeps its descriptor and memory, so it keeps the place that it was counted for."""
    loop = asyncio.get_running_loop()
    told: list[str] = []
    with ExitStack() as stack:
        ends = [stack.enter_context(end) for _ in range(2) for end in socket.socketpair()]
        full, _ = await loop.create_connection(Filler, sock=ends[1])
        workspace, _ = await loop.create_connection(asyncio.Protocol, sock=ends[3])
        tunnel = tunnel_of(full, workspace, told)
        tunnel.open(b"", b"")

        tunnel.close()
        await eventually(lambda: "workspace" in told)
        before = list(told)
        ends[0].close()
        await eventually(lambda: "client" in told)

    assert before == ["closed", "workspace"]
    assert told == ["closed", "workspace", "client"]


async def test_tunnel_to_a_slow_reader_is_held_from_the_start() -> None:
    """A client that had not taken what came before the tunnel is not flooded by it."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        ends = [stack.enter_context(end) for _ in range(2) for end in socket.socketpair()]
        full, _ = await loop.create_connection(Filler, sock=ends[1])
        poured, _ = await loop.create_connection(asyncio.Protocol, sock=ends[2])
        workspace, _ = await loop.create_connection(asyncio.Protocol, sock=ends[3])
        for transport in (full, poured, workspace):
            stack.callback(transport.abort)

        tunnel_of(full, workspace, []).open(b"", b"early")
        poured.write(bytes(32 << 20))
        left = -1
        while left != poured.get_write_buffer_size():
            left = poured.get_write_buffer_size()
            await asyncio.sleep(0.1)  # until nothing moves any more

    assert left > 30 << 20


async def test_flood_of_tiny_frames_costs_little(world: World) -> None:
    """Frames are followed for a parting word only, so a workspace that sends nothing but heads is followed no more."""
    (reader, _), (_, outside) = await open_tunnel(world)
    size = 16 << 20

    async with asyncio.timeout(10):
        outside.write(bytes(size))
        assert len(await reader.readexactly(size)) == size


DECLINED = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "200 in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno",
    "426": b"HTTP/1.1 426 Upgrade\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("raw", DECLINED.values(), ids=DECLINED)
async def test_declined_upgrade_is_an_ordinary_answer(world: World, raw: bytes) -> None:
    """Another answer than 101 passes as HTTP, and both connections go on."""
    workspace = Workspace(raw, OK)
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(ASK)
    got = await read_response(reader)
    writer.write(request())

    assert (got.status, got.body) == (int(raw[9:12]), b"no")
    assert (await read_response(reader)).body == b"ok"
    assert workspace.connections == 1


@pytest.mark.parametrize("host", [HOST, "nobody.dev"], ids=["by the workspace", "by us"])
async def test_early_bytes_of_a_declined_upgrade_are_no_request(world: World, host: str) -> None:
    """They were meant for the tunnel, so the connection ends."""
    workspace = Workspace(DECLINED["403"])
    await world.add(workspace)
    ask = ASK.replace(HOST.encode(), host.encode())

    answer = await world.exchange(ask + request(target="/evil"))

    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"/evil" not in [one.target for one in workspace.requests]


REFUSED = {
    "wrong Accept": ACCEPT.replace(accept_key(KEY.encode()), accept_key(b"x")),
    "no Accept": ACCEPT.replace(b"Sec-WebSocket-Accept", b"X-Accept"),
    "another protocol": ACCEPT.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "no Upgrade": ACCEPT.replace(b"Upgrade: websocket\r\n", b""),
    "no Connection": ACCEPT.replace(b"Connection: Upgrade\r\n", b""),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
async def test_answer_that_accepts_something_else_is_502(world: World, stage: Stage, raw: bytes) -> None:
    """A 101 that does not answer the handshake opens nothing."""
    inside, outside = await stage.ask(ASK)
    outside.write(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    assert (await read_response(stage.reader)).code == b"broken_upstream"
    assert await inside.read() == b""
    assert world.metric("http_tunnels_opened_total") == 0


@pytest.mark.parametrize("upgrade", ["notwebsocket", "h2c", "TLS/1.0"])
async def test_other_protocols_are_not_taken_up(world: World, upgrade: str) -> None:
    """They reach the workspace as ordinary requests that offer nothing."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request("Connection: Upgrade", f"Upgrade: {upgrade}"))

    assert (await read_response(reader)).body == b"ok"
    assert not workspace.request.all(b"upgrade")
    assert not workspace.request.all(b"connection")


async def test_a_thousand_failing_upgrades_leave_nothing(world: World) -> None:
    """No descriptor stays open towards a workspace that is stopped, nor towards its visitors."""
    await world.add(None)
    await failing_upgrade(world)
    before = descriptors()

    for _ in range(20):
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(failing_upgrade(world))

    await eventually(lambda: world.metric("http_connections") == 0)
    await eventually(lambda: descriptors() <= before)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def failing_upgrade(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port)
    writer.write(ASK)
    assert (await read_response(reader)).code == b"nothing_listens"
    writer.close()


async def test_vanished_peers_are_noticed_by_the_kernel(world: World) -> None:
    """Both ends of a tunnel have TCP keepalive, because a tunnel may be silent for ever."""
    await open_tunnel(world)

    (tunnel,) = world.door._tunnels
    sockets = [end.transport.get_extra_info("socket") for end in (tunnel._client, tunnel._workspace)]

    assert [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in sockets] == [1, 1]
    assert {sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) for sock in sockets} == {30}


@pytest.mark.parametrize(
    ("said", "last"),
    [(b"", b"\x88\x02\x03\xe9"), (b"\x82\x02hi", b"\x88\x02\x03\xe9"), (b"\x82\x05h", b""), (b"\x88\x02\x0f\xa0", b"")],
    ids=["silent", "between frames", "within a frame", "closed already"],
)
@pytest.mark.parametrize("is_drained", [True, False])
async def test_open_tunnels_end_with_the_door(said: bytes, last: bytes, *, is_drained: bool) -> None:
    """After the grace of a drain, or with the door at once; the last word is 1001 where it can be told from a frame."""
    async with AsyncExitStack() as stack:
        async with open_world() as world:
            await world.add(answering(ACCEPT + said, b""))
            reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port)
            stack.callback(writer.close)
            writer.write(ASK)
            assert (await read_response(reader)).status == 101

            assert world.metric("http_tunnels") == 1
            if is_drained:
                await world.door.drain(0.05)
                assert world.metric("http_tunnels") == 0

        assert await reader.read() == said + last
        assert world.metric("http_tunnels") == 0


async def test_a_client_that_talks_on_is_let_finish_after_the_last_word(world: World) -> None:
    """Its bytes are read and dropped until it leaves: unread ones would have the connection reset."""
    (reader, writer), _ = await open_tunnel(world)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(world.door.drain(0.05))
        last = await reader.readexactly(4)
        writer.write(bytes(1 << 20))
        await writer.drain()
        end = await reader.read()
        is_waited_for = not draining.done()
        writer.close()

    assert (last, end) == (b"\x88\x02\x03\xe9", b"")
    assert is_waited_for
    assert len(world.door._tunnels) == 0


async def test_a_client_that_takes_no_last_word_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads nothing leaves no room for the word, and would hold its place for ever."""
    monkeypatch.setattr(farewell, "SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    told: list[str] = []
    with ExitStack() as stack:
        client_side, ours, theirs, workspace_side = (
            stack.enter_context(end) for _ in range(2) for end in socket.socketpair()
        )
        del workspace_side
        client, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        workspace, _ = await loop.create_connection(asyncio.Protocol, sock=theirs)
        stack.callback(client.abort)
        tunnel = tunnel_of(client, workspace, told)
        tunnel.open(b"", b"")
        with suppress(BlockingIOError):
            while True:
                os.write(ours.fileno(), bytes(65536))  # the kernel has no room left, and the transport nothing to say

        tunnel.revoke()
        await eventually(lambda: "client" in told)

        assert client_side.fileno() >= 0
