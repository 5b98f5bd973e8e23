"""How many clients may be connected at once: in all, by address, and as far as descriptors reach. Only counts.

A tunnel counts as the connection it came from. A limit of 0 limits nothing.
"""

from collections import Counter

from config.settings import HttpSettings
from gateway.answers import FULL, TOO_MANY_CONNECTIONS, Answer
from gateway.http.forwarded import TrustedProxies
from gateway.source import find_source

_PRESSED = 3 / 4  # of what there is room for; from then on, a connection that waits for a next request waits shorter


class Crowd:
    """All clients of one door."""

    def __init__(self, settings: HttpSettings, trusted: TrustedProxies, ceiling: int) -> None:
        """`ceiling` is the number from which on a descriptor is not for clients."""
        self._settings = settings
        self._trusted = trusted
        self._ceiling = ceiling
        self._newest = 0
        self._total = 0
        self._sources: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Crowd connections={self._total} sources={len(self._sources)}>"

    def adopt(self, settings: HttpSettings) -> None:
        """Let in no more than these settings say from now on; whoever is in stays."""
        self._settings = settings

    def enter(self, peer: str, descriptor: int) -> Answer | None:
        """Make room for a client; or what it is told, where there is none."""
        source, settings = find_source(peer), self._settings
        self._newest = max(self._newest, descriptor)
        if _reaches(self._total, settings.max_connections) or descriptor >= self._ceiling:
            return self._turn_away(FULL)
        # Behind an ingress all have the address of the ingress, which limits them itself.
        if _reaches(self._sources[source], settings.max_connections_per_ip) and not self._trusted.is_trusted(peer):
            return self._turn_away(TOO_MANY_CONNECTIONS)
        self._sources[source] += 1
        self._total += 1
        return None

    def leave(self, peer: str) -> None:
        """Give a place back that `enter` gave."""
        source = find_source(peer)
        self._total -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]  # or every address that was ever here would stay

    def take_pressure(self) -> bool:
        """Whether room was about to run out since the last time this was asked."""
        newest, self._newest = self._newest, 0
        return 0 < self._settings.max_connections * _PRESSED <= self._total or newest >= self._ceiling * _PRESSED

    def take_turned_away(self) -> Counter[str]:
        """How many were turned away since the last time this was asked, by what they were told."""
        told, self._turned_away = self._turned_away, Counter()
        return told

    def _turn_away(self, answer: Answer) -> Answer:
        self._turned_away[answer.code] += 1
        return answer


def _reaches(number: int, limit: int) -> bool:
    return 0 < limit <= number
