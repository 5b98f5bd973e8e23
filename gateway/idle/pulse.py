"""Tells what a client sends of itself from what only answers its workspace, by the time between the two.

A page acknowledges output, and hands it to its extensions, within moments of its coming; a person is not so quick, or
begins something. A terminal that runs on while nobody watches makes an editor send twenty kilobytes a minute, all of
them answers (see tests/gateway/idle/recordings). Where output hardly ever pauses, nothing can be told.
"""

import time
from collections.abc import Callable

ANSWER_SECONDS = 0.2  # a round trip of 100 ms and what a page takes; beyond it an answer is taken for a person


class Pulse:
    """When the workspace speaks, to all pages of one person that show it."""

    __slots__ = ("__weakref__", "_quiet", "_spoken", "now")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._spoken = clock() - ANSWER_SECONDS
        self._quiet = 0.0

    def is_still(self) -> bool:
        """Whether what the client sends now answers nothing."""
        return self.now() - self._spoken > ANSWER_SECONDS

    def speak(self) -> None:
        """The workspace sends something."""
        now = self.now()
        if now - self._spoken > ANSWER_SECONDS:
            self._quiet += now - self._spoken - ANSWER_SECONDS
        self._spoken = now

    def measure_quiet(self) -> float:
        """Seconds so far in which anything a client sent would have been known for no answer."""
        return self._quiet + max(0.0, self.now() - self._spoken - ANSWER_SECONDS)
