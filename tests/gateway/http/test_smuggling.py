"""Request smuggling: a request is refused or has one meaning, and what follows it is never taken for more."""

import asyncio

import pytest

from tests.gateway.http.conftest import HOST, Message, Workspace, World, read_response, request

EVIL = b"GET /evil HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n"


def post(*lines: str | bytes, body: bytes = b"") -> bytes:
    return request(*lines, method="POST", body=body)


def chunked(body: bytes) -> bytes:
    return post("Transfer-Encoding: chunked", body=body)


REFUSED = {
    "CL and TE": post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + EVIL),
    "TE and CL": post("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n" + EVIL),
    "TE twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + EVIL),
    "TE twice, other": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n" + EVIL),
    "TE list": post("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + EVIL),
    "TE list, gzip": post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + EVIL),
    "TE empty member": post("Transfer-Encoding: ,chunked", body=b"0\r\n\r\n" + EVIL),
    "TE chunked twice": post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + EVIL),
    "TE xchunked": post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + EVIL),
    "TE vertical tab": post(b"Transfer-Encoding: Chunked\x0b", body=b"0\r\n\r\n" + EVIL),
    "TE quoted": post('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n" + EVIL),
    "TE parameter": post("Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n" + EVIL),
    "TE empty": post("Transfer-Encoding:", body=b"0\r\n\r\n" + EVIL),
    "TE identity": post("Transfer-Encoding: identity", body=EVIL),
    "TE in HTTP/1.0": chunked(b"0\r\n\r\n" + EVIL).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "CL twice": post("Content-Length: 5", "Content-Length: 5", body=b"hello" + EVIL),
    "CL twice, other": post("Content-Length: 0", "Content-Length: 44", body=EVIL),
    "CL list": post("Content-Length: 5, 5", body=b"hello" + EVIL),
    "CL plus": post("Content-Length: +5", body=b"hello" + EVIL),
    "CL minus": post("Content-Length: -1", body=EVIL),
    "CL hex": post("Content-Length: 0x5", body=b"hello" + EVIL),
    "CL underscore": post("Content-Length: 5_0", body=b"hello" + EVIL),
    "CL no-break space": post(b"Content-Length: \xa05", body=b"hello" + EVIL),
    "CL empty": post("Content-Length:", body=EVIL),
    "CL space inside": post("Content-Length: 5 0", body=b"hello" + EVIL),
    "CL too large": post("Content-Length: 18446744073709551616", body=EVIL),
    "bare LF": b"GET / HTTP/1.1\nHost: " + HOST.encode() + b"\n\n" + EVIL,
    "bare LF in a field": request("A: b\nX-Evil: 1"),
    "bare CR in a field": request("A: b\rX-Evil: 1"),
    "CR CR after a field": b"GET / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\rX-Evil: 1\r\n\r\n",
    "folded": request("A: b", " c"),
    "folded Host": b"GET / HTTP/1.1\r\nHost:\r\n " + HOST.encode() + b"\r\n\r\n",
    "space before colon": request("Content-Length : 5"),
    "leading space": b"GET / HTTP/1.1\r\n A: b\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "NUL": request(b"A: b\x00c"),
    "NUL in a name": request(b"A\x00: b"),
    "no token": request("A(b): c"),
    "no colon": request("nonsense"),
    "no name": request(": b"),
    "tab after the method": b"GET\t/ HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "version 1.32": b"GET / HTTP/1.32\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "version 0.9": b"GET / HTTP/0.9\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "h2c preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "space after the version": b"GET / HTTP/1.1 \r\nHost: " + HOST.encode() + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
async def test_head_with_two_meanings_is_refused(world: World, raw: bytes) -> None:
    """One answer, the end of the connection, and nothing of it at any workspace."""
    workspace = Workspace()
    await world.add(workspace)

    answer = await world.exchange(raw)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert not workspace.requests


BROKEN_CHUNKS = {
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "quoted LF in an extension": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with +": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with -": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with _": b"5_\r\nhello\r\n0\r\n\r\n",
    "leading space": b" 5\r\nhello\r\n0\r\n\r\n",
    "trailing space": b"5 \r\nhello\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "data goes on": b"5\r\nhelloXX0\r\n\r\n",
    "LF after data": b"5\r\nhello\n0\r\n\r\n",
    "LF after size": b"5\nhello\r\n0\r\n\r\n",
    "LF at the end": b"5\r\nhello\r\n0\n\n",
    "length in trailers": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "broken trailers": b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
async def test_broken_chunks_end_the_request(world: World, body: bytes) -> None:
    """400, the end of both connections, and what follows is nobody's request."""
    got: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())
        writer.close()

    await world.add(keep)

    answer = await world.exchange(chunked(body + EVIL))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not any(b"/evil" in raw or raw.endswith(b"0\r\n\r\n") for raw in got)


async def test_chunks_that_break_late_end_the_request(world: World) -> None:
    """Also where the workspace has seen the head already."""
    seen = asyncio.Event()
    got: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"hello"))
        seen.set()
        got.append(await reader.read())
        writer.close()

    await world.add(keep)
    reader, writer = await world.connect()

    writer.write(chunked(b"5\r\nhello\r\n"))
    await seen.wait()
    writer.write(b"oops\r\n")

    assert (await read_response(reader)).code == b"bad_request"
    assert await reader.read() == b""


async def test_endless_trailers_end_the_request(world: World) -> None:
    """Trailers are dropped, so only their number could do harm."""
    await world.add(Workspace())
    reader, writer = await world.connect()

    writer.write(chunked(b"0\r\n"))
    async with asyncio.timeout(10):
        while not writer.transport.is_closing():
            writer.write(b"X-Trailer: " + b"x" * 8000 + b"\r\n")
            await writer.drain()
            if reader._buffer:  # type: ignore[attr-defined]  # the only way to look without waiting
                break

    assert (await read_response(reader)).code == b"head_too_large"


async def test_endless_extension_ends_the_request(world: World) -> None:
    """A chunk extension is nobody's; one without an end is refused."""
    await world.add(Workspace())

    answer = await world.exchange(chunked(b"5;" + b"a" * 2_000_000))

    assert b" 431 " in answer.split(b"\r\n")[0]


ACCEPTED = {
    "length": (post("Content-Length: 5", body=b"hello"), b"hello"),
    "length on GET": (request("Content-Length: 5", body=b"hello"), b"hello"),
    "empty lines before": (b"\r\n\r\n" + post("Content-Length: 5", body=b"hello"), b"hello"),
    "CR CR before": (b"\r\r" + post("Content-Length: 5", body=b"hello"), b"hello"),
    "length on PATCH": (request("Content-Length: 5", method="PATCH", body=b"hello"), b"hello"),
    "length on DELETE": (request("Content-Length: 5", method="DELETE", body=b"hello"), b"hello"),
    "length on OPTIONS": (request("Content-Length: 5", method="OPTIONS", body=b"hello"), b"hello"),
    "no length": (post(), b""),
    "length zero": (post("Content-Length: 0"), b""),
    "spaces around": (post("Content-Length: \t 5 \t", body=b"hello"), b"hello"),
    "leading zeros": (post("Content-Length: 0005", body=b"hello"), b"hello"),
    "chunks": (chunked(b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "CHUNKED": (post("Transfer-Encoding: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "extension": (chunked(b'5;a="b;c";d\r\nhello\r\n0;e\r\n\r\n'), b"hello"),
    "zeros before the size": (chunked(b"0000005\r\nhello\r\n000\r\n\r\n"), b"hello"),
    "alias of a coding": (post("Transfer_Encoding: chunked", "Content-Length: 5", body=b"hello"), b"hello"),
    "h2c": (post("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5", body=b"hello"), b"hello"),
    "h2c in chunks": (
        post("Connection: Upgrade", "Upgrade: h2c", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
        b"hello",
    ),
    "h2c without a body": (request("Connection: Upgrade", "Upgrade: h2c"), b""),
}


@pytest.mark.parametrize(("raw", "body"), ACCEPTED.values(), ids=ACCEPTED)
async def test_what_follows_a_request_is_the_next_request(world: World, raw: bytes, body: bytes) -> None:
    """An accepted request ends for the workspace where it ends for us, and the next one begins there."""
    workspace = Workspace()
    await world.add(workspace)

    answer = await world.exchange(raw + request("Connection: close", target="/next"))

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    first, second = workspace.requests
    assert (first.body, second.target) == (body, b"/next")
    assert not first.all(b"upgrade")
    assert not first.all(b"transfer_encoding")


async def test_many_declined_protocols_in_one_read(world: World) -> None:
    """Many offers of h2c behind each other are as many ordinary requests."""
    workspace = Workspace()
    await world.add(workspace)
    one = request("Connection: Upgrade", "Upgrade: h2c")

    answer = await world.exchange(one * 60 + request("Connection: close"))

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 61


async def test_data_after_the_last_request_is_ignored(world: World) -> None:
    """After `Connection: close` nothing is a request any more."""
    workspace = Workspace()
    await world.add(workspace)

    answer = await world.exchange(request("Connection: close") + EVIL)

    assert answer.endswith(b"\r\n\r\nok")
    assert answer.count(b"HTTP/1.1") == 1
    assert [one.target for one in workspace.requests] == [b"/"]


async def test_garbage_behind_a_request_is_answered_after_it(world: World) -> None:
    """A pipelined nonsense does not overtake or spoil the answer that is owed."""
    await world.add(Workspace())

    answer = await world.exchange(request() + b"\x00nonsense\r\n\r\n")

    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


@pytest.mark.parametrize("early", [True, False], ids=["answered early", "answered by us"])
async def test_rest_of_an_unread_body_is_no_request(world: World, *, early: bool) -> None:
    """A body that nobody wants any more is read to its end, or the connection ends: it never becomes a request."""
    workspace = Workspace()
    await world.add(workspace)
    host = HOST if early else "nobody.dev"
    body = EVIL * 10

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    if early:
        await world.add(hasty, name="hasty")
        host = "3000-hasty.ws.example.dev"
    reader, writer = await world.connect()

    writer.write(request(f"Content-Length: {len(body) + 1}", method="POST", host=host))
    await read_response(reader)
    writer.write(body + b"x" + request("Connection: close", target="/next"))
    async with asyncio.timeout(10):
        rest = await reader.read()

    targets = [one.target for one in workspace.requests]
    assert targets == ([] if early else [b"/next"])
    assert rest.count(b"HTTP/1.1 ") == len(targets)


def test_message_reads_what_was_sent() -> None:
    """The reader of these tests itself: a request as written is a request as read."""
    message = Message(b"GET /a b HTTP/1.1\r\nHost: x\r\nA:  b \r\na: c\r\n\r\n")

    assert (message.target, message.one(b"host"), message.all(b"A")) == (b"/a b", b"x", [b"b", b"c"])
