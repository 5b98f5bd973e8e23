"""The slowest requests of the last minutes, and no work for the others."""

from dataclasses import replace

import pytest

from gateway.telemetry.slowest import (
    KEPT,
    WINDOW_SECONDS,
    Slow,
    Slowest,
    SlowRequest,
    merge_slow,
    read_slow,
    write_slow,
)
from tests.clock import Clock

REQUEST = SlowRequest(
    seconds=1, method="GET", workspace="apple", port=3000, path="/", status=200, code="", request_id="ab"
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowest(clock: Clock) -> Slowest:
    """With as many requests as it keeps, of 1 s, 2 s and so on."""
    kept = Slowest(clock)
    for seconds in range(1, KEPT + 1):
        kept.add(took(seconds))
    return kept


def took(seconds: float) -> SlowRequest:
    return replace(REQUEST, seconds=seconds)


def test_the_slowest_come_first(slowest: Slowest) -> None:
    """In whatever order they ended."""
    slowest.add(took(2.5))

    durations = [request.seconds for request in slowest.requests()]
    assert durations == [*range(KEPT, 2, -1), 2.5, 2]


def test_only_what_is_slower_than_the_least_of_them_is_worth_a_look(slowest: Slowest) -> None:
    """As long as there is room, everything is; and then the quickest makes room."""
    assert Slowest().least == 0
    assert slowest.least == 1
    slowest.add(took(5))
    assert slowest.least == 2


def test_there_are_never_more_than_fit(slowest: Slowest) -> None:
    """However many come."""
    for seconds in range(1000):
        slowest.add(took(seconds))

    assert [request.seconds for request in slowest.requests()] == list(range(999, 999 - KEPT, -1))


def test_what_is_too_long_ago_makes_room(slowest: Slowest, clock: Clock) -> None:
    """Or one bad minute would hide everything that comes after it."""
    clock.now += WINDOW_SECONDS / 2
    slowest.add(took(100))
    clock.now += WINDOW_SECONDS / 2
    slowest.expire()

    assert slowest.least == 0
    assert slowest.requests() == (took(100),)


def test_several_processes_are_one(slowest: Slowest) -> None:
    """The slowest of all of them, and no more than of one."""
    other = Slow(ended=(took(100), took(0.5)), open=(took(7),))
    one = Slow(ended=slowest.requests(), open=(took(8),))
    all_of = read_slow(merge_slow([write_slow(one), write_slow(other)]))

    assert [request.seconds for request in all_of.ended] == [100, *range(KEPT, 1, -1)]
    assert [request.seconds for request in all_of.open] == [8, 7]


def test_it_survives_the_way_to_another_process() -> None:
    """Every field of it."""
    slow = Slow(ended=(took(2),), open=(REQUEST,))

    assert read_slow(write_slow(slow)) == slow
