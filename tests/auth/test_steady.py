"""How long something is remembered does not depend on a clock that is set."""

from auth.steady import SteadyClock
from tests.clock import Clock


def test_it_goes_with_its_clock() -> None:
    """Steps forward included: then things are forgotten too early, which costs a question."""
    wall, pace = Clock(), Clock()
    steady = SteadyClock(wall, pace)
    began = steady()
    wall.now += 3600

    assert steady() - began == 3600


def test_a_step_back_is_passed_over() -> None:
    """What really passed meanwhile counts, and from then on the clock does again."""
    wall, pace = Clock(), Clock()
    steady = SteadyClock(wall, pace)
    began = steady()
    wall.now -= 3600
    pace.now += 10
    assert steady() - began == 10

    wall.now += 5
    pace.now += 5
    assert steady() - began == 15
