"""When each workspace was last used, as far as this process knows. Pure, on a clock that nobody sets.

A workspace is known by GitLab's number, because that is what GitLab stops: several Services may speak for one.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Use(StrEnum):
    """What was done last."""

    REQUEST = "request"
    WEBSOCKET = "websocket"
    SSH = "ssh"
    KEPT = "kept"
    """Somebody asked for it to be kept running."""
    ELSEWHERE = "elsewhere"
    """Another gateway saw it."""
    NOTHING = ""
    """Nothing yet: the time counts from the first look."""


@dataclass(frozen=True, slots=True)
class LastUse:
    """The latest that is known of one workspace."""

    at: float
    """On the ledger's clock."""
    use: Use


class Ledger:
    """The last use of every workspace that runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._last: dict[str, LastUse] = {}
        self._news: set[str] = set()
        self.ending: set[str] = set()
        """Numbers of workspaces that are about to be stopped: a use of theirs is urgent."""
        self.on_urgent: Callable[[], None] = lambda: None
        """Called when one of those is used."""

    def __repr__(self) -> str:
        return f"<Ledger workspaces={len(self._last)}>"

    def note(self, workspace_id: str, use: Use) -> None:
        """It is used now."""
        self._last[workspace_id] = LastUse(self.now(), use)
        if use is not Use.ELSEWHERE:
            self._news.add(workspace_id)
        if workspace_id in self.ending:
            self.on_urgent()

    def begin(self, workspace_id: str, idle: float = 0) -> None:
        """It runs, and nothing is known of it but that it was idle for so many seconds at least."""
        self._last.setdefault(workspace_id, LastUse(self.now() - idle, Use.NOTHING))

    def shorten(self, workspace_id: str, idle: float) -> None:
        """Count it as unused for so many seconds at most."""
        last = self._last[workspace_id]
        self._last[workspace_id] = LastUse(max(last.at, self.now() - idle), last.use)

    def restart(self, workspace_id: str) -> None:
        """Count from now on, although nobody used it; the others are told, as they would count on from before."""
        self._last[workspace_id] = LastUse(self.now(), Use.NOTHING)
        self._news.add(workspace_id)

    def keep_only(self, workspace_ids: Iterable[str]) -> None:
        """Forget all others: they are gone, or do not run."""
        kept = set(workspace_ids)
        self._last = {each: last for each, last in self._last.items() if each in kept}

    def get(self, workspace_id: str) -> LastUse | None:
        return self._last.get(workspace_id)

    def idle(self, workspace_id: str) -> float | None:
        """Seconds since its last use; None where it is not known to run."""
        last = self._last.get(workspace_id)
        return None if last is None else max(0.0, self.now() - last.at)

    def all_idle(self) -> tuple[float, ...]:
        """The same for every workspace that runs."""
        now = self.now()
        return tuple(max(0.0, now - last.at) for last in self._last.values())

    def add_news(self, workspace_ids: Iterable[str]) -> None:
        """These were taken and could not be told."""
        self._news.update(workspace_ids)

    def take_news(self) -> frozenset[str]:
        """Workspaces that were used here since this was asked last."""
        news, self._news = frozenset(self._news), set()
        return news
