"""Clients of TLS that have not shaken hands yet."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from gateway.http.tls import DoorTls
from tests.gateway.http.conftest import HOST, Workspace, World, eventually, open_world, read_response, request
from tests.gateway.http.test_tls import write

PLACES = 3


@pytest.fixture
def trusting() -> ssl.SSLContext:
    """What a client needs; the certificate comes to be with the door."""
    return ssl.create_default_context()


@pytest.fixture
async def world(tmp_path: Path, trusting: ssl.SSLContext) -> AsyncIterator[World]:
    """A door with TLS that waits for a handshake for as long as a test can last, and has few places."""
    authority = trustme.CA()
    authority.configure_trust(trusting)
    tls = DoorTls(*write(tmp_path, authority))
    async with open_world(tls=tls, max_connections_per_ip=PLACES, head_timeout=600) as opened:
        await opened.add(Workspace())
        yield opened


async def hear(reader: asyncio.StreamReader) -> bytes:
    """What is said before the connection ends."""
    async with asyncio.timeout(10):
        with suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def is_served(world: World, trusting: ssl.SSLContext) -> bool:
    """Whether a client gets in and is answered."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port, ssl=trusting, server_hostname=HOST)
    except OSError:
        return False
    writer.write(request())
    got = await read_response(reader)
    writer.close()
    return got.body == b"ok"


async def keep_asking(world: World, trusting: ssl.SSLContext) -> None:
    """Until somebody is served."""
    async with asyncio.timeout(10):
        while not await is_served(world, trusting):
            pass


async def test_clients_that_never_shake_hands_take_places(world: World, trusting: ssl.SSLContext) -> None:
    """One more than there are places for is closed at once, and all of them are given back."""
    silent = [await world.connect() for _ in range(PLACES)]
    late, _ = await world.connect()

    assert await hear(late) == b""
    assert not await is_served(world, trusting)
    assert not [reader for reader, _ in silent if reader.at_eof()]
    for _, writer in silent:
        writer.close()
    await keep_asking(world, trusting)


async def test_what_is_no_tls_gives_its_place_back(world: World, trusting: ssl.SSLContext) -> None:
    """However often it comes."""
    for _ in range(3 * PLACES):
        reader, writer = await world.connect()
        writer.write(request())
        await hear(reader)

    await keep_asking(world, trusting)


async def test_a_served_client_gives_its_place_back_once(world: World, trusting: ssl.SSLContext) -> None:
    """More clients one after the other than there are places, and then as many beside each other and no more."""
    for _ in range(3 * PLACES):
        await keep_asking(world, trusting)
    await eventually(lambda: world.metric("http_connections") == 0)
    for _ in range(PLACES):
        await world.connect()
    late, _ = await world.connect()

    assert await hear(late) == b""


async def test_a_request_in_one_write_with_the_end_of_the_handshake_is_heard(
    world: World, trusting: ssl.SSLContext
) -> None:
    """As clients of TLS 1.3 send it (RFC 8446, section 2)."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(received, sent, server_hostname=HOST)
    reader, writer = await world.connect()
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(sent.read())
            received.write(await reader.read(65536))
    client.write(request())
    writer.write(sent.read())
    got = b""
    async with asyncio.timeout(10):
        while not got.endswith(b"ok"):
            try:
                got += client.read()
            except ssl.SSLWantReadError:
                received.write(await reader.read(65536))

    assert got.startswith(b"HTTP/1.1 200 ")
