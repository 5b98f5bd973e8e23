"""How many may be here at once is counted by address, user and workspace, and every place is given back."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.crowd import Crowd, Full, Place
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, Bench, Gateway

UNLIMITED = {
    "startups_begin": 1000,
    "startups_full": 1000,
    "max_startups_per_ip": 0,
    "max_connections": 0,
    "max_connections_per_ip": 0,
    "max_sessions_per_user": 0,
    "max_sessions_per_workspace": 0,
}


def crowd_of(chance: float = 0.0, **limits: int) -> Crowd:
    """Limited by nothing but these; `chance` is what the dice show."""
    return Crowd(SshSettings.model_validate({**UNLIMITED, **limits}), lambda: chance)


def enter(crowd: Crowd, address: str = "192.0.2.1", count: int = 1) -> list[Place]:
    places = [crowd.enter(address) for _ in range(count)]
    return [place for place in places if not isinstance(place, Full)]


@pytest.mark.parametrize("limit", ["max_startups_per_ip", "max_connections_per_ip", "max_connections"])
def test_a_limit_lets_as_many_in_as_it_says(limit: str) -> None:
    crowd = crowd_of(**{limit: 3})

    assert len(enter(crowd, count=5)) == 3


@pytest.mark.parametrize("limit", ["max_startups_per_ip", "max_connections_per_ip"])
def test_an_address_that_is_full_leaves_room_for_another(limit: str) -> None:
    crowd = crowd_of(**{limit: 1})
    enter(crowd, "2001:db8:1:2::1")

    assert enter(crowd, "2001:db8:1:2:ffff::1") == []
    assert len(enter(crowd, "2001:db8:1:3::1")) == 1


def test_who_has_logged_in_is_no_longer_a_startup() -> None:
    crowd = crowd_of(max_startups_per_ip=1)
    (place,) = enter(crowd)
    place.end_login()

    assert len(enter(crowd)) == 1
    assert repr(crowd) == "Crowd(connections=2, startups=1, sessions=0)"


def test_a_place_is_given_back_whole_and_once() -> None:
    crowd = crowd_of(max_connections=1, max_sessions_per_user=1, max_sessions_per_workspace=1)
    (place,) = enter(crowd)
    assert place.take_session("ada", "uid")
    place.end_login()
    place.leave()

    assert repr(crowd) == "Crowd(connections=0, startups=0, sessions=0)"
    assert [each for each in vars(crowd).values() if isinstance(each, dict) and each] == []


@pytest.mark.parametrize(
    ("limit", "sessions", "taken"),
    [
        ("max_sessions_per_user", [("ada", "a"), ("ada", "b"), ("bob", "a")], [True, False, True]),
        ("max_sessions_per_workspace", [("ada", "a"), ("bob", "a"), ("bob", "b")], [True, False, True]),
    ],
)
def test_sessions_are_counted_by_user_and_by_workspace(
    limit: str, sessions: list[tuple[str, str]], taken: list[bool]
) -> None:
    crowd = crowd_of(**{limit: 1})
    places = enter(crowd, count=3)

    assert [place.take_session(*session) for place, session in zip(places, sessions, strict=True)] == taken


@pytest.mark.parametrize(
    ("chance", "entered"),
    [(0.99, 20), (0.29, 10), (0.31, 11), (0.66, 16), (0.0, 10)],
    ids=["lucky", "below the rate", "just above it", "in the middle", "unlucky"],
)
def test_new_startups_are_dropped_ever_more_often(chance: float, entered: int) -> None:
    """30 percent from the tenth on, all from the twentieth on, and evenly between."""
    crowd = crowd_of(chance, startups_begin=10, startups_rate=30, startups_full=20)

    assert len(enter(crowd, count=40)) == entered


def test_a_full_below_the_begin_is_a_plain_limit() -> None:
    crowd = crowd_of(startups_begin=10, startups_full=3)

    assert len(enter(crowd, count=5)) == 3


async def test_who_finds_no_room_reads_so_and_nobody_else_notices(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), max_connections_per_ip=1)
    async with gateway.listen():
        reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
        async with asyncio.timeout(PATIENCE):
            said = await reader.read()
        writer.close()
    await gateway.door.drain(PATIENCE)

    assert said == b"Too many connections\r\n"
    assert gateway.sample("ssh_connection_attempts_total", result="dropped", error_type="TOO_MANY") == 1
    assert len(gateway.events("ssh.login")) == 1


@pytest.mark.parametrize("limit", ["max_sessions_per_user", "max_sessions_per_workspace"])
async def test_one_session_too_many_is_told_so_and_there_is_room_again_after_one_has_ended(
    bench: Bench, sshd: WorkspaceSshd, limit: str
) -> None:
    settings: dict[str, Any] = {limit: 1}
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), **settings)
    async with gateway.listen():
        refused = await gateway.ssh("true")
    await _wait_alone(gateway)
    let_in = await gateway.ssh("echo in")

    assert (refused.code, refused.err.splitlines()[0]) == (255, "Too many connections")
    assert ":14: Too many connections" in refused.err
    assert let_in.out == b"in\n"


async def test_silent_connections_of_one_address_keep_their_number_until_they_leave(
    bench: Bench, sshd: WorkspaceSshd
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), max_startups_per_ip=2)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
            stack.callback(writer.close)
            await reader.readline()
        refused = await gateway.ssh("true")
    await _wait_alone(gateway)
    let_in = await gateway.ssh("echo in")

    assert refused.code == 255
    assert let_in.out == b"in\n"


async def _wait_alone(gateway: Gateway) -> None:
    async with asyncio.timeout(PATIENCE):
        await gateway.door._is_empty.wait()
