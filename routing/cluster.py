"""All the watches of a cluster together: they feed the table, and say when it knows everything.

With namespaces named there is one watch for each, and one that is forbidden or missing leaves the others alone. The
EndpointSlices come second: routes work without them, and a gateway need not have the right to read them.
"""

import asyncio
from collections.abc import Callable, Sequence

from routing.cluster_api import ENDPOINT_SLICES, SERVICES, ClusterApi, Manifest
from routing.discovery import RoutingRules
from routing.inventory import Delta, EndpointSlices, Services
from routing.model import Batch
from routing.reflector import Reflector, WatchStatus, Write


class Cluster:
    """The source of routes of a gateway in a cluster."""

    def __init__(
        self,
        api: ClusterApi,
        rules: RoutingRules,
        namespaces: Sequence[str],
        *,
        write: Write,
        tell: Callable[[WatchStatus], None],
    ) -> None:
        """No namespaces means all of them. `write` gets every change, `tell` hears how each watch fares."""
        self._slices = EndpointSlices()
        self._services = Services(rules, self._slices.state)
        self._slices.inform(self._services)
        self._write = write
        self._tell = tell
        self._is_complete = asyncio.Event()
        places = tuple(namespaces) or ("",)
        self._service_watches = tuple(
            Reflector(api, SERVICES, place, self._services, write=write, tell=self._hear) for place in places
        )
        self._slice_watches = tuple(
            Reflector(api, ENDPOINT_SLICES, place, self._slices, write=write, tell=self._hear) for place in places
        )

    def __repr__(self) -> str:
        return f"<Cluster {self._services!r} {self._slices!r} watches={len(self.watches)}>"

    @property
    def watches(self) -> tuple[Reflector, ...]:
        """Of Services and of EndpointSlices."""
        return self._service_watches + self._slice_watches

    @property
    def age(self) -> float:
        """Seconds since the API server last spoke on the watch of Services that has been silent the longest."""
        return max((watch.age for watch in self._service_watches if watch.has_listed), default=0.0)

    async def follow(self) -> None:
        """Keep the table equal to the cluster, for ever."""
        async with asyncio.TaskGroup() as group:
            for watch in self._service_watches:
                group.create_task(watch.run())
            await self._is_complete.wait()
            for watch in self._slice_watches:
                group.create_task(watch.run())

    def take(self, manifest: Manifest) -> None:
        """A Service as the gateway itself has just changed it; the watch will say the same in a moment."""
        delta = Delta()
        self._services.put(manifest, delta)
        self._write(Batch(changed=tuple(claim for claim in delta.claims.values() if claim)), tuple(delta.refusals))

    def _hear(self, status: WatchStatus) -> None:
        self._tell(status)
        # Where no namespace may be read nothing is known, and a gateway that knows nothing is not ready.
        watches = self._service_watches
        is_known = all(watch.is_settled for watch in watches) and any(watch.has_listed for watch in watches)
        if is_known and not self._is_complete.is_set():
            self._write(Batch(is_complete=True), ())
            self._is_complete.set()
