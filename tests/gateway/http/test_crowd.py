"""How many clients and connections there may be at once, and that every place is given back."""

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from config.settings import HttpSettings
from gateway.answers import FULL, TOO_MANY_CONNECTIONS
from gateway.descriptors import RESERVE
from gateway.http.crowd import Crowd
from gateway.http.forwarded import TrustedProxies
from tests.eventually import eventually
from tests.gateway.http.conftest import (
    OK,
    Message,
    Scene,
    Workspace,
    World,
    open_world,
    read_head,
    read_response,
    request,
)
from tests.gateway.http.test_tunnels import ACCEPT, ASK

HERE = "192.0.2.1"


def crowd_of(ceiling: int = 1000, **limits: int) -> Crowd:
    """Limited by nothing but these; 10.0.0.0/8 is an ingress."""
    unlimited = {"max_connections": 0, "max_connections_per_ip": 0}
    trusted = TrustedProxies((ip_network("10.0.0.0/8"),))
    return Crowd(HttpSettings.model_validate({**unlimited, **limits}), trusted, ceiling)


@pytest.mark.parametrize(
    ("limits", "peers", "told"),
    [
        ({"max_connections": 2}, ["192.0.2.1", "192.0.2.2", "192.0.2.3"], FULL),
        ({"max_connections_per_ip": 2}, [HERE] * 3, TOO_MANY_CONNECTIONS),
        ({"max_connections_per_ip": 2}, ["2001:db8::1", "2001:db8::2", "2001:db8::3"], TOO_MANY_CONNECTIONS),
        ({"max_connections_per_ip": 2}, ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], TOO_MANY_CONNECTIONS),
        ({"max_connections_per_ip": 2}, [HERE, HERE, "192.0.2.2"], None),
        ({"max_connections_per_ip": 2}, ["2001:db8:0:1::1", "2001:db8:0:1::1", "2001:db8:0:2::1"], None),
        ({"max_connections_per_ip": 2}, ["10.0.0.1"] * 50, None),
        ({"max_connections": 2}, ["10.0.0.1"] * 3, FULL),
        ({}, [HERE] * 50, None),
    ],
)
def test_the_last_of_these_is_told(limits: dict[str, int], peers: list[str], told: object) -> None:
    crowd = crowd_of(**limits)

    answers = [crowd.enter(peer, 10) for peer in peers]

    assert answers == [None] * (len(peers) - 1) + [told]


def test_a_place_that_is_given_back_is_free_for_another() -> None:
    crowd = crowd_of(max_connections=1, max_connections_per_ip=1)
    for _ in range(3):
        assert crowd.enter(HERE, 10) is None
        assert crowd.enter(HERE, 10) is FULL
        crowd.leave(HERE)

    assert repr(crowd) == "<Crowd connections=0 sources=0>"


def test_a_descriptor_that_is_not_for_clients_is_given_back() -> None:
    crowd = crowd_of(ceiling=100)

    assert [crowd.enter(HERE, number) for number in (98, 99, 100, 101)] == [None, None, FULL, FULL]


@pytest.mark.parametrize(
    ("limits", "descriptors", "is_pressed"),
    [
        ({"max_connections": 8}, [10] * 5, False),
        ({"max_connections": 8}, [10] * 6, True),
        ({}, [10] * 50, False),
        ({}, [10, 749], False),
        ({}, [10, 750, 10], True),
    ],
)
def test_room_that_runs_out_is_noticed_before_it_has(
    limits: dict[str, int], descriptors: list[int], *, is_pressed: bool
) -> None:
    crowd = crowd_of(**limits)
    for number in descriptors:
        crowd.enter(HERE, number)

    assert crowd.take_pressure() is is_pressed


@pytest.fixture
async def small() -> AsyncIterator[World]:
    """A door with room for three clients, and two connections towards a workspace."""
    async with open_world(max_connections=3, max_connections_per_workspace=2) as world:
        yield world


async def knock(world: World) -> Message:
    """What a client is told that says nothing, or the answer to a request."""
    reader, writer = await world.connect()
    writer.write(request(host="nobody.dev"))
    return await read_response(reader)


async def test_one_client_too_many_is_told_and_let_go(small: World) -> None:
    """503 with a time to come back, the end of the connection, and a line in the log for all of them."""
    here = [await small.connect() for _ in range(3)]
    await eventually(lambda: small.metric("http_connections") == 3)

    reader, _ = await small.connect()
    got = await read_response(reader)
    assert (got.status, got.code, got.one(b"retry-after"), got.one(b"connection")) == (503, b"full", b"5", b"close")
    assert await reader.read() == b""
    await eventually(lambda: small.metric("http_turned_away_total", code="full") == 1)
    here[0][1].close()
    await eventually(lambda: small.metric("http_connections") == 2)

    assert (await knock(small)).status == 404
    (line,) = [line for line in small.log.getvalue().splitlines() if "turned_away" in line]
    assert json.loads(line)["clients"] == 1


async def test_a_tunnel_takes_a_place_until_it_ends(small: World) -> None:
    """It is a connection like any other."""
    scene = Scene()
    await small.add(scene)
    tunnels = [await tunnel(small, scene) for _ in range(2)]
    _, idle = await small.connect()
    await eventually(lambda: small.metric("http_connections") == 1)

    reader, _ = await small.connect()
    assert (await read_response(reader)).code == b"full"
    tunnels[0].abort()
    await eventually(lambda: small.metric("http_tunnels") == 1)

    assert (await knock(small)).status == 404
    idle.close()


async def tunnel(world: World, scene: Scene) -> asyncio.WriteTransport:
    """A new tunnel, by its end in the workspace."""
    reader, writer = await world.connect()
    writer.write(ASK)
    inside, outside = await scene.accept()
    await read_head(inside)
    outside.write(ACCEPT)
    assert (await read_response(reader)).status == 101
    writer.write_eof()  # from now on it ends with its other end
    assert await inside.read() == b""
    return outside.transport


async def test_a_workspace_takes_no_more_connections_than_one_may(small: World) -> None:
    """Others go on; whoever comes too late is told, and the next one finds room again."""
    scene = Scene()
    await small.add(scene)
    await small.add(Workspace(), name="pear")
    held = await tunnel(small, scene)
    second, asking = await small.connect()
    asking.write(request())
    inside, outside = await scene.accept()
    await read_head(inside)

    third, late = await small.connect()
    late.write(request())
    busy = await read_response(third)
    late.write(request(host="3000-pear.ws.example.dev"))
    other = await read_response(third)
    held.abort()
    await eventually(lambda: small.metric("http_tunnels") == 0)
    late.write(request())
    inside, again = await scene.accept()
    await read_head(inside)
    again.write(OK)

    assert (busy.status, busy.code, busy.all(b"connection")) == (503, b"workspace_busy", [])
    assert other.body == b"ok"
    assert (await read_response(third)).body == b"ok"
    outside.write(OK)
    assert (await read_response(second)).body == b"ok"


async def test_idle_connections_take_no_room_from_those_that_are_needed(small: World) -> None:
    """What is kept for a next visitor gives way, also where it belongs to another port of the workspace."""
    await small.add(Workspace())
    await small.ask()
    assert "idle=1" in repr(small.door)
    route = small.table.get_route("3000-apple.ws.example.dev")
    assert route is not None
    pool = small.door._pool
    (origin,) = pool._idle
    await pool.dial(origin)

    fresh = await pool.dial(origin)

    assert fresh.is_idle
    assert "idle=0" in repr(small.door)


@pytest.mark.parametrize("how", ["refused", "gone at once"])
async def test_failed_dials_leave_no_place_taken(how: str) -> None:
    """However often they fail."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with open_world(max_connections_per_workspace=1) as world:
        await world.add(None if how == "refused" else hang_up)

        codes = {(await world.ask()).code for _ in range(5)}
        await eventually(lambda: not world.door._pool._open)

    assert codes <= {b"nothing_listens", b"broken_upstream"}


async def test_idle_clients_go_first_when_room_runs_out() -> None:
    """The keep-alive time is for quiet hours; somebody who is being answered is never let go for it."""
    async with open_world(max_connections=4) as small:
        scene = Scene()
        await small.add(scene)
        busy, writer = await small.connect()
        writer.write(request())
        inside, outside = await scene.accept()
        await read_head(inside)
        idle = [await small.connect() for _ in range(2)]

        async with asyncio.timeout(10):
            assert [await reader.read() for reader, _ in idle] == [b"", b""]
        outside.write(OK)

        assert (await read_response(busy)).body == b"ok"


@contextmanager
def few_descriptors(room: int) -> Iterator[None]:
    """Leave so many for the visitors of a door that is opened meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    gaps = [os.open("/dev/null", os.O_RDONLY)]
    while gaps[-1] < highest:
        gaps.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (gaps[-1] + RESERVE + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in gaps:
            os.close(descriptor)


async def test_connections_to_workspaces_stop_where_the_reserve_begins() -> None:
    """Clients and requests to workspaces share what is left; who finds nothing is told that the gateway is full."""
    with few_descriptors(room=60):
        async with open_world() as world:
            scene = Scene()
            await world.add(scene)
            clients = [await world.connect() for _ in range(20)]
            for _, writer in clients:
                writer.write(request())
            await eventually(lambda: world.metric("http_requests_total", to="workspace", status="503") > 0)
            await eventually(lambda: len(clients) - answered(clients) <= scene.waiting)
            full = answered(clients)
            for _ in range(scene.waiting):
                inside, outside = await scene.accept()
                await read_head(inside)
                outside.write(OK)
            answers = [await read_response(reader) for reader, _ in clients]

    assert 0 < full < len(clients)
    assert sorted({(got.status, got.code) for got in answers}) == [(200, b""), (503, b"full")]
    assert sum(got.status == 503 for got in answers) == full


def answered(clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> int:
    """How many have heard something."""
    return sum(bool(reader._buffer) for reader, _ in clients)  # type: ignore[attr-defined]  # the only way to look
