"""A workspace is run by a stranger: whatever it answers, the next visitor's response is its own."""

import asyncio

import pytest

from tests.gateway.http.conftest import OK, Scene, Stage, Workspace, World, read_head, read_response, request

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def response(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", body])


INVALID = {
    "two lengths": response(b"Content-Length: 2", b"Content-Length: 3", body=b"ok" + EVIL),
    "the same length twice": response(b"Content-Length: 2", b"Content-Length: 2", body=b"ok"),
    "a list of lengths": response(b"Content-Length: 2, 2", body=b"ok"),
    "length and coding": response(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + EVIL),
    "another coding": response(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "a coding in HTTP/1.0": response(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", start=b"HTTP/1.0 200 OK"),
    "101 unasked": response(b"Connection: Upgrade", b"Upgrade: websocket", start=b"HTTP/1.1 101 Now") + EVIL,
    "101 without an upgrade": response(start=b"HTTP/1.1 101 Now") + EVIL,
    "negative length": response(b"Content-Length: -1", body=EVIL),
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded field": response(b"A: b", b" c", b"Content-Length: 2", body=b"ok"),
    "space before the colon": response(b"Content-Length : 2", body=b"ok"),
    "CR in a field": response(b"A: b\rSet-Cookie: c", b"Content-Length: 2", body=b"ok"),
    "NUL in a field": response(b"A: b\x00", b"Content-Length: 2", body=b"ok"),
    "NUL in the reason": response(b"Content-Length: 2", body=b"ok", start=b"HTTP/1.1 200 OK\0"),
    "control character in the reason": response(b"Content-Length: 2", body=b"ok", start=b"HTTP/1.1 200 \x1b[2J"),
    "control character in a field": response(b"A: \x1b[2J", b"Content-Length: 2", body=b"ok"),
    "status 099": response(start=b"HTTP/1.1 099 Early"),
    "status 2000": response(start=b"HTTP/1.1 2000 OK"),
    "HTTP/2": response(b"Content-Length: 2", body=b"ok", start=b"HTTP/2.0 200 OK"),
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "garbage": bytes(range(256)),
    "an SSH server": b"SSH-2.0-OpenSSH_9.6\r\n",
    "200 fields": response(*[b"A: b"] * 201, b"Content-Length: 2", body=b"ok"),
    "a long field": response(b"A: " + b"x" * 70_000, b"Content-Length: 2", body=b"ok"),
}


@pytest.mark.parametrize("raw", INVALID.values(), ids=INVALID)
async def test_invalid_answer_is_502(stage: Stage, raw: bytes) -> None:
    """The visitor is told, nothing of it reaches anybody, and the next visitor gets a connection of their own."""

    _, outside = await stage.ask()
    outside.write(raw)
    first = await read_response(stage.reader)
    _, outside = await stage.ask()
    outside.write(OK)
    second = await read_response(stage.reader)

    assert (first.status, first.code) == (502, b"broken_upstream")
    assert (second.status, second.body) == (200, b"ok")


async def test_what_came_before_a_request_is_no_answer_to_it(stage: Stage) -> None:
    """Both are read in one turn of the loop, the visitor's first; the request has not left the gateway yet."""
    _, outside = await stage.ask()
    outside.write(OK)
    await read_response(stage.reader)

    stage.writer.write(request())
    outside.write(EVIL)
    inside, outside = await stage.scene.accept()
    await read_head(inside)
    outside.write(OK)

    assert (await read_response(stage.reader)).body == b"ok"


FOLLOWED = {
    "bytes after the end": OK + b"X",
    "another response": OK + EVIL,
    "half of another response": OK + EVIL[:20],
    "an interim response": OK + b"HTTP/1.1 100 Continue\r\n\r\n",
    "a body on 204": response(b"Content-Length: 4", body=EVIL, start=b"HTTP/1.1 204 No Content"),
    "a body on 304": response(b"Content-Length: 4", body=EVIL, start=b"HTTP/1.1 304 Not Modified"),
    "chunks on 204": response(
        b"Transfer-Encoding: chunked", body=b"4\r\nevil\r\n0\r\n\r\n", start=b"HTTP/1.1 204 No Content"
    ),
    "bytes after the last chunk": response(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\nevil"),
    "bytes after the last response": response(b"Content-Length: 2", b"Connection: close", body=b"okevil"),
}


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize("raw", FOLLOWED.values(), ids=FOLLOWED)
async def test_what_follows_a_response_is_nobody_s(stage: Stage, raw: bytes, *, at_once: bool) -> None:
    """Bytes beyond a response's own end close the connection; they never answer the next question."""
    end = raw.index(b"\r\n\r\n") + 4 if b" 204 " in raw or b" 304 " in raw else raw.index(b"ok") + 2
    end = raw.index(b"0\r\n\r\n") + 5 if b"2\r\nok" in raw else end

    inside, outside = await stage.ask()
    outside.write(raw if at_once else raw[:end])
    first = await read_response(stage.reader)
    outside.write(b"" if at_once else raw[end:])
    assert await inside.read() == b""  # the gateway has hung up
    inside, outside = await stage.ask()
    outside.write(OK)

    assert b"evil" not in first.body
    assert (await read_response(stage.reader)).body == b"ok"


@pytest.mark.parametrize("body", [b"evil", b"4\r\nevil\r\n0\r\n\r\n"], ids=["bytes", "chunks"])
async def test_body_on_head_is_nobody_s(stage: Stage, body: bytes) -> None:
    """A body where there is none closes the connection."""
    framing = b"Content-Length: 4" if body == b"evil" else b"Transfer-Encoding: chunked"

    inside, outside = await stage.ask(request(method="HEAD"))
    outside.write(response(framing, body=body))
    await read_response(stage.reader, b"HEAD")
    assert await inside.read() == b""
    inside, outside = await stage.ask()
    outside.write(OK)

    assert (await read_response(stage.reader)).body == b"ok"


SHORT = {
    "short of its length": response(b"Content-Length: 9", body=b"short"),
    "within a chunk": response(b"Transfer-Encoding: chunked", body=b"9\r\nshort"),
    "before the last chunk": response(b"Transfer-Encoding: chunked", body=b"5\r\nshort\r\n"),
    "within the trailers": response(b"Transfer-Encoding: chunked", body=b"5\r\nshort\r\n0\r\nA: b\r\n"),
    "broken chunk": response(b"Transfer-Encoding: chunked", body=b"5\r\nshort\r\nzz\r\n"),
}


@pytest.mark.parametrize("raw", SHORT.values(), ids=SHORT)
async def test_short_body_is_seen_to_be_short(world: World, raw: bytes) -> None:
    """A body that broke off does not look whole: the connection ends before its framing does."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(raw)
        await writer.drain()
        writer.close()

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request())
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_response(reader)

    assert '"code": "truncated"' in world.log.getvalue()


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 103 Early\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_hang_up_before_an_answer_is_502(world: World, raw: bytes, method: str) -> None:
    """A workspace that hangs up where nothing was reused is not asked again."""
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await read_head(reader)
        writer.write(raw)
        writer.close()

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request(method=method))
    got = await read_response(reader)
    if got.status == 103:
        got = await read_response(reader)

    assert (got.status, got.code) == (502, b"broken_upstream")
    assert count == 1


@pytest.mark.parametrize(
    "flood",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n"],
    ids=["100", "103"],
)
async def test_flood_of_interim_responses_ends(world: World, flood: bytes) -> None:
    """Answers that are none are taken up to the size of a head."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        while not writer.transport.is_closing():
            writer.write(flood * 10)
            await writer.drain()

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request())
    interim = 0
    while (got := await read_response(reader)).status < 200:
        interim += 1

    assert got.code == b"broken_upstream"
    assert interim < 64 * 1024 // len(flood) + 20_000


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 3000, b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 30],
    ids=["field", "fields"],
)
async def test_endless_head_ends(world: World, endless: bytes) -> None:
    """A head that does not end is not collected without an end."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(endless)
        while not writer.transport.is_closing():
            writer.write(b"x" * 1000 if endless.endswith(b"x") else b"A: b\r\n" * 100)
            await writer.drain()

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request())

    assert (await read_response(reader)).code == b"broken_upstream"


async def test_endless_trailers_end(world: World) -> None:
    """Trailers are dropped; ones without an end cut the response off."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n"))
        while not writer.transport.is_closing():
            writer.write(b"A: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    await world.add(handle)
    reader, writer = await world.connect()

    writer.write(request())

    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_response(reader)


async def test_half_of_a_request_swallows_nobody_s(world: World) -> None:
    """After an early answer the workspace still waits for the rest of a body: the next request is none of it."""
    scene = Scene()
    await world.add(scene)
    reader, writer = await world.connect()
    writer.write(request("Content-Length: 1000", method="POST", body=b"half"))
    inside, outside = await scene.accept()
    await inside.readuntil(b"half")
    outside.write(OK)
    await read_response(reader)

    other, other_writer = await world.connect()
    other_writer.write(request(target="/next"))
    next_inside, next_outside = await scene.accept()

    assert (await read_head(next_inside)).startswith(b"GET /next ")
    assert await inside.read() == b""
    next_outside.write(OK)
    assert (await read_response(other)).body == b"ok"


async def test_idle_connection_that_speaks_is_closed(stage: Stage) -> None:
    """An answer to nobody's question closes the connection before somebody asks."""
    inside, outside = await stage.ask()
    outside.write(OK)
    await read_response(stage.reader)
    outside.write(EVIL)

    assert await inside.read() == b""


async def test_workspaces_share_no_connection(world: World, stage: Stage) -> None:
    """An address that now belongs to another workspace starts with a new connection."""
    _, outside = await stage.ask()
    outside.write(OK)
    await read_response(stage.reader)

    await world.move("apple", "pear")
    _, outside = await stage.ask(request(host="3000-pear.ws.example.dev"))
    outside.write(OK)

    assert (await read_response(stage.reader)).body == b"ok"


async def test_dead_idle_connection_is_replaced(stage: Stage) -> None:
    """A request without a body that met a hang-up on a kept connection is asked once more, and nobody notices."""
    inside, outside = await stage.ask()
    outside.write(OK)
    await read_response(stage.reader)

    stage.writer.write(request(target="/again"))
    await read_head(inside)
    outside.transport.abort()
    inside, outside = await stage.scene.accept()
    head = await read_head(inside)
    outside.write(OK)

    assert head.startswith(b"GET /again ")
    assert (await read_response(stage.reader)).body == b"ok"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (request("Content-Length: 1", method="POST", body=b"x"), b""),
        (request("Content-Length: 1", method="PUT", body=b"x"), b""),
        (request(method="POST"), b""),
        (request(method="PATCH"), b""),
        (request(), b"HTTP/1.1 2"),
        (request(), b"HTTP/1.1 103 Early\r\n\r\n"),
    ],
    ids=["POST", "PUT with a body", "POST without a body", "PATCH", "half a head", "interim"],
)
async def test_what_could_act_twice_is_not_repeated(stage: Stage, raw: bytes, said: bytes) -> None:
    """A body, an unsafe method, or one byte of an answer: then a hang-up is told and not mended."""
    inside, outside = await stage.ask()
    outside.write(OK)
    await read_response(stage.reader)

    stage.writer.write(raw)
    await read_head(inside)
    outside.write(said)
    outside.close()
    got = await read_response(stage.reader)
    if got.status == 103:
        got = await read_response(stage.reader)

    assert got.code == b"broken_upstream"
    assert stage.scene.waiting == 0


async def test_keep_alive_time_of_a_workspace_is_kept_to(stage: Stage) -> None:
    """A connection that a server is about to close (Node.js: after 5 s) is not used for the next request."""
    _, outside = await stage.ask()
    outside.write(response(b"Keep-Alive: timeout=1", b"Content-Length: 2", body=b"ok"))
    await read_response(stage.reader)

    _, outside = await stage.ask(request(method="POST"))
    outside.write(OK)

    assert (await read_response(stage.reader)).body == b"ok"


async def test_made_up_statuses_are_counted_by_their_class(world: World) -> None:
    """A workspace can answer with any number of three digits; that must not make hundreds of series."""
    statuses = range(200, 1000)
    await world.add(
        Workspace(*(response(b"Content-Length: 0", start=b"HTTP/1.1 %d What" % status) for status in statuses))
    )
    reader, writer = await world.connect()
    seen = set()
    for _ in statuses:
        writer.write(request())
        seen.add((await read_response(reader)).status)
    writer.close()

    told = {sample.labels["status"] for family in world.metrics.http_requests.collect() for sample in family.samples}
    assert seen == set(statuses)
    assert {"200", "404", "2xx", "4xx", "9xx"} <= told
    assert len(told) < 70  # what RFC 9110 and its successors name, and a few classes
