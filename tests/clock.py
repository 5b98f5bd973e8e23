"""Clocks that a test moves, in the place of the real one."""

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: float = 1_700_000_000.0
    """Seconds since 1970."""

    def __call__(self) -> float:
        return self.now


@dataclass
class RunningClock:
    """The real time, and as many seconds more as a test wants."""

    ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead
