"""How often somebody may do something: so often at once, then as fast as it comes back. Pure but for the clock.

The generic cell rate algorithm (ITU-T I.371, annex A), which is a token bucket in one number: the time at which all of
the allowance would be there again. Who used nothing lately is not remembered at all.
"""

from collections import OrderedDict
from collections.abc import Callable

from auth.steady import SteadyClock

KEYS_MAX = 50_000  # about 150 B each; beyond it those who have waited longest are forgotten, and may do more


class Allowance:
    """`burst` uses at once for each key, of which `per_minute` come back."""

    def __init__(self, burst: int, per_minute: float, clock: Callable[[], float]) -> None:
        self._interval = 60 / per_minute
        self._tolerance = (burst - 1) * self._interval
        self._clock = SteadyClock(clock)
        self._whole: OrderedDict[str, float] = OrderedDict()
        """When each key has its whole allowance again, in the order of the last use."""

    def __repr__(self) -> str:
        return f"<Allowance of {len(self._whole)} keys>"

    def get_wait(self, key: str) -> float:
        """Seconds until the next use is allowed; 0 for now."""
        now = self._clock()
        return max(0.0, self._whole.get(key, now) - self._tolerance - now)

    def take(self, key: str) -> float:
        """Use it once, if that is allowed: 0, or the seconds until it will be."""
        wait = self.get_wait(key)
        if not wait:
            now = self._clock()
            self._whole[key] = max(self._whole.get(key, now), now) + self._interval
            self._whole.move_to_end(key)
            self._forget(now)
        return wait

    def give_back(self, key: str) -> None:
        """One use was none that had to be limited."""
        if key in self._whole:
            self._whole[key] -= self._interval

    def _forget(self, now: float) -> None:
        while len(self._whole) > KEYS_MAX or next(iter(self._whole.values())) <= now:
            self._whole.popitem(last=False)
