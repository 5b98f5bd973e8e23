"""A head of the greatest size, made to be as much work as can be, costs milliseconds and little memory."""

import time
import tracemalloc
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from auth.cookies import Cookies, values
from gateway.answers import UNKNOWN_HOST, render
from gateway.http.forwarded import TrustedProxies
from gateway.http.headers import Field, parse_request, request_for_upstream
from gateway.http.rounds import Rounds
from tests.gateway.http.conftest import HOST, PORTAL, Scene, Workspace, World, read_response, request

ROOM = 60_000  # nearly `http.head_bytes`
MANY = 20
"""Connections."""
CRUMBS = b"".join(b"a%d:1\r\n" % (number % 1000) for number in range(ROOM // 7))
COOKIES = Cookies(secure=True)
BOMBS: dict[str, list[Field]] = {
    "our cookie many times": [(b"Cookie", b"__Host-workspaces-grant=x;" * (ROOM // 26))],
    "cookies of one letter": [(b"Cookie", b"workspace;" + b"a=;" * (ROOM // 3))],
    "empty cookies": [(b"Cookie", b"workspace" + b";" * ROOM)],
    "one name without an end": [(b"Cookie", b"__Host-workspaces-grant" + b"=" * ROOM)],
    "many lines of cookies": [(b"Cookie", b"workspace=" + b"x" * (ROOM // 190))] * 190,
    "many lines of one name": [(b"A", b"x" * (ROOM // 190))] * 190,
    "a list of what Connection names": [(b"Connection", b"a," * (ROOM // 2))],
    "a list of proxies": [(b"X-Forwarded-For", b"127.0.0.1," * (ROOM // 10))],
    "a list of marks": [(b"CDN-Loop", b";,a" * (ROOM // 3))],
    "a list of forms": [(b"Accept", b"a/b;q=1;," * (ROOM // 9))],
    "a list of ranges": [(b"Range", b"bytes=" + b"0-," * (ROOM // 3))],
    "a list of protocols": [(b"Upgrade", b"a," * (ROOM // 2)), (b"Connection", b"Upgrade")],
}


@pytest.mark.parametrize("fields", BOMBS.values(), ids=BOMBS)
def test_a_bomb_of_a_head_costs_milliseconds(fields: list[Field]) -> None:
    """All that is done with a head before a workspace gets it, and what is written about it."""
    trusted = TrustedProxies((ip_network("127.0.0.0/8"),))
    started = time.process_time()
    head = parse_request(b"GET", b"/", "1.1", [(b"Host", HOST.encode()), *fields], keep_alive=True)
    Rounds(PORTAL).is_loop(head)
    values(head.get(b"cookie"), COOKIES.grant)
    lines = trusted.lines("127.0.0.1", head, scheme=b"https", request_id=b"1", user=b"")
    request_for_upstream(head, lines, COOKIES.names)
    trusted.find_client("127.0.0.1", head.get(b"x-forwarded-for"))
    render(UNKNOWN_HOST, head.get(b"accept").decode(), "1")

    assert time.process_time() - started < 0.1  # of processor time; each takes a hundredth of it, but for the proxies


@pytest.mark.parametrize("fields", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_of_a_head_is_a_request_like_any_other(world: World, fields: list[Field]) -> None:
    """It is within the limits, so it arrives."""
    await world.add(Workspace())

    assert (await world.ask(*[b": ".join(field) for field in fields])).body == b"ok"


@pytest.fixture
def traced() -> Iterator[None]:
    """What is allocated is counted meanwhile."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
async def test_fields_of_a_request_head_that_does_not_end_are_not_collected(world: World) -> None:
    """A thousand more than are allowed would take a hundred bytes each, for as long as a head may take."""
    before, _ = tracemalloc.get_traced_memory()
    clients = [await world.connect() for _ in range(MANY)]
    for _, writer in clients:
        writer.write(request()[:-2] + CRUMBS)
        await writer.drain()
    await world.ask(host="x")  # by its answer, what was there before it has been read
    _, most = tracemalloc.get_traced_memory()
    for _, writer in clients:
        writer.write(b"\r\n")
    told = [(await read_response(reader)).status for reader, _ in clients]

    assert most - before < MANY * 250_000  # all of them would take a megabyte
    assert set(told) == {431}


@pytest.mark.usefixtures("traced")
async def test_fields_of_a_response_head_that_does_not_end_are_not_collected(world: World) -> None:
    """The same, told by a workspace."""
    scene = Scene()
    await world.add(scene)
    before, _ = tracemalloc.get_traced_memory()
    clients = [await world.connect() for _ in range(MANY)]
    for _, writer in clients:
        writer.write(request())
    insides = [await scene.accept() for _ in clients]
    for _, inside in insides:
        inside.write(b"HTTP/1.1 200 OK\r\n" + CRUMBS)
        await inside.drain()
    await world.ask(host="x")
    _, most = tracemalloc.get_traced_memory()
    for _, inside in insides:
        inside.write(b"\r\n")
    told = [(await read_response(reader)).status for reader, _ in clients]

    assert most - before < MANY * 250_000
    assert set(told) == {502}
