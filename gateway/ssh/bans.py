"""Which addresses have guessed too often, and for how long nobody from there is let in.

A success erases nothing: whoever owns one token could otherwise guess others between its uses.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from cachetools import TTLCache

from config.settings import SshSettings
from gateway.source import find_source
from gateway.ssh import limits


@dataclass(slots=True)
class _Record:
    """What one source did."""

    failures: deque[float] = field(default_factory=deque)
    bans: int = 0
    until: float = 0.0


class Bans:
    """Counts failures by source: an IPv4 address or an IPv6 /64."""

    def __init__(self, settings: SshSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        # A record outlives the longest ban, so that who comes back from one is remembered.
        self._records: TTLCache[str, _Record] = TTLCache(limits.BANS_MAX, 2 * settings.ban_max, timer=clock)

    def __repr__(self) -> str:
        return f"Bans(banned={self.count()})"

    def adopt(self, settings: SshSettings) -> None:
        """Count and ban by these settings from now on; a ban that was spoken stays as long as it was spoken for."""
        records, now = self._records, self._clock()
        self._settings = settings
        self._records = TTLCache(limits.BANS_MAX, max(2 * settings.ban_max, self._longest(now)), timer=self._clock)
        self._records.update(records)

    def count(self) -> int:
        """How many sources are banned now."""
        now = self._clock()
        return sum(record.until > now for record in self._records.values())

    def is_banned(self, address: str) -> bool:
        record = self._records.get(find_source(address))
        return record is not None and record.until > self._clock()

    def note_failure(self, address: str) -> bool:
        """Whether the source is banned from now on."""
        if self._is_exempt(address) or self.is_banned(address):  # the rest of a connection that was here before
            return False
        now, source = self._clock(), find_source(address)
        record = self._records.get(source, _Record())
        self._records[source] = record  # also where it was: its time begins anew
        record.failures.append(now)
        while now - record.failures[0] > self._settings.ban_window:
            record.failures.popleft()
        if len(record.failures) < self._settings.ban_failures:
            return False
        record.failures.clear()
        record.until = now + min(self._settings.ban_seconds * 2**record.bans, self._settings.ban_max)
        record.bans += 1
        return True

    def _longest(self, now: float) -> float:
        return max((record.until - now for record in self._records.values()), default=0)

    def _is_exempt(self, address: str) -> bool:
        if not self._settings.ban_failures:
            return True
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return True  # a socket without an address says nothing about who guesses
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._settings.ban_exempt)
