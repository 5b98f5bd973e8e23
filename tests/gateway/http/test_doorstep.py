"""Clients of TLS that have not shaken hands yet."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from gateway.http.tls import DoorTls
from tests.eventually import eventually
from tests.gateway.http.conftest import HOST, Scene, Workspace, World, open_world, read_head, read_response, request
from tests.gateway.http.test_tls import write
from tests.gateway.http.test_tunnels import ACCEPT, ASK

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


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_left_as_its_upgrade_was_accepted_leaves_once(
    world: World, trusting: ssl.SSLContext, turns: int
) -> None:
    """The 101 is read so many turns of the loop later; a connection is told of its end after it was closed."""
    scene = Scene()
    await world.add(scene, name="pear")
    loop, ask = asyncio.get_running_loop(), ASK.replace(b"3000-apple", b"3000-pear")
    for _ in range(PLACES + 1):
        with socket.create_connection(("127.0.0.1", world.door.port)) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
            received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting.wrap_bio(received, sent, server_hostname=HOST.replace("apple", "pear"))
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await loop.sock_sendall(sock, sent.read())
                    received.write(await loop.sock_recv(sock, 65536))
            client.write(ask)
            await loop.sock_sendall(sock, sent.read())
            inside, outside = await scene.accept()
            await read_head(inside)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for _ in range(turns):
            await asyncio.sleep(0)
        os.write(outside.get_extra_info("socket").fileno(), ACCEPT)
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await inside.read()
        outside.close()
    await eventually(lambda: world.metric("http_connections") == 0)

    assert world.metric("http_tunnels") == 0
    assert "connections=0 " in repr(world.door)
