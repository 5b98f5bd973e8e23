"""The network that chaos tests break does what they say of it, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.link import Link, open_link


@asynccontextmanager
async def open_echo() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        answered.set()

    answered = asyncio.Event()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        async with open_link(server.sockets[0].getsockname()[1]) as link:
            yield link
        await answered.wait()


async def ask(link: Link, data: bytes = b"hello") -> bytes:
    """What comes back on a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(data)
        return await reader.readexactly(len(data))
    finally:
        writer.close()


async def test_it_carries_bytes_both_ways_and_the_end_of_them() -> None:
    """As if it were not there."""
    async with open_echo() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read(-1) == b"x" * 1_000_000
        writer.close()

    assert link.accepted == 1


async def test_a_delay_holds_up_each_way() -> None:
    """There and back."""
    async with open_echo() as link:
        link.delay = 0.1
        began = time.monotonic()
        await ask(link)

        assert time.monotonic() - began >= 0.2


async def test_a_rate_is_not_exceeded() -> None:
    """Ten kilobytes at fifty a second, there and back beside each other."""
    async with open_echo() as link:
        link.rate = 50_000
        began = time.monotonic()
        await ask(link, b"x" * 10_000)

        assert time.monotonic() - began >= 0.2


async def test_silence_accepts_and_answers_nothing_until_it_is_mended() -> None:
    """What was said meanwhile arrives then."""
    async with open_echo() as link, asyncio.TaskGroup() as group:
        link.silence()
        asking = group.create_task(ask(link))
        done, _ = await asyncio.wait([asking], timeout=0.2)
        assert not done

        link.mend()
        assert await asking == b"hello"


async def test_a_cut_resets_what_is_open_and_what_comes() -> None:
    """Not a farewell, but a reset."""
    async with open_echo() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        link.cut()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await ask(link)
        writer.close()

        link.mend()
        assert await ask(link) == b"hello"


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    """As if the link were cut behind it."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with open_link(port) as link:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await ask(link)
