"""What several gateways tell each other of the use of workspaces, so that none stops what another one sees used.

No time is told: a clock may be set, and machines disagree. A use is told by a mark that changes, and counts from when
it is heard; how long a workspace has been unused is told as seconds, which are too few by the time they are read. So
nothing is ever taken for longer unused than it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from config.settings import SessionSettings


class SharingUnavailable(Exception):
    """Nobody knows what the others see, so nothing may be stopped."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the others told since it was asked last."""

    used: frozenset[str] = frozenset()
    """Numbers of workspaces that somebody used there."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """Seconds for which workspaces were unused that are asked about for the first time."""


class Sharing(Protocol):
    """A place where all gateways meet. Each raises SharingUnavailable."""

    def adopt(self, settings: SessionSettings) -> None:
        """Go on by these settings."""

    async def exchange(self, used: Collection[str], running: Collection[str]) -> Heard:
        """Tell what was used here, and hear of what runs."""

    async def remember(self, idle: Mapping[str, float]) -> None:
        """Keep for gateways that start later how long each workspace has been unused."""

    async def check_used(self, workspace_id: str) -> bool:
        """Whether another gateway told of a use since the last exchange."""

    async def take_turn(self, workspace_id: str, seconds: float) -> bool:
        """Whether this gateway is the one that acts, for so long."""


class Alone(Sharing):
    """The only gateway there is."""

    def adopt(self, settings: SessionSettings) -> None:
        """They say nothing of it."""

    async def exchange(self, used: Collection[str], running: Collection[str]) -> Heard:
        del used, running
        return Heard()

    async def remember(self, idle: Mapping[str, float]) -> None:
        """There is nowhere to."""

    async def check_used(self, workspace_id: str) -> bool:
        del workspace_id
        return False

    async def take_turn(self, workspace_id: str, seconds: float) -> bool:
        del workspace_id, seconds
        return True


class Apart(Alone):
    """One of several that cannot speak to each other."""

    async def exchange(self, used: Collection[str], running: Collection[str]) -> Heard:
        del used, running
        raise SharingUnavailable("several workers need sessions.store to be a Redis")
