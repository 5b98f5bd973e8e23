"""When a client connection goes on and when it ends: keep-alive, pipelining, limits, time-outs, people who leave."""

import asyncio
import socket
import struct
from functools import partial

import pytest

from tests.eventually import eventually
from tests.gateway.http.conftest import (
    HOST,
    OK,
    Scene,
    Stage,
    Workspace,
    World,
    open_world,
    read_head,
    read_response,
    request,
)

UNKNOWN = "nobody.dev"


async def is_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether another request is answered on this connection."""
    try:
        writer.write(request(host=UNKNOWN))
        return (await read_response(reader)).status == 404
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_request_may_come_in_pieces(world: World, step: int) -> None:
    """Where a read cuts a request makes no difference."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()
    raw = request("Transfer-Encoding: chunked", "A: b", method="POST", body=b"3\r\nabc\r\n0\r\n\r\n") * 2

    for start in range(0, len(raw), step):
        writer.write(raw[start : start + step])
        await asyncio.sleep(0)

    assert [(await read_response(reader)).body for _ in range(2)] == [b"ok", b"ok"]
    assert [one.body for one in workspace.requests] == [b"abc", b"abc"]


@pytest.mark.parametrize("step", [1, 5])
async def test_response_may_come_in_pieces(world: World, step: int) -> None:
    """Where a read cuts a response makes no difference."""
    raw = b"HTTP/1.1 200 Fine\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: r\r\n\r\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            for start in range(0, len(raw), step):
                writer.write(raw[start : start + step])
                await asyncio.sleep(0)

    await world.add(handle)
    reader, writer = await world.connect()

    for _ in range(2):
        writer.write(request())
        got = await read_response(reader)
        assert (got.start, got.one(b"a"), got.body) == (b"HTTP/1.1 200 Fine", b"b", b"abcde")


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """One after the other, answers of ours among them, whatever each takes."""
    workspace = Workspace(*[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number for number in range(3)])
    await world.add(workspace)

    answer = await world.exchange(
        request(target="/0")
        + request(host=UNKNOWN)
        + request("Content-Length: 3", method="POST", target="/1", body=b"abc")
        + request(host=UNKNOWN, method="HEAD")
        + request("Connection: close", target="/2")
    )

    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"404", b"200"]
    assert [(one.target, one.body) for one in workspace.requests] == [(b"/0", b""), (b"/1", b"abc"), (b"/2", b"")]
    assert answer.endswith(b"\r\n\r\n2")


async def test_a_full_queue_is_worked_off(world: World) -> None:
    """As deep as it may be, even where every answer is ours."""
    await world.add(Workspace())

    answer = await world.exchange(request() + request(host=UNKNOWN) * 63 + request("Connection: close"))

    assert answer.count(b"HTTP/1.1 404 ") == 63
    assert answer.endswith(b"\r\n\r\nok")


async def test_pipelined_post_waits_its_time(world: World) -> None:
    """A body behind a slow answer is not timed while it is we who do not read it."""
    del world
    async with open_world(body_idle_timeout=0.3) as impatient:
        scene = Scene()
        await impatient.add(scene)
        reader, writer = await impatient.connect()

        writer.write(request() + request("Content-Length: 4", method="POST", body=b"ab"))
        inside, outside = await scene.accept()
        await read_head(inside)
        await asyncio.sleep(2.2)  # two sweeps: the passing of time is what is tested
        outside.write(OK)
        await read_response(reader)
        writer.write(b"cd")
        await read_head(inside)
        assert await inside.readexactly(4) == b"abcd"
        outside.write(OK)

        assert (await read_response(reader)).body == b"ok"


@pytest.mark.parametrize(
    ("raw", "status", "goes_on"),
    [
        (request(host=UNKNOWN), 404, True),
        (request(host=UNKNOWN, method="HEAD"), 404, True),
        (request("Connection: close", host=UNKNOWN), 404, False),
        (request("Content-Length: 3", host=UNKNOWN, method="POST", body=b"abc"), 404, True),
        (request("Content-Length: 70000", host=UNKNOWN, method="POST", body=b"x" * 70000), 404, False),
        (
            request("Transfer-Encoding: chunked", host=UNKNOWN, method="POST", body=b"1\r\na\r\n0\r\n\r\n"),
            404,
            False,
        ),
        (request("Expect: 100-continue", "Content-Length: 3", host=UNKNOWN, method="POST"), 404, False),
        (request(host="3000-secret.ws.example.dev"), 401, True),
        (request(), 502, True),
        (request("Expect: nothing"), 417, False),
        (request(host="a b"), 400, False),
        (request("A: " + "x" * 70000), 431, False),
        (request(*["A: b"] * 200), 431, False),
        (request(target="/" + "x" * 70000), 431, False),
        (b"\x00", 400, False),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_connection_after_an_answer_of_ours(world: World, raw: bytes, status: int, *, goes_on: bool) -> None:
    """It goes on where the next request is certain to begin where we look for it, else it says that it ends."""
    await world.add(None)
    reader, writer = await world.connect()

    writer.write(raw)
    got = await read_response(reader, raw.split(b" ")[0])

    assert got.status == status
    assert (b"close" in got.all(b"connection")) is not goes_on
    assert await is_open(reader, writer) is goes_on


async def test_last_words_survive_an_unread_upload(world: World) -> None:
    """A refused upload reads its answer although it is still writing; a reset would take it away."""
    await world.add(Workspace())
    reader, writer = await world.connect()

    writer.write(request("Content-Length: 9000000", "Connection: close", host=UNKNOWN, method="POST"))
    writer.write(b"x" * 8_000_000)

    assert (await read_response(reader)).status == 404


@pytest.mark.parametrize("count", [190, 1])
async def test_head_at_the_limit_passes(world: World, count: int) -> None:
    """40 cookies of an editor, or as many fields as are allowed, are no bomb."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request(*["Cookie: " + "c" * (60_000 // count)] * count))

    assert (await read_response(reader)).status == 200
    assert len(workspace.request.one(b"cookie")) >= 60_000


async def test_head_beyond_the_limit_is_told_the_limit() -> None:
    """As it is set, so that whoever meets it knows what to ask for."""
    async with open_world(head_bytes=8192, head_fields=50) as strict:
        for line in ["A: b"] * 51, ["A: " + "b" * 9000]:
            got = await strict.ask(*line, "Accept: text/plain")

            assert got.status == 431
            assert b" 8 KiB together, in 50 lines at most." in got.body


@pytest.mark.parametrize("part", [b"A: b\r\n", b"x" * 1000], ids=["fields", "one field"])
async def test_endless_head_is_refused(world: World, part: bytes) -> None:
    """It is answered when it is too large, not when it ends."""
    await world.add(Workspace())
    reader, writer = await world.connect()

    writer.write(request()[:-2] + b"A: b")
    answer = asyncio.get_running_loop().create_task(read_response(reader))
    while not answer.done():
        writer.write(part * 10)
        await asyncio.sleep(0.001)

    got = await answer
    assert (got.status, got.one(b"connection")) == (431, b"close")


async def test_large_body_before_a_head_is_no_large_head(world: World) -> None:
    """What one read holds of the request before does not count."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()
    body = b"x" * 150_000

    writer.write(request(f"Content-Length: {len(body)}", method="POST", body=body) + request("A: b")[:-3])
    await read_response(reader)
    writer.write(request("A: b")[-3:])

    assert (await read_response(reader)).body == b"ok"


@pytest.mark.parametrize(
    "sent", [b"G", b"GET / HTTP/1.1\r\nHost: x", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n"], ids=len
)
async def test_slow_head_times_out(world: World, sent: bytes) -> None:
    """408 and the end, from the first byte on, however the rest trickles in."""
    del world
    async with open_world(head_timeout=0.2) as impatient:
        reader, writer = await impatient.connect()

        writer.write(sent)
        got = await read_response(reader)

        assert (got.status, got.code, got.one(b"connection")) == (408, b"request_timeout", b"close")


async def test_idle_connection_times_out(world: World) -> None:
    """It ends without a word, before its first request and after its last."""
    del world
    async with open_world(keep_alive_timeout=0.2) as impatient:
        await impatient.add(Workspace())
        fresh, _ = await impatient.connect()
        used, writer = await impatient.connect()
        writer.write(request())
        await read_response(used)

        async with asyncio.timeout(10):
            assert await fresh.read() == b""
            assert await used.read() == b""


async def test_client_that_is_held_is_not_late(world: World) -> None:
    """While the workspace does not read, its client cannot write."""
    del world
    async with open_world(body_idle_timeout=0.2) as impatient:
        scene = Scene()
        await impatient.add(scene)
        reader, writer = await impatient.connect()
        total = 48 << 20
        writer.write(request(f"Content-Length: {total}", method="POST", body=bytes(total)))
        inside, outside = await scene.accept()
        await read_head(inside)

        await asyncio.sleep(2.2)  # two sweeps: the passing of time is what is tested
        received = 0
        while received < total:
            received += len(await inside.read(1 << 20))
        outside.write(OK)

        assert (await read_response(reader)).body == b"ok"


async def test_slow_answer_is_waited_for(world: World) -> None:
    """There is no limit on the time a workspace takes."""
    del world
    async with open_world(keep_alive_timeout=0.2, head_timeout=0.2, body_idle_timeout=0.2) as impatient:
        scene = Scene()
        await impatient.add(scene)
        reader, writer = await impatient.connect()
        writer.write(request("Content-Length: 1", method="POST", body=b"x"))
        inside, outside = await scene.accept()
        await read_head(inside)

        await asyncio.sleep(2.2)  # two sweeps: the passing of time is what is tested
        outside.write(OK)

        assert (await read_response(reader)).body == b"ok"


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("when", ["waiting", "answering", "uploading"])
async def test_gone_client_lets_the_workspace_go(world: World, stage: Stage, how: str, when: str) -> None:
    """The connection to the workspace is closed within a second, and the log says who left."""
    raw = request("Content-Length: 9", method="POST", body=b"x") if when == "uploading" else request()
    inside, outside = await stage.ask(raw)
    if when == "answering":
        outside.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await stage.reader.readuntil(b"abc")

    leave(stage.writer, how)
    async with asyncio.timeout(1):
        assert (await inside.read()) in (b"", b"x")

    await eventually(lambda: '"code": "client_closed"' in world.log.getvalue())
    status = 200 if when == "answering" else 499  # nginx's number for it
    assert f'"status": {status}' in world.log.getvalue()


def leave(writer: asyncio.StreamWriter, how: str) -> None:
    """End a connection in one of the ways a client may."""
    if how == "half-close":
        writer.write_eof()
        return
    if how == "reset":
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()  # without a linger time of 0 that is an ordinary FIN


async def test_client_that_vanishes_while_it_is_held_is_noticed(world: World) -> None:
    """Also where it is not read from, because the workspace does not read. (A FIN would come behind what is held.)"""
    scene = Scene()
    await world.add(scene)
    _, writer = await world.connect()
    writer.write(request("Content-Length: 90000000", method="POST"))
    inside, outside = await scene.accept()
    outside.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's transport reads, too
    writer.write(b"x" * 30_000_000)
    left = -1
    while left != writer.transport.get_write_buffer_size():
        left = writer.transport.get_write_buffer_size()
        await asyncio.sleep(0.2)  # until nothing moves any more

    leave(writer, "reset")
    await eventually(lambda: '"code": "client_closed"' in world.log.getvalue())

    outside.transport.resume_reading()  # type: ignore[attr-defined]  # as above
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await inside.readexactly(80_000_000)


async def test_client_that_leaves_during_the_dial_is_noticed(world: World) -> None:
    """Nobody is dialled for whom nobody waits, and nothing is left behind."""
    await world.add_unreachable()
    _, writer = await world.connect()
    writer.write(request())
    await eventually(lambda: world.metric("http_connections") == 1)

    writer.transport.abort()
    await eventually(lambda: world.metric("http_connections") == 0)

    assert '"status": 499' in world.log.getvalue()


async def test_client_that_stops_reading_holds_the_workspace(world: World) -> None:
    """What a client does not take is not fetched: memory stays bounded, and all of it arrives in the end."""
    sent = 0
    total = 64 * 1024 * 1024

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    await world.add(pour)
    with socket.create_connection(("127.0.0.1", world.door.port)) as sock:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        sock.send(request())
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.2)  # until nothing moves any more
        assert 0 < sent < total - 16 * 1024 * 1024

        reader, writer = await asyncio.open_connection(sock=sock.dup())
        await read_head(reader)
        received = 0
        while received < total:
            received += len(await reader.read(1 << 20))
        writer.close()

    assert (received, sent) == (total, total)


async def test_workspace_that_stops_reading_holds_the_client(stage: Stage) -> None:
    """What a workspace does not take is not read from the client either."""
    total = 64 * 1024 * 1024
    inside, outside = await stage.ask(request(f"Content-Length: {total}", method="POST"))
    stage.writer.write(b"x" * total)
    left = -1
    while left != stage.writer.transport.get_write_buffer_size():
        left = stage.writer.transport.get_write_buffer_size()
        await asyncio.sleep(0.2)  # until nothing moves any more
    assert left > 16 * 1024 * 1024

    received = 0
    while received < total:
        received += len(await inside.read(1 << 20))
    outside.write(OK)

    assert (await read_response(stage.reader)).body == b"ok"


async def test_client_that_never_reads_is_dropped(world: World) -> None:
    """A response that nobody takes ends after a while, and so does the connection to the workspace."""
    del world
    async with open_world(body_idle_timeout=0.5) as impatient:
        gone = asyncio.Event()

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
            except ConnectionError:
                gone.set()
                raise

        await impatient.add(pour)
        with socket.create_connection(("127.0.0.1", impatient.door.port)) as sock:
            sock.send(request())
            async with asyncio.timeout(10):
                await gone.wait()

        assert '"code": "client_stalled"' in impatient.log.getvalue()
        assert impatient.metric("http_connections") == 0


PIECE = 20_000  # arrives in one read, so that an answer ends with the very bytes that fill its client
PIECES = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % PIECE + bytes(PIECE)


async def fill(world: World, workspace: Workspace, sock: socket.socket) -> None:
    """Ask until this client, which takes nothing, is full; each answer was whole before the next question."""
    sock.send(request())
    await eventually(lambda: is_done(world, workspace, 0))
    (slow,) = world.door._connections
    while not slow.is_full:
        before = len(workspace.requests)
        sock.send(request())
        await eventually(partial(is_done, world, workspace, before))


def is_done(world: World, workspace: Workspace, before: int) -> bool:
    """Whether one more request was answered, and the connection to the workspace waits again."""
    return len(workspace.requests) > before and "idle=1" in repr(world.door)


async def test_slow_reader_leaves_the_pool_clean(world: World) -> None:
    """Where the end of an answer filled its client, the connection it came on still hears the workspace."""
    workspace = Workspace(PIECES)
    await world.add(workspace)
    with socket.create_connection(("127.0.0.1", world.door.port)) as sock:
        await fill(world, workspace, sock)

        got = await world.ask()

    assert got.body == bytes(PIECE)
    assert workspace.connections == 1


async def test_pipelined_answers_wait_for_a_slow_reader(world: World) -> None:
    """No answer is fetched for a client that is full from the ones before it; all are when it reads."""
    workspace = Workspace(PIECES)
    await world.add(workspace)
    with socket.create_connection(("127.0.0.1", world.door.port)) as sock:
        await fill(world, workspace, sock)
        before = len(workspace.requests)

        sock.send(request() * 20)
        await asyncio.sleep(0.3)  # time enough to fetch them all
        fetched_while_full = len(workspace.requests) - before
        reader, writer = await asyncio.open_connection(sock=sock.dup())
        bodies = [(await read_response(reader)).body for _ in range(before + 20)]
        writer.close()

    assert fetched_while_full == 0
    assert bodies == [bytes(PIECE)] * (before + 20)


async def test_draining_ends_connections_after_their_answer(world: World) -> None:
    """Idle ones at once, others with their answer, which says so; nobody new is let in."""
    scene = Scene()
    await world.add(scene)
    port = world.door.port
    idle, _ = await world.connect()
    busy, writer = await world.connect()
    writer.write(request())
    inside, outside = await scene.accept()
    await read_head(inside)

    world.door.stop_accepting()
    assert await idle.read() == b""
    outside.write(OK)
    got = await read_response(busy)

    assert got.one(b"connection") == b"close"
    assert await busy.read() == b""
    with pytest.raises(OSError, match="refused"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_draining_ends_a_connection_whose_answer_had_begun(world: World, stage: Stage) -> None:
    """It was not told, but a connection between two requests may always be closed."""
    _, outside = await stage.ask()
    outside.write(OK[:-1])
    await stage.reader.readuntil(b"\r\n\r\no")

    world.door.stop_accepting()
    outside.write(OK[-1:])

    async with asyncio.timeout(10):
        assert await stage.reader.read() == b"k"


async def test_bug_in_a_decision_is_500_and_no_more(world: World) -> None:
    """A fault of ours is told as ours, logged with its trace, and hits nobody else."""
    await world.add(Workspace())
    await world.add(Workspace(), name="cursed")
    world.curse("cursed")
    reader, writer = await world.connect()

    writer.write(request(host="3000-cursed.ws.example.dev"))
    got = await read_response(reader)
    after = await world.exchange(request("Connection: close"))

    assert (got.status, got.code, got.one(b"connection")) == (500, b"internal_error", b"close")
    assert after.endswith(b"\r\n\r\nok")
    assert "http.crashed" in world.log.getvalue()


async def test_bug_in_a_task_does_not_close_the_door(world: World) -> None:
    """An exception in what one exchange waits for stays there."""
    await world.add(Workspace(), visibility="internal")
    cookie = await world.grant(age=400)
    world.gitlab.fault = ArithmeticError("a bug")  # type: ignore[assignment]  # what nobody expected
    reader, writer = await world.connect()

    writer.write(request(cookie))
    got = await read_response(reader)

    assert got.code == b"internal_error"
    assert (await world.exchange(request("Connection: close", host=UNKNOWN))).startswith(b"HTTP/1.1 404 ")


def test_host_of_nobody_is_no_host_of_ours() -> None:
    """What these tests take for unknown."""
    assert not HOST.endswith(UNKNOWN)
