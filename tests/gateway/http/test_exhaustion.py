"""Clients that use up time instead of saying something, and one workspace that takes all it can get."""

import asyncio
from contextlib import suppress

from tests.eventually import eventually
from tests.gateway.http.conftest import Message, Scene, Workspace, World, open_world, read_head, read_response, request
from tests.gateway.http.test_tunnels import ASK


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    """One byte after the other, for as long as somebody takes them."""
    with suppress(ConnectionError):
        while True:
            for position in range(len(data)):
                writer.write(data[position : position + 1])
                await asyncio.sleep(0.02)


async def hear(world: World, first: bytes, dripping: bytes) -> Message:
    """What a client is told that begins like this and goes on in drops."""
    reader, writer = await world.connect()
    writer.write(first)
    async with asyncio.TaskGroup() as group:
        dropping = group.create_task(drip(writer, dripping))
        got = await read_response(reader)
        dropping.cancel()
    return got


async def test_head_that_drips_times_out(world: World) -> None:
    """Its time begins with its first byte, and no further one prolongs it."""
    del world
    async with open_world(head_timeout=0.5) as impatient:
        got = await hear(impatient, request()[:-2], b"X-Drop: 1\r\n")

    assert (got.status, got.one(b"connection")) == (408, b"close")


async def test_slow_heads_beside_each_other_hinder_nobody(world: World) -> None:
    """Five hundred of them, and a request is answered as if they were not there; all of them end."""
    del world
    async with open_world(head_timeout=1) as impatient:
        await impatient.add(Workspace())
        slow = [await impatient.connect() for _ in range(500)]
        for _, writer in slow:
            writer.write(request()[:-3])
        await eventually(lambda: impatient.metric("http_connections") == 500)

        assert (await impatient.ask()).body == b"ok"
        told = [(await read_response(reader)).status for reader, _ in slow]

    assert set(told) == {408}


async def test_upgrades_that_nobody_answers_end_with_their_clients(world: World) -> None:
    """A workspace that lets five hundred visitors wait keeps none of their connections when they leave."""
    scene = Scene()
    await world.add(scene)
    clients = [await world.connect() for _ in range(500)]
    for _, writer in clients:
        writer.write(ASK)
    waiting = [await scene.accept() for _ in clients]
    for _, writer in clients:
        writer.close()

    async with asyncio.timeout(10):
        for inside, _ in waiting:
            await read_head(inside)
            assert await inside.read() == b""
    await eventually(lambda: world.metric("http_connections") == 0)
    assert "idle=0" in repr(world.door)


async def test_client_that_takes_a_drop_at_a_time_costs_no_memory(world: World) -> None:
    """It may be slow for as long as it likes; its workspace is held, and everybody else is served."""
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    await world.add(pour)
    await world.add(Workspace(), name="pear")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.door.port, limit=1)
    writer.write(request())
    seen = -1
    while seen != sent:
        seen = sent
        await reader.readexactly(10)
        await asyncio.sleep(0.2)  # until nothing moves any more but the drops

    assert 0 < sent < 16 << 20
    assert (await world.ask(host="3000-pear.ws.example.dev")).body == b"ok"
    writer.close()


async def test_a_noisy_neighbour_leaves_the_others_their_turn(world: World) -> None:
    """While a request to another workspace is answered, full-speed streams get a few turns each, and no more.

    Told in bytes and not in time, so that it holds on a machine that others use.
    """
    poured = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(1 << 18))
            await writer.drain()
            poured += 1 << 18

    async def swallow(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 20):
            pass

    streams = 8
    await world.add(pour)
    await world.add(Workspace(), name="pear")
    async with asyncio.TaskGroup() as group:
        greedy = []
        for _ in range(streams):
            reader, writer = await world.connect()
            writer.write(request())
            greedy.append(group.create_task(swallow(reader)))
        await eventually(lambda: poured > 64 << 20)
        reader, writer = await world.connect()
        passed = []
        for _ in range(40):
            before = poured
            writer.write(request(host="3000-pear.ws.example.dev"))
            assert (await read_response(reader)).body == b"ok"
            passed.append(poured - before)
        for task in greedy:
            task.cancel()

    assert sum(passed) > 0  # they did not stand still meanwhile
    assert sorted(passed)[-2] < streams * (8 << 20)
