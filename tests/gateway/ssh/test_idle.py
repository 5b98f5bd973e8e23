"""Doing nothing is told from doing little."""

import asyncio

import pytest

from gateway.ssh.idle import describe, wait_idle


async def test_it_is_idle_after_that_long_without_a_change() -> None:
    counts = iter([0, 1, 2, 3, *[4] * 1000])
    seen = 0

    def count() -> int:
        nonlocal seen
        seen += 1
        return next(counts)

    async with asyncio.timeout(10):
        await wait_idle(count, 0.05)

    assert seen >= 5


@pytest.mark.parametrize(("seconds", "said"), [(1800, "30 min"), (90, "1.5 min"), (60, "1 min"), (0.5, "0.5 s")])
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert describe(seconds) == said
