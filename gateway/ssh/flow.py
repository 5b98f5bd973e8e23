"""What comes from one leg of a relay and how well it takes what it is sent, counted per read and not per packet."""

import time
from collections.abc import Callable

from gateway.telemetry.metrics import Metrics

_DATA_HEAD = 9  # bytes before the data in a CHANNEL_DATA; and a whole CHANNEL_WINDOW_ADJUST (RFC 4254, section 5.2)
_DATA = frozenset((93, 94, 95))
"""CHANNEL_DATA, CHANNEL_EXTENDED_DATA, and window adjusts, whose data is none unless somebody made them longer."""


class Flow:
    """The counts of one leg."""

    def __init__(self, metrics: Metrics, leg: str, direction: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`direction` is that of the packets which the leg receives."""
        self._clock = clock
        self._bytes = metrics.ssh_bytes.labels(direction)
        self._pumped = metrics.ssh_packets.labels(direction, "fast")
        self._handed = metrics.ssh_packets.labels(direction, "slow")
        self._rekeys = metrics.ssh_rekeys.labels(leg)
        self._congestion = metrics.ssh_backpressure.labels(leg)
        self._congested_since: float | None = None
        self.size = 0
        """Bytes relayed from this leg."""
        self.data = 0
        """What of it was data of channels."""

    def note_packet(self, payload: bytes) -> int:
        """One went the slow way, through asyncssh; the bytes of data in it."""
        size = len(payload)
        self.size += size
        data = max(0, size - _DATA_HEAD) if payload[0] in _DATA else 0
        self.data += data
        self._bytes.value += size
        self._handed.value += 1
        return data

    def note_pumped(self, size: int, packets: int) -> int:
        """So many went the fast way, with payloads of this size altogether; the bytes of data in them.

        All are data or window adjusts, and a window adjust is as long as the head of data is.
        """
        data = size - packets * _DATA_HEAD
        self.size += size
        self.data += data
        self._bytes.value += size
        self._pumped.value += packets
        return data

    def note_rekey(self) -> None:
        self._rekeys.value += 1

    def note_congestion(self, *, is_congested: bool) -> None:
        """Whether the leg takes what it is sent; its peer is not read while it does not."""
        if self._congested_since is None:
            self._congested_since = self._clock() if is_congested else None
        elif not is_congested:
            self.end()

    def end(self) -> None:
        """Nothing more comes of this leg."""
        if self._congested_since is not None:
            self._congestion.value += self._clock() - self._congested_since
            self._congested_since = None
