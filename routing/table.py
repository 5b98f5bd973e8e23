"""The in-memory answer to "which port of which workspace is this host": read by every request, written by one task.

Everything is synchronous: no reader ever sees half a change. A host or workspace name claimed twice belongs to the
older Service (creation time, then uid), so nobody can take over a name that is in use.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routing.hostname import zone_of
from routing.model import Claim, ClaimChanged, ClaimRemoved, Relisted, Route, RouteChange, Workspace


@dataclass(frozen=True, slots=True)
class Conflict:
    """A name that a claim asked for and an older claim holds."""

    name: str
    """`host:<hostname>` or `workspace:<name>`."""
    refused: str
    holder: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What one change did to the table."""

    conflicts: tuple[Conflict, ...]
    ended: frozenset[str]
    """uids of workspaces that are in the table no longer."""


class RouteTable:
    """Routes by host and workspaces by name; O(1) to ask, and to change by the size of the change."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._claimants: dict[str, list[Claim]] = {}
        self._routes: dict[str, Route] = {}
        self._workspaces: dict[str, Workspace] = {}
        self._zones: Counter[str] = Counter()
        self._uids: Counter[str] = Counter()
        self._observers: list[Callable[[], None]] = []
        self.synced = False
        """Whether the source has been read as a whole at least once."""

    def __repr__(self) -> str:
        return f"<RouteTable routes={len(self._routes)} workspaces={len(self._workspaces)} synced={self.synced}>"

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def workspaces(self) -> tuple[Workspace, ...]:
        return tuple(self._workspaces.values())

    def get_route(self, host: str) -> Route | None:
        """The route of a canonical host."""
        return self._routes.get(host)

    def get_workspace(self, name: str) -> Workspace | None:
        """The workspace that people know by this name."""
        return self._workspaces.get(name)

    def routes_of(self, workspace: Workspace) -> tuple[Route, ...]:
        """The hosts that lead to this workspace, in the order of its Service."""
        claimants = self._claimants.get(f"workspace:{workspace.name}", [])
        routes = [route for claim in claimants for route in claim.routes if claim.workspace == workspace]
        return tuple(route for route in routes if self._routes.get(route.host) is route)

    def is_in_zone(self, host: str) -> bool:
        """Whether some workspace's hosts lie in the same domain as this one."""
        return zone_of(host) in self._zones

    def subscribe(self, observer: Callable[[], None]) -> None:
        """Have `observer` called after every change."""
        self._observers.append(observer)

    def apply(self, change: RouteChange) -> Applied:
        """Bring the table up to date with one change of its source."""
        replacements = self._replacements(change)
        replaced = {old.workspace.uid for key in replacements if (old := self._claims.get(key))}
        conflicts = self._replace(replacements)
        for observer in self._observers:
            observer()
        return Applied(tuple(conflicts), frozenset(uid for uid in replaced if uid not in self._uids))

    def _replacements(self, change: RouteChange) -> dict[str, Claim | None]:
        match change:
            case ClaimChanged(claim):
                return {claim.key: claim}
            case ClaimRemoved(key):
                return {key: None}
            case Relisted(claims):
                self.synced = True
                return self._differences(claims)

    def _differences(self, claims: Iterable[Claim]) -> dict[str, Claim | None]:
        latest = {claim.key: claim for claim in claims}
        gone: dict[str, Claim | None] = dict.fromkeys(self._claims.keys() - latest.keys())
        return gone | {key: claim for key, claim in latest.items() if self._claims.get(key) != claim}

    def _replace(self, replacements: dict[str, Claim | None]) -> list[Conflict]:
        touched: set[str] = set()
        for key, claim in replacements.items():
            if old := self._claims.pop(key, None):
                self._count(old, -1)
                for name in _names(old):
                    self._claimants[name].remove(old)
                    touched.add(name)
            if claim is not None:
                self._claims[key] = claim
                self._count(claim, 1)
                for name in _names(claim):
                    self._claimants.setdefault(name, []).append(claim)
                    touched.add(name)
        return [conflict for name in sorted(touched) for conflict in self._settle(name)]

    def _settle(self, name: str) -> list[Conflict]:
        claimants = self._claimants[name]
        if not claimants:
            del self._claimants[name]
            kind, _, value = name.partition(":")
            (self._routes if kind == "host" else self._workspaces).pop(value, None)
            return []
        holder, *others = sorted(claimants, key=_age)
        self._bind(name, holder)
        return [Conflict(name, other.key, holder.key) for other in others]

    def _bind(self, name: str, claim: Claim) -> None:
        kind, _, value = name.partition(":")
        if kind == "host":
            self._routes[value] = next(route for route in claim.routes if route.host == value)
        else:
            self._workspaces[value] = claim.workspace

    def _count(self, claim: Claim, step: int) -> None:
        # Counters drop to nothing, not to zero, so that membership is the question "is there one".
        zones = {zone_of(route.host) for route in claim.routes}
        for counter, keys in ((self._zones, zones), (self._uids, {claim.workspace.uid})):
            for key in keys:
                counter[key] += step
                if not counter[key]:
                    del counter[key]


def _names(claim: Claim) -> tuple[str, ...]:
    return (f"workspace:{claim.workspace.name}", *(f"host:{route.host}" for route in claim.routes))


def _age(claim: Claim) -> tuple[float, str]:
    return (claim.created, claim.workspace.uid)
