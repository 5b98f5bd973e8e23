"""Many requests at once on one connection."""

import asyncio
import resource

import pytest

from tests.gateway.http.conftest import World

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"
LONG_REQUEST = REQUEST[:-2] + b"A:\r\n" * 180 + b"\r\n"


async def test_a_client_that_asks_and_never_reads_costs_no_memory(world: World) -> None:
    """The gateway's own answers wait for a client like any others."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = await world.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's annotation is of a base class
    for _ in range(40):
        writer.write(REQUEST * 1000)
    await world.exchange(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))  # the door goes on
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert grown < 40_000  # KiB; without a limit it is 280 MB
    assert reader is not None
    writer.transport.abort()


async def test_a_few_pipelined_requests_are_answered_in_their_order(world: World) -> None:
    """As RFC 9112, section 9.3.2 has it."""
    reader, writer = await world.connect()
    writer.write(b"".join(b"GET / HTTP/1.1\r\nHost: x%d\r\nAccept: text/plain\r\n\r\n" % n for n in range(20)))
    ids = []
    async with asyncio.timeout(10):
        for _ in range(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            ids.append(head.partition(b"X-Request-Id: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)

    assert ids == sorted(ids)


@pytest.mark.parametrize(("one", "taken"), [(REQUEST, 64), (LONG_REQUEST, 5)], ids=["many", "of many fields"])
async def test_more_waiting_requests_than_anybody_needs_end_the_connection(
    world: World, one: bytes, taken: int
) -> None:
    """After the answers to those before them. A head of a kilobyte in a hundred fields is 40 of memory."""
    hanging = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        hanging.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await world.add(wait)
    apple = b"GET / HTTP/1.1\r\nHost: 3000-apple.ws.example.dev\r\nCookie: __Host-workspaces-stranger=1\r\n\r\n"
    answers = await world.exchange(apple + one * 200)

    assert hanging.is_set()
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 404 ") == taken
    assert answers.count(b"HTTP/1.1 429 ") == 1
