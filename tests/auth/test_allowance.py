"""So often at once, and then as fast as it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth import allowance as module
from auth.allowance import Allowance
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_allowed_and_the_next_one_waits(clock: Clock) -> None:
    """As long as one use takes to come back."""
    allowance = Allowance(5, 20, clock)

    assert [allowance.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 3]
    clock.now += 2
    assert allowance.take("a") == pytest.approx(1)
    clock.now += 1
    assert [allowance.take("a"), allowance.take("a")] == [0, 3]


def test_a_clock_that_is_set_back_makes_nobody_wait_for_an_hour(clock: Clock) -> None:
    """Only as long as they would have waited anyway."""
    allowance = Allowance(1, 20, clock)
    allowance.take("a")
    clock.now -= 3600
    assert allowance.get_wait("a") == pytest.approx(3, abs=0.1)

    clock.now += 3
    assert allowance.take("a") == 0


def test_looking_uses_nothing(clock: Clock) -> None:
    """However often."""
    allowance = Allowance(1, 20, clock)

    assert [allowance.get_wait("a") for _ in range(5)] == [0] * 5
    allowance.take("a")
    assert [allowance.get_wait("a") for _ in range(5)] == [3] * 5


def test_what_is_given_back_may_be_used_again(clock: Clock) -> None:
    """So whoever finishes is never limited."""
    allowance = Allowance(1, 1, clock)
    for _ in range(50):
        assert allowance.take("a") == 0
        allowance.give_back("a")
    allowance.give_back("never seen")

    assert [allowance.take("a"), allowance.take("a") > 0] == [0, True]


def test_nobody_uses_up_anybody_elses(clock: Clock) -> None:
    """Each key has its own."""
    allowance = Allowance(1, 1, clock)
    allowance.take("a")

    assert (allowance.take("a"), allowance.take("b")) == (60, 0)


def test_who_used_nothing_lately_is_forgotten(clock: Clock) -> None:
    """A flood from many addresses leaves nothing behind, and is bounded while it lasts."""
    allowance = Allowance(10, 60, clock)
    for number in range(1000):
        allowance.take(str(number))
    clock.now += 3
    allowance.take("last")

    assert repr(allowance) == "<Allowance of 1 keys>"


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that waited longest is forgotten first."""
    monkeypatch.setattr(module, "KEYS_MAX", 100)
    allowance = Allowance(1, 1, clock)
    for number in range(1000):
        allowance.take(str(number))

    assert repr(allowance) == "<Allowance of 100 keys>"
    assert allowance.get_wait("999") > 0


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 10), st.integers(1, 120))
def test_no_pattern_gets_more_than_it_should(pauses: list[float], burst: int, per_minute: int) -> None:
    """Whatever the pauses: at most the burst, and what came back since the first."""
    clock = Clock()
    allowance, taken, began = Allowance(burst, per_minute, clock), 0, clock.now
    for pause in pauses:
        clock.now += pause
        taken += not allowance.take("a")

        assert taken <= burst + (clock.now - began) * per_minute / 60 + 1e-6
