"""Whether the client of a connection still takes what it is sent, and whether it is still there."""

import asyncio
import select
from collections.abc import Callable
from math import inf


class StallWatch:
    """Looks at what a transport has yet to send, once it has held back for a while."""

    def __init__(self, transport: asyncio.Transport, seconds: float, now: Callable[[], float]) -> None:
        """A client that takes nothing for `seconds` has stalled; `now` is the clock of `is_stalled`."""
        self._transport = transport
        self._seconds = seconds
        self._now = now
        self._deadline = inf
        self._unsent = 0

    def __repr__(self) -> str:
        return f"<StallWatch unsent={self._unsent}>"

    def start(self) -> None:
        """From now on the client is expected to take something."""
        self._unsent = self._transport.get_write_buffer_size()
        self._deadline = self._now() + self._seconds

    def stop(self) -> None:
        """The client has taken what it was sent."""
        self._deadline = inf

    def is_stalled(self, now: float) -> bool:
        """Whether it has taken nothing since the last look, of what it was to be sent."""
        if now < self._deadline:
            return False
        before = self._unsent
        self.start()
        return 0 < self._unsent == before

    def has_hung_up(self) -> bool:
        """Whether the client has closed its side, which does not show on a transport that is not read from."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))
