"""How many may be here at once: connections still logging in, open ones by address, sessions by user and workspace.

Only counts; what is said to whoever is too many is the door's and the login's matter. A limit of 0 limits nothing.
"""

import random
from collections import Counter
from collections.abc import Callable
from enum import Enum

from config.settings import SshSettings
from gateway.source import find_source


class Full(Enum):
    """Which kind of room there is none of."""

    CONNECTIONS = "TOO_MANY"
    STARTUPS = "TOO_MANY_STARTUPS"


class Place:
    """One connection's place among the others."""

    def __init__(self, crowd: "Crowd", source: str) -> None:
        self._crowd = crowd
        self._source = source
        self._session: tuple[str, str] | None = None
        self._is_logging_in = True

    def take_session(self, user: str, workspace_uid: str) -> bool:
        """Makes it a session, unless the user or the workspace has too many; once is enough."""
        if self._session == (user, workspace_uid):
            return True
        if not self._crowd.add_session(user, workspace_uid):
            return False
        self._session = (user, workspace_uid)
        return True

    def end_login(self) -> None:
        if self._is_logging_in:
            self._is_logging_in = False
            self._crowd.end_startup(self._source)

    def leave(self) -> None:
        """Gives up everything that was taken."""
        self.end_login()
        if self._session is not None:
            self._crowd.end_session(*self._session)
            self._session = None
        self._crowd.end_connection(self._source)


class Crowd:
    """All who are here."""

    def __init__(self, settings: SshSettings, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives a number from 0 to 1, as `random` does: no secret comes of it."""
        self._settings = settings
        self._chance = chance
        self._startups: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._workspaces: Counter[str] = Counter()

    def __repr__(self) -> str:
        startups, connections, sessions = (each.total() for each in (self._startups, self._connections, self._users))
        return f"Crowd({connections=}, {startups=}, {sessions=})"

    def adopt(self, settings: SshSettings) -> None:
        """Let in no more than these settings say from now on; whoever is in stays."""
        self._settings = settings

    def enter(self, address: str) -> Place | Full:
        """A place for a connection from this address, if there is room."""
        source, settings = find_source(address), self._settings
        if _reaches(self._connections.total(), settings.max_connections) or _reaches(
            self._connections[source], settings.max_connections_per_ip
        ):
            return Full.CONNECTIONS
        if _reaches(self._startups[source], settings.max_startups_per_ip) or self._is_dropped(self._startups.total()):
            return Full.STARTUPS
        self._connections[source] += 1
        self._startups[source] += 1
        return Place(self, source)

    def add_session(self, user: str, workspace_uid: str) -> bool:
        settings = self._settings
        if _reaches(self._users[user], settings.max_sessions_per_user) or _reaches(
            self._workspaces[workspace_uid], settings.max_sessions_per_workspace
        ):
            return False
        self._users[user] += 1
        self._workspaces[workspace_uid] += 1
        return True

    def end_startup(self, source: str) -> None:
        _decrement(self._startups, source)

    def end_connection(self, source: str) -> None:
        _decrement(self._connections, source)

    def end_session(self, user: str, workspace_uid: str) -> None:
        _decrement(self._users, user)
        _decrement(self._workspaces, workspace_uid)

    def _is_dropped(self, startups: int) -> bool:
        """As by OpenSSH's MaxStartups: ever more from `begin` on, all at `full`. No flood shuts out everybody."""
        begin, full = self._settings.startups_begin, self._settings.startups_full
        if startups >= full:
            return True
        if startups < begin:
            return False
        rate = self._settings.startups_rate / 100
        return self._chance() < rate + (1 - rate) * (startups - begin) / (full - begin)


def _reaches(number: int, limit: int) -> bool:
    return 0 < limit <= number


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # or every address that was ever here would stay
