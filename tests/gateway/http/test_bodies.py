"""Bodies both ways, in every framing HTTP/1 has, and answers that have none."""

import asyncio
import gzip

import pytest

from tests.gateway.http.conftest import (
    HOST,
    OK,
    Scene,
    Workspace,
    World,
    open_world,
    read_head,
    read_request,
    read_response,
    request,
)

BIG = bytes(range(256)) * 4096  # 1 MiB: larger than any buffer on the way


def response(*lines: str, body: bytes = b"", status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode() + body


@pytest.mark.parametrize("body", [b"", b"x", BIG], ids=len)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
async def test_request_body_of_known_length_arrives(world: World, method: str, body: bytes) -> None:
    """Every method may have a body, and it arrives whole with the same framing."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request(f"Content-Length: {len(body)}", method=method, body=body))

    assert (await read_response(reader)).body == b"ok"
    assert workspace.request.body == body
    assert workspace.request.one(b"content-length") == b"%d" % len(body)
    assert not workspace.request.all(b"transfer-encoding")


@pytest.mark.parametrize("sizes", [[], [1], [5, 1, 70_000], [1] * 300], ids=str)
async def test_chunked_request_body_arrives(world: World, sizes: list[int]) -> None:
    """Chunks arrive as chunks; extensions and trailers do not."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()
    chunks = [bytes([index % 256]) * size for index, size in enumerate(sizes)]

    raw = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    writer.write(
        request("Transfer-Encoding: Chunked", "Trailer: X-Sum", method="POST", body=raw + b"0\r\nX-Sum: 1\r\n\r\n")
    )

    assert (await read_response(reader)).body == b"ok"
    assert workspace.request.body == b"".join(chunks)
    assert workspace.request.one(b"transfer-encoding") == b"chunked"
    assert not workspace.request.all(b"content-length")


async def test_connection_goes_on_after_trailers(world: World) -> None:
    """A dropped trailer is no part of the next request."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(
        request("Transfer-Encoding: chunked", method="POST", body=b"1\r\na\r\n0\r\nCookie: x=1\r\nA: b\r\n\r\n")
    )
    await read_response(reader)
    writer.write(request("B: c"))
    await read_response(reader)

    first, second = workspace.requests
    assert not first.all(b"a")
    assert not second.all(b"cookie")
    assert second.one(b"b") == b"c"


@pytest.mark.parametrize("body", [b"", b"x", BIG], ids=len)
@pytest.mark.parametrize("framing", ["length", "chunks", "close", "HTTP/1.0"])
async def test_response_body_arrives(world: World, framing: str, body: bytes) -> None:
    """Whatever delimits it at the workspace, the client gets it whole and knows where it ends."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
    raw = {
        "length": response(f"Content-Length: {len(body)}", body=body),
        "chunks": response("Transfer-Encoding: chunked", body=chunks),
        "close": response(body=body),
        "HTTP/1.0": response(body=body, version="1.0"),
    }[framing]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(raw)
            if framing in ("close", "HTTP/1.0"):
                writer.close()
                return

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request())
    got = await read_response(reader)

    assert got.body == body
    assert bool(got.all(b"content-length")) == (framing == "length")
    writer.write(request())  # the connection goes on
    assert (await read_response(reader)).body == body


@pytest.mark.parametrize(
    ("method", "status", "lines"),
    [
        ("HEAD", "200 OK", ["Content-Length: 5"]),
        ("HEAD", "200 OK", ["Transfer-Encoding: chunked"]),
        ("HEAD", "200 OK", []),
        ("GET", "204 No Content", []),
        ("GET", "204 No Content", ["Content-Length: 5"]),
        ("GET", "304 Not Modified", ["Content-Length: 5"]),
        ("GET", "304 Not Modified", ["Transfer-Encoding: chunked"]),
        ("GET", "304 Not Modified", []),
    ],
)
async def test_response_without_a_body(world: World, method: str, status: str, lines: list[str]) -> None:
    """It has none whatever its head says, and both connections go on."""
    workspace = Workspace(response(*lines, status=status), OK)
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request(method=method))
    bare = await read_response(reader, method.encode())
    writer.write(request())
    after = await read_response(reader)

    assert bare.start == f"HTTP/1.1 {status}".encode()
    assert not bare.all(b"transfer-encoding")
    assert after.body == b"ok"
    assert workspace.connections == 1


async def test_length_of_a_head_response_is_kept(world: World) -> None:
    """HEAD tells how long the body would be."""
    await world.add(Workspace(response("Content-Length: 5")))
    reader, writer = await world.connect()

    writer.write(request(method="HEAD"))

    assert (await read_response(reader, b"HEAD")).one(b"content-length") == b"5"


async def test_interim_responses_pass(world: World) -> None:
    """102 and 103 reach the client in their order, without what only a final response may have."""
    early = response("Link: </a>; rel=preload", "Content-Length: 9", status="103 Early Hints")
    await world.add(Workspace(response(status="102 Processing") + early + OK))
    reader, writer = await world.connect()

    writer.write(request())
    first, second, final = [await read_response(reader) for _ in range(3)]

    assert (first.status, second.status, final.status) == (102, 103, 200)
    assert second.one(b"link") == b"</a>; rel=preload"
    assert not second.all(b"content-length")
    assert final.body == b"ok"


async def test_interim_responses_are_not_for_http_1_0(world: World) -> None:
    """A client of HTTP/1.0 would take one for its answer (RFC 9110, section 15.2)."""
    await world.add(Workspace(response(status="103 Early Hints") + OK))

    answer = await world.exchange(f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_continue_comes_from_the_workspace(world: World) -> None:
    """The gateway does not invite a body; who will receive it does."""
    scene = Scene()
    await world.add(scene)
    reader, writer = await world.connect()

    writer.write(request("Expect: 100-continue", "Content-Length: 4", method="POST"))
    inside, outside = await scene.accept()
    head = await read_head(inside)
    outside.write(response(status="100 Continue"))
    assert (await read_response(reader)).status == 100
    writer.write(b"body")
    assert await inside.readexactly(4) == b"body"
    outside.write(OK)

    assert b"\r\nExpect: 100-continue\r\n" in head
    assert (await read_response(reader)).body == b"ok"


@pytest.mark.parametrize(
    ("line", "host", "status"),
    [
        ("Expect: 100-continue", "nobody.dev", 404),
        ("Expect: 100-continue", "3000-nobody.ws.example.dev", 401),
        ("Expect: 200-ok", HOST, 417),
    ],
)
async def test_nothing_is_invited_that_is_refused(world: World, line: str, host: str, status: int) -> None:
    """A refused request gets its answer instead of 100, and the connection ends: its body may come or not."""
    await world.add(Workspace())

    answer = await world.exchange(request(line, "Content-Length: 9", method="POST", host=host))

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer


async def test_final_answer_instead_of_continue(world: World) -> None:
    """A workspace may decline a body unseen; the client learns it, and its connection ends."""

    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response("Content-Length: 2", status="413 Too Large", body=b"no"))

    await world.add(decline)

    answer = await world.exchange(request("Expect: 100-continue", "Content-Length: 9", method="POST"))

    assert answer.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert answer.endswith(b"\r\n\r\nno")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("size", [10, 100_000, 20_000_000])
async def test_early_answer_to_an_upload_arrives(world: World, size: int) -> None:
    """A workspace that answers and hangs up in the middle of an upload is heard, however much is still under way."""

    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response("Content-Length: 2", "Connection: close", status="413 Too Large", body=b"no"))
        await writer.drain()
        writer.write_eof()
        await reader.read(1000)

    await world.add(decline)
    reader, writer = await world.connect()

    writer.write(request(f"Content-Length: {size}", method="POST", body=b"x" * (size - 1)))
    got = await read_response(reader)

    assert (got.status, got.body) == (413, b"no")


async def test_upload_and_download_at_once(world: World) -> None:
    """A workspace may answer while it still reads; both bodies arrive whole."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response(f"Content-Length: {len(BIG)}"))
        left = len(BIG)
        while left:
            data = await reader.read(left)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    await world.add(echo)
    reader, writer = await world.connect()

    writer.write(request(f"Content-Length: {len(BIG)}", method="POST", body=BIG))

    assert (await read_response(reader)).body == BIG


async def test_http_1_0_client_gets_a_body_until_close(world: World) -> None:
    """It knows no chunks, so the end of the connection is the end of the body."""
    await world.add(Workspace(response("Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")))

    answer = await world.exchange(f"GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n".encode())

    assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


async def test_http_1_0_client_may_keep_its_connection(world: World) -> None:
    """Where it asks for it and the length is known."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    for _ in range(2):
        writer.write(f"GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n".encode())
        got = await read_response(reader)
        assert got.one(b"connection") == b"keep-alive"

    assert workspace.requests[0].start == b"GET / HTTP/1.1"


async def test_http_1_0_client_is_let_go(world: World) -> None:
    """Where it does not ask, the connection ends with the answer."""
    await world.add(Workspace())

    answer = await world.exchange(f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())

    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def test_content_encoding_is_untouched(world: World) -> None:
    """Compressed bytes stay compressed, and no encoding is asked for that the client did not ask for."""
    workspace = Workspace(response("Content-Encoding: gzip", "Content-Length: 4", body=b"\x1f\x8b\x00\xff"))
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request())
    got = await read_response(reader)

    assert (got.one(b"content-encoding"), got.body) == (b"gzip", b"\x1f\x8b\x00\xff")
    assert [name for name, _ in workspace.request.fields if name.lower().startswith((b"accept", b"user-agent"))] == []


async def test_gzip_bomb_passes_as_it_is(world: World) -> None:
    """What is 100 MiB in a browser is a hundred kilobytes for the gateway."""
    bomb = gzip.compress(bytes(100 << 20), 1)
    await world.add(Workspace(response("Content-Encoding: gzip", f"Content-Length: {len(bomb)}", body=bomb)))

    got = await world.ask("Accept-Encoding: gzip")

    assert len(bomb) < 1 << 20
    assert got.body == bomb
    assert f'"sent": {len(bomb)}' in world.log.getvalue()


async def test_redirect_is_not_followed(world: World) -> None:
    """Where a workspace points is the browser's business."""
    workspace = Workspace(response("Location: http://169.254.169.254/", "Content-Length: 0", status="302 Found"))
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request())

    assert (await read_response(reader)).one(b"location") == b"http://169.254.169.254/"
    assert len(workspace.requests) == 1


async def test_pending_body_waits_for_the_dial(world: World) -> None:
    """A body that came before there was a connection is sent first and in order."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request(f"Content-Length: {len(BIG)}", method="POST", body=BIG))  # the first reads come before it

    await read_response(reader)
    assert workspace.request.body == BIG


async def test_body_time_out_is_told(world: World) -> None:
    """A body that stops coming ends in 408 and a closed connection, at the workspace too."""
    del world
    async with open_world(body_idle_timeout=0.2) as impatient:
        scene = Scene()
        await impatient.add(scene)
        reader, writer = await impatient.connect()

        writer.write(request("Content-Length: 9", method="POST", body=b"half"))
        inside, _ = await scene.accept()
        got = await read_response(reader)

        assert got.code == b"request_timeout"
        assert got.one(b"connection") == b"close"
        assert (await inside.read()).endswith(b"half")


async def test_body_may_be_slow(world: World) -> None:
    """There is no limit on the total time of a body that keeps coming."""
    del world
    async with open_world(body_idle_timeout=1.5) as impatient:
        scene = Scene()
        await impatient.add(scene)
        reader, writer = await impatient.connect()
        writer.write(request("Content-Length: 5", method="POST"))
        inside, outside = await scene.accept()
        reading = asyncio.get_running_loop().create_task(read_request(inside))

        for _ in range(5):
            await asyncio.sleep(0.6)  # the passing of time is what is tested
            writer.write(b"x")
        await reading
        outside.write(OK)

        assert (await read_response(reader)).body == b"ok"
