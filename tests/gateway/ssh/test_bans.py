"""Who guesses is kept out for a while, each time for longer, and nobody else is."""

import asyncio

import pytest

from auth.model import Unavailable
from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.bans import Bans
from routing.model import Endpoint
from tests.clock import Clock
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, TOKEN, Bench, Gateway

ONE, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bans_of(clock: Clock, **settings: object) -> Bans:
    defaults = {"ban_failures": 3, "ban_window": 100, "ban_seconds": 50, "ban_max": 150}
    return Bans(SshSettings.model_validate({**defaults, **settings}), clock)


def fail(bans: Bans, address: str = ONE, times: int = 3) -> list[bool]:
    return [bans.note_failure(address) for _ in range(times)]


def test_so_many_failures_ban_an_address_and_no_other(clock: Clock) -> None:
    bans = bans_of(clock)

    assert fail(bans) == [False, False, True]
    assert (bans.is_banned(ONE), bans.is_banned(OTHER)) == (True, False)
    assert repr(bans) == "Bans(banned=1)"


def test_a_ban_ends(clock: Clock) -> None:
    bans = bans_of(clock)
    fail(bans)
    clock.now += 49.9
    assert bans.is_banned(ONE)
    clock.now += 0.2

    assert not bans.is_banned(ONE)
    assert fail(bans, times=1) == [False]


def test_tries_of_a_connection_that_was_here_before_the_ban_make_it_no_longer(clock: Clock) -> None:
    bans = bans_of(clock)
    fail(bans)
    again = fail(bans, times=6)
    clock.now += 50.1

    assert again == [False] * 6
    assert not bans.is_banned(ONE)


def test_failures_that_lie_apart_ban_nobody(clock: Clock) -> None:
    bans = bans_of(clock)
    for _ in range(10):
        fail(bans, times=1)
        clock.now += 51

    assert not bans.is_banned(ONE)


def test_every_further_ban_takes_twice_as_long_up_to_the_longest(clock: Clock) -> None:
    bans, lengths = bans_of(clock), []
    for _ in range(4):
        fail(bans)
        began = clock.now
        while bans.is_banned(ONE):
            clock.now += 1
        lengths.append(clock.now - began)

    assert lengths == [50, 100, 150, 150]


@pytest.mark.parametrize(
    ("guessed_from", "also_banned"),
    [("2001:db8::1", "2001:db8::ffff"), ("::ffff:192.0.2.1", ONE), (ONE, "::ffff:192.0.2.1")],
)
def test_one_line_is_one_source(clock: Clock, guessed_from: str, also_banned: str) -> None:
    bans = bans_of(clock)
    fail(bans, guessed_from)

    assert bans.is_banned(also_banned)
    assert not bans.is_banned("2001:db8:0:1::1")


@pytest.mark.parametrize("address", [ONE, "::ffff:192.0.2.1", "2001:db8::1", ""])
def test_exempt_networks_and_nameless_sockets_are_never_banned(clock: Clock, address: str) -> None:
    bans = bans_of(clock, ban_exempt="192.0.2.0/24,2001:db8::/32")
    fail(bans, address, 10)

    assert not bans.is_banned(address)


def test_zero_failures_ban_nobody(clock: Clock) -> None:
    bans = bans_of(clock, ban_failures=0)

    assert fail(bans, times=10) == [False] * 10


async def test_who_guessed_is_met_with_silence_even_with_the_right_token(gateway: Gateway) -> None:
    for _ in range(2):
        await gateway.ssh("-o", "NumberOfPasswordPrompts=3", "true", token="glpat-wrong")
    asked = len(gateway.access.asked)
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    async with asyncio.timeout(PATIENCE):
        said = await reader.read()
    writer.close()
    right = await gateway.ssh("true", token=TOKEN)

    assert (said, right.code) == (b"", 255)
    assert len(gateway.access.asked) == asked
    assert [event["client"] for event in gateway.events("ssh.banned")] == [LOOPBACK]
    assert gateway.sample("ssh_connection_attempts_total", result="banned", error_type="BANNED") == 2


async def test_a_success_between_them_erases_no_failure(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), ban_failures=2)
    once = ("-o", "NumberOfPasswordPrompts=1", "-o", "PreferredAuthentications=password")
    await gateway.ssh(*once, "true", token="glpat-wrong")
    between = await gateway.ssh(*once, "echo in")
    await gateway.ssh(*once, "true", token="glpat-wrong")
    after = await gateway.ssh(*once, "echo in")

    assert (between.out, after.code) == (b"in\n", 255)


async def test_a_gitlab_that_is_down_makes_nobody_a_guesser(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), ban_failures=1)
    gateway.access.answer = Unavailable("timeout")
    await gateway.ssh("true", token="glpat-another")
    gateway.access.answer = None

    assert (await gateway.ssh("echo in")).out == b"in\n"
