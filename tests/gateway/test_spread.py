"""Getting to many, one after the other."""

import asyncio

import pytest

from gateway.spread import PER_SECOND, find_duration, spread


@pytest.mark.parametrize(
    ("count", "longest", "seconds"),
    [(0, 20, 0), (1, 20, 1 / PER_SECOND), (PER_SECOND, 20, 1), (100 * PER_SECOND, 20, 20), (1000, 0, 0)],
)
def test_few_need_no_time_and_many_no_more_than_the_most(count: int, longest: float, seconds: float) -> None:
    """Fifty a second, or as many more as it takes."""
    assert find_duration(count, longest) == seconds


async def test_everybody_is_met_once_in_their_order_and_not_before_their_time() -> None:
    """The first at once."""
    loop, met = asyncio.get_running_loop(), list[tuple[int, float]]()
    started = loop.time()
    await spread(range(5), lambda number: met.append((number, loop.time() - started)), 1)

    assert [number for number, _ in met] == [0, 1, 2, 3, 4]
    # uvloop counts in whole milliseconds
    assert all(after >= number / PER_SECOND - 0.002 for number, after in met)


async def test_nobody_is_no_work() -> None:
    """And takes no time."""
    await spread((), lambda _: pytest.fail("nobody is there"), 20)
