"""A clock for how long something is remembered: it never goes back, whatever happens to the system's clock.

Where that clock is set back by an hour, an answer that was to hold for a minute would hold for an hour and a minute.
"""

import time
from collections.abc import Callable


class SteadyClock:
    """Follows another clock, but passes over each step back. What it says means something to itself only."""

    def __init__(self, clock: Callable[[], float], pace: Callable[[], float] = time.monotonic) -> None:
        """`pace` tells how much time really passed while `clock` was set back."""
        self._clock = clock
        self._pace = pace
        self._told = self._now = clock()
        self._paced = pace()

    def __call__(self) -> float:
        told, paced = self._clock(), self._pace()
        step = told - self._told
        self._now += step if step >= 0 else paced - self._paced
        self._told, self._paced = told, paced
        return self._now
