"""Says whether GitLab may be asked now, and by how many at once: a circuit breaker. Pure but for clock and dice.

After a few failures in a row nobody asks for a while, which doubles with every further failure. Then one question goes
out, and with each answer one more at once, so that a GitLab that comes back is not run over by all who waited for it.
Who asks is a name without a secret: one person's poisoned question or used-up rate must shut out nobody else.
"""

import random
import time
from collections.abc import Callable

from cachetools import LRUCache, TLRUCache

from auth.model import GitLabUnavailable

ROOM = 50  # questions at once; about what one GitLab node's web workers can serve
FAILURES = 3  # in a row, of as many askers; fewer may be a deployment's hiccup
FAILURES_OF_ONE = 20  # in a row, where nobody but one asks, such as the service token
FIRST_PAUSE = 1.0  # s; a restart of a proxy before GitLab takes no longer
LONGEST_PAUSE = 15.0  # s; one question in that time is no load, and so soon people notice that GitLab is back
JITTER = 0.25  # of a pause either way, so that replicas do not probe in step
COMING_BACK = 200  # a second of those who were refused; half of what `ROOM` questions of 100 ms are
LONGEST_SPREAD = 60.0  # s; whoever has to wait longer goes away
LIMITED_MAX = 10_000  # askers whom GitLab told to slow down, about 200 B each; beyond it GitLab tells them again
KNOWN_MAX = 10_000  # askers whom GitLab did not refuse, about 200 B each; who is forgotten is a stranger for a while


class Circuit:
    """Closed while GitLab answers, open during a pause, and in between open to one question at once, then to more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, dice: Callable[[], float] = random.random) -> None:
        """`dice` gives numbers from 0 to 1."""
        self._clock = clock
        self._dice = dice
        self._pause = FIRST_PAUSE
        self._until = clock()
        self._failed: set[str] = set()
        self._failures = 0
        self._refused = 0
        self._limited: TLRUCache[str, float] = TLRUCache(LIMITED_MAX, ttu=lambda _key, until, _now: until, timer=clock)
        self._known: LRUCache[str, bool] = LRUCache(KNOWN_MAX)
        self.room = ROOM
        """How many may ask at once."""
        self.openings = 0
        """How often it began with one at a time; an answer from before the last time says nothing about now."""

    def __repr__(self) -> str:
        return f"<Circuit room={self.room} failures={self._failures} pause={self._until - self._clock():.1f} s>"

    @property
    def is_pausing(self) -> bool:
        """Whether nobody may ask."""
        return self._clock() < self._until

    @property
    def is_probing(self) -> bool:
        """Whether one question is to tell how GitLab is; nobody should wait for its answer."""
        return self.room == 1

    def check(self, asker: str) -> None:
        """Raises GitLabUnavailable, with the time to come back, for whoever may not ask now."""
        if self.is_pausing:
            raise self.refuse("GitLab fails and is spared for a while")
        limited_until = self._limited.get(asker)
        if limited_until is not None:
            wait = max(1, round(limited_until - self._clock()))
            raise GitLabUnavailable("GitLab told this one to slow down and is not asked until then", wait)

    def refuse(self, why: str) -> GitLabUnavailable:
        """The refusal of one more; the more there were, the further they are spread in time."""
        self._refused += 1
        spread = min(LONGEST_SPREAD, FIRST_PAUSE + self._refused / COMING_BACK)
        wait = max(0.0, self._until - self._clock()) + self._dice() * spread
        return GitLabUnavailable(why, 1 + int(wait))

    def note_answer(self, opening: int, asker: str, *, is_known: bool) -> None:
        """GitLab answered, whatever it said, a question that was asked after so many openings.

        `is_known` says that it did not refuse the asker.
        """
        if is_known:
            self._known[asker] = True
        if opening != self.openings:
            return
        self._failed.clear()
        self._failures = 0
        if self.room < ROOM:
            self.room += 1
            if self.room == ROOM:
                self._pause, self._refused = FIRST_PAUSE, 0

    def note_failure(self, opening: int, asker: str, retry_after: float) -> None:
        """GitLab did not answer, or with a failure of its own; `retry_after` is how long it wants to be left alone."""
        if opening != self.openings:
            return
        self._failed.add(asker)
        self._failures += 1
        if self.is_probing or len(self._failed) >= FAILURES or self._failures >= FAILURES_OF_ONE:
            self._open(retry_after)

    def note_limited(self, opening: int, asker: str, seconds: float) -> None:
        """GitLab said 429 to this asker. Said to everybody, it is about the gateway: then one asks at a time.

        Strangers do not count: made-up tokens are limited by our address where those of people are not.
        """
        self._limited[asker] = self._clock() + seconds
        if opening == self.openings and asker in self._known:
            self._failures += 1
            if self._failures >= FAILURES_OF_ONE:
                self._start_over()

    def _open(self, retry_after: float) -> None:
        jitter = 1 + JITTER * (2 * self._dice() - 1)
        self._until = self._clock() + max(self._pause * jitter, retry_after)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._start_over()

    def _start_over(self) -> None:
        self._failed.clear()
        self._failures = 0
        self.room = 1
        self.openings += 1
