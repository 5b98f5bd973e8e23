"""A gateway's route table that follows a cluster, and what can be seen of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from routing.cluster import Cluster
from routing.discovery import RoutingRules
from routing.kubernetes import open_cluster
from routing.model import Batch, Refusal, Route, Workspace
from routing.reflector import WatchState, WatchStatus
from routing.service_visibility import ServiceVisibility
from routing.table import Conflict, RouteTable
from tests.kubernetes.objects import ZONE

PATIENCE = 45.0  # seconds: a real API server takes ten to start, on a machine that does other things too
PORTAL = f"portal.{ZONE}"


@dataclass
class Follower:
    """A route table and its source."""

    table: RouteTable = field(default_factory=RouteTable)
    refusals: list[Refusal] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    told: list[WatchStatus] = field(default_factory=list)
    visibility: ServiceVisibility | None = None
    _stir: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for(self, is_so: Callable[[], object]) -> None:
        """Until something is so; it can only become so by what the cluster tells."""
        async with asyncio.timeout(PATIENCE):
            while not is_so():
                self._stir.clear()
                await self._stir.wait()

    async def wait_state(self, state: WatchState, resource: str = "services") -> WatchStatus:
        """Until a watch of this resource has this state."""

        def current() -> WatchStatus | None:
            latest = {(status.resource, status.namespace): status for status in self.told}
            found = [each for each in latest.values() if (each.resource, each.state) == (resource, state)]
            return found[0] if found else None

        await self.wait_for(current)
        status = current()
        assert status is not None
        return status

    async def wait_synced(self) -> None:
        await self.wait_for(lambda: self.table.synced)

    async def find_workspace(self, name: str) -> Workspace:
        """The workspace, once it is known."""
        await self.wait_for(lambda: self.table.get_workspace(name))
        workspace = self.table.get_workspace(name)
        assert workspace is not None
        return workspace

    def route(self, port: int, name: str) -> Route | None:
        return self.table.get_route(f"{port}-{name}.{ZONE}")

    async def declare(self, name: str, port: int, level: str) -> None:
        """What an owner does on the portal."""
        assert self.visibility is not None
        await self.visibility.declare(await self.find_workspace(name), port, level)

    def write(self, batch: Batch, refusals: tuple[Refusal, ...]) -> None:
        applied = self.table.apply(batch)
        self.refusals += refusals
        self.conflicts += applied.conflicts
        self.ended += applied.ended
        self._stir.set()

    def tell(self, status: WatchStatus) -> None:
        self.told.append(status)
        self._stir.set()


@asynccontextmanager
async def follow(
    kubeconfig: Path, namespaces: tuple[str, ...] = (), *, zones: tuple[str, ...] = ()
) -> AsyncIterator[Follower]:
    """A follower of the cluster while the block runs."""
    follower = Follower()
    async with open_cluster(kubeconfig) as api:
        rules = RoutingRules(PORTAL, zones)
        cluster = Cluster(api, rules, namespaces, write=follower.write, tell=follower.tell)
        follower.visibility = ServiceVisibility(api, cluster.take)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(cluster.follow())
            try:
                yield follower
            finally:
                following.cancel()
