"""Bodies far larger than memory through a gateway of its own process, whose memory is read from the kernel."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Setup

GIB = 1 << 30
GROWTH_MAX = 32 << 10  # KiB of memory that streams may cost, however large they are
BLOCK = random.Random(1).randbytes((1 << 20) + 1)  # noqa: S311 - any bytes will do, the same in every run
TWICE = memoryview(BLOCK + BLOCK)
HOST = "3000-apple-bear-blue.workspaces.localhost"


async def send(writer: asyncio.StreamWriter, size: int) -> None:
    """So many bytes that tell where they belong."""
    for position in range(0, size, len(BLOCK)):
        writer.write(BLOCK[: size - position])
        await writer.drain()


async def expect(reader: asyncio.StreamReader, size: int) -> None:
    """Those bytes, and each in its place."""
    position = 0
    while position < size:
        data = await reader.read(min(1 << 20, size - position))
        assert data, f"the end after {position} bytes"
        start = position % len(BLOCK)
        assert data == TWICE[start : start + len(data)], position
        position += len(data)


class Store:
    """A workspace that gives and takes as much as the path names; what is stopped never moves."""

    def __init__(self) -> None:
        self.took: list[int] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        match = re.match(rb"(GET|POST) /(\d*) ", head)
        if match is None:
            return  # neither read from nor answered
        size = int(match[2])
        if match[1] == b"GET":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            await send(writer, size)
        else:
            await expect(reader, size)
            self.took.append(size)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.fixture
async def store(setup: Setup) -> AsyncIterator[Store]:
    """What stands behind the public port of this configuration."""
    store, writers = Store(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await store(reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        setup.routes["workspaces"][0]["ports"][0]["port"] = server.sockets[0].getsockname()[1]
        yield store
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def asked(setup: Setup, line: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which this was asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.http)
    method, _, target = line.partition(" ")
    length = f"Content-Length: {GIB}\r\n" if method == "POST" else ""
    writer.write(f"{method} /{target} HTTP/1.1\r\nHost: {HOST}\r\n{length}\r\n".encode())
    yield reader, writer
    writer.transport.abort()


async def download(setup: Setup) -> None:
    async with asked(setup, f"GET {GIB}") as (reader, _):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await expect(reader, GIB)


async def upload(setup: Setup) -> None:
    async with asked(setup, f"POST {GIB}") as (reader, writer):
        await send(writer, GIB)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")


def peak(pid: int) -> int:
    """The most memory that a process ever had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


async def warm_up(setup: Setup) -> None:
    """What the first of many costs once and for all."""
    async with asked(setup, f"GET {1 << 24}") as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        await expect(reader, 1 << 24)


@pytest.mark.timeout(180)  # 4 GiB cross sockets here, on a machine that others use
async def test_a_gibibyte_up_and_one_down_at_once_cost_no_memory(setup: Setup, store: Store) -> None:
    """Every byte in its place, also while a client and a workspace stand still in the middle of as much."""
    async with setup.serve() as process, AsyncExitStack() as stack:
        await warm_up(setup)
        before = peak(process.pid)
        await stack.enter_async_context(asked(setup, f"GET {GIB}"))  # and nothing of it is read
        _, stuck = await stack.enter_async_context(asked(setup, "POST stopped"))
        stuck.write(bytes(64 << 20))
        async with asyncio.TaskGroup() as group:
            group.create_task(download(setup))
            group.create_task(upload(setup))
        grown = peak(process.pid) - before

    assert store.took == [GIB]
    assert grown < GROWTH_MAX
