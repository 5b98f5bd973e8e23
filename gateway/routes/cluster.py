"""A Kubernetes cluster as the source of routes, and what operators hear of its watches."""

import gc
from collections import Counter
from collections.abc import Sequence

from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.cluster import Cluster
from routing.cluster_api import SERVICES, ClusterApi
from routing.discovery import RoutingRules
from routing.model import Batch, Refusal
from routing.reflector import WatchState, WatchStatus
from routing.service_visibility import ServiceVisibility
from routing.visibility_store import VisibilityStore

STALE_SECONDS = 120.0  # an API server speaks about every minute on each watch, if only to say that nothing changed
SPARED_CLAIMS = 1000  # some 15,000 objects, at which a garbage collection still takes a few milliseconds


class ClusterRoutes:
    """Keeps the table equal to the Services of a cluster."""

    def __init__(
        self,
        api: ClusterApi,
        rules: RoutingRules,
        namespaces: Sequence[str],
        *,
        writer: RouteWriter,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._writer = writer
        self._metrics = metrics
        self._log = log
        self._unspared = 0
        self._cluster = Cluster(api, rules, namespaces, write=self._write, tell=self._tell)
        self.visibility: VisibilityStore = ServiceVisibility(api, self._cluster.take)
        metrics.watch_age.set_function(lambda: self._cluster.age)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A line for each watch that does not do its work, and one for routes that may be old."""
        lines = [
            _describe(watch.status) for watch in self._cluster.watches if watch.status.state is not WatchState.LIVE
        ]
        if (age := self._cluster.age) > STALE_SECONDS:
            lines.append(f"routes are as they were {age:.0f} s ago")
        return tuple(lines)

    def reload(self) -> None:
        """Nothing: a cluster tells of every change by itself."""

    async def follow(self) -> None:
        """Follow the cluster, for ever."""
        await self._cluster.follow()

    def _write(self, batch: Batch, refusals: tuple[Refusal, ...]) -> None:
        self._writer.write(batch, refusals)
        self._unspared += len(batch.changed)
        if self._unspared >= SPARED_CLAIMS and not self._has_loaded:
            # Claims live long and are freed by their reference counts; a collection that walks 100,000 of them stops
            # the loop for a quarter of a second. Only at first: whatever else is alive at this moment is spared too,
            # and what a connection leaves for the collector would never be freed.
            gc.freeze()
            self._unspared = 0

    @property
    def _has_loaded(self) -> bool:
        return all(watch.is_settled for watch in self._cluster.watches)

    def _tell(self, status: WatchStatus) -> None:
        states = Counter(watch.status.state for watch in self._cluster.watches)
        for state in WatchState:
            self._metrics.watches.labels(state.value).set(states[state])
        facts = {"resource": status.resource, "namespace": status.namespace or "all"}
        if status.state is WatchState.LIVE:
            self._log.info("watch.live", **facts)
        elif status.state is WatchState.FORBIDDEN and status.resource != SERVICES.plural:
            effect = "whether a workspace is stopped or starting is known from GitLab alone"
            self._log.info("watch.forbidden", **facts, reason=status.reason, effect=effect)
        else:
            self._log.warning(f"watch.{status.state.value}", **facts, reason=status.reason)


def _describe(status: WatchStatus) -> str:
    place = f"namespace {status.namespace}" if status.namespace else "all namespaces"
    reason = f": {status.reason}" if status.reason else ""
    return f"{status.resource} in {place}: {status.state.value}{reason}"
