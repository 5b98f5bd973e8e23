"""The in-memory answer to "which port of which workspace is this host": read by every request, written by one task.

Everything is synchronous: no reader ever sees half a change, and none sees anything before the source was read as a
whole. A host, a workspace name or a workspace id claimed twice belongs to the older Service (creation time, then uid),
so nobody can take over what is in use. An id belongs to the namespace of the oldest: GitLab may give a workspace a
second Service there, and whoever uses the id elsewhere gets nothing at all.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routing.claimants import Claimants
from routing.hostname import zone_of
from routing.model import Batch, Claim, Relisted, Route, RouteChange, Workspace


@dataclass(frozen=True, slots=True)
class Conflict:
    """A name that a claim asked for and an older claim holds."""

    name: str
    """`host:<hostname>`, `workspace:<name>` or `id:<workspace id>`."""
    refused: str
    holder: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What one change did to the table."""

    conflicts: tuple[Conflict, ...]
    """Those that were not there before."""
    ended: frozenset[str]
    """uids of workspaces that are in the table no longer."""


class RouteTable:
    """Routes by host and workspaces by name; O(1) to ask, and to change by the size of the change."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._ids, self._names, self._hosts = Claimants(), Claimants(), Claimants()
        self._routes: dict[str, Route] = {}
        self._workspaces: dict[str, Workspace] = {}
        # What readers see: nothing, until the source was read as a whole.
        self._known_routes: dict[str, Route] = {}
        self._known_workspaces: dict[str, Workspace] = {}
        self._zones: Counter[str] = Counter()
        self._uids: Counter[str] = Counter()
        self._conflicts: dict[str, tuple[Conflict, ...]] = {}
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

    @property
    def workspace_count(self) -> int:
        return len(self._workspaces)

    @property
    def contested(self) -> int:
        """Names that somebody claims and does not get."""
        return len(self._conflicts)

    def get_route(self, host: str) -> Route | None:
        """The route of a canonical host."""
        return self._known_routes.get(host)

    def get_workspace(self, name: str) -> Workspace | None:
        """The workspace that people know by this name."""
        return self._known_workspaces.get(name)

    def is_eldest(self, workspace: Workspace) -> bool:
        """Whether no older Service speaks for the same number of GitLab's."""
        oldest = self._ids.get_oldest(workspace.id)
        return oldest is not None and oldest.workspace == workspace

    def routes_of(self, workspace: Workspace) -> tuple[Route, ...]:
        """The hosts that lead to this workspace, in the order of its Service."""
        claimants = self._names.of(workspace.name)
        routes = [route for claim in claimants for route in claim.routes if claim.workspace == workspace]
        return tuple(route for route in routes if self._known_routes.get(route.host) is route)

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
        if self.synced:
            self._known_routes, self._known_workspaces = self._routes, self._workspaces
        for observer in self._observers:
            observer()
        return Applied(tuple(conflicts), frozenset(uid for uid in replaced if uid not in self._uids))

    def _replacements(self, change: RouteChange) -> dict[str, Claim | None]:
        match change:
            case Batch(changed, removed, is_complete):
                self.synced = self.synced or is_complete
                return dict.fromkeys(removed) | {claim.key: claim for claim in changed}
            case Relisted(claims):
                self.synced = True
                return self._differences(claims)

    def _differences(self, claims: Iterable[Claim]) -> dict[str, Claim | None]:
        latest = {claim.key: claim for claim in claims}
        gone: dict[str, Claim | None] = dict.fromkeys(self._claims.keys() - latest.keys())
        return gone | {key: claim for key, claim in latest.items() if self._claims.get(key) != claim}

    def _replace(self, replacements: dict[str, Claim | None]) -> list[Conflict]:
        touched = [
            claim
            for pair in replacements.items()
            for claim in (self._claims.get(pair[0]), pair[1])
            if claim is not None
        ]
        ids = {claim.workspace.id for claim in touched}
        holders = {each: self._ids.get_oldest(each) for each in ids}
        for key, claim in replacements.items():
            if old := self._claims.pop(key, None):
                self._withdraw(old)
            if claim is not None:
                self._claims[key] = claim
                self._enter(claim)
        for each, before in holders.items():
            after = self._ids.get_oldest(each)
            if before and after and before.workspace.namespace != after.workspace.namespace:
                touched += self._ids.of(each)  # what they could not have, they can, and the other way round
        hosts = {route.host for claim in touched for route in claim.routes}
        names = {claim.workspace.name for claim in touched}
        return [
            *(conflict for each in sorted(hosts) for conflict in self._settle_host(each)),
            *(conflict for each in sorted(ids) for conflict in self._settle_id(each)),
            *(conflict for each in sorted(names) for conflict in self._settle_name(each)),
        ]

    def _withdraw(self, claim: Claim) -> None:
        self._ids.discard(claim.workspace.id, claim)
        self._names.discard(claim.workspace.name, claim)
        for route in claim.routes:
            self._hosts.discard(route.host, claim)
        self._count(claim, -1)

    def _enter(self, claim: Claim) -> None:
        self._ids.add(claim.workspace.id, claim)
        self._names.add(claim.workspace.name, claim)
        for route in claim.routes:
            self._hosts.add(route.host, claim)
        self._count(claim, 1)

    def _settle_host(self, host: str) -> Iterable[Conflict]:
        claimants = self._entitled(self._hosts.of(host))
        if claimants:
            self._routes[host] = next(route for route in claimants[0].routes if route.host == host)
        else:
            self._routes.pop(host, None)
        return self._news(f"host:{host}", claimants, claimants[1:])

    def _settle_name(self, name: str) -> Iterable[Conflict]:
        claimants = self._entitled(self._names.of(name))
        if claimants:
            self._workspaces[name] = claimants[0].workspace
        else:
            self._workspaces.pop(name, None)
        return self._news(f"workspace:{name}", claimants, claimants[1:])

    def _settle_id(self, workspace_id: str) -> Iterable[Conflict]:
        claimants = self._ids.of(workspace_id)
        entitled = self._entitled(claimants)
        refused = [claim for claim in claimants if claim not in entitled]
        return self._news(f"id:{workspace_id}", claimants, refused)

    def _entitled(self, claimants: tuple[Claim, ...]) -> list[Claim]:
        """Those among them whose namespace holds their workspace's id."""
        return [claim for claim in claimants if self._is_entitled(claim)]

    def _is_entitled(self, claim: Claim) -> bool:
        oldest = self._ids.get_oldest(claim.workspace.id)
        return oldest is not None and oldest.workspace.namespace == claim.workspace.namespace

    def _news(self, name: str, claimants: Iterable[Claim], refused: Iterable[Claim]) -> Iterable[Conflict]:
        holder = next(iter(claimants), None)
        now = tuple(Conflict(name, claim.key, holder.key) for claim in refused) if holder else ()
        before = self._conflicts.pop(name, ())
        if now:
            self._conflicts[name] = now
        return [conflict for conflict in now if conflict not in before]

    def _count(self, claim: Claim, step: int) -> None:
        # Counters drop to nothing, not to zero, so that membership is the question "is there one".
        zones = {zone_of(route.host) for route in claim.routes}
        for counter, keys in ((self._zones, zones), (self._uids, {claim.workspace.uid})):
            for key in keys:
                counter[key] += step
                if not counter[key]:
                    del counter[key]
