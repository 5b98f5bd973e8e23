"""Where the routes of a gateway come from: a route file where one is set, else a Kubernetes cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from config.settings import Settings
from gateway.routes.cluster import ClusterRoutes
from gateway.routes.file import FileRoutes
from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.discovery import RoutingRules
from routing.file import RouteFile
from routing.visibility_store import VisibilityStore


class RouteSource(Protocol):
    """Writes the route table as long as the gateway runs."""

    visibility: VisibilityStore
    """Where what an owner declares about a port is kept."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What an operator should know of it beside whether it is ready, a line each."""

    def reload(self) -> None:
        """Read now what is not followed continuously."""

    async def follow(self) -> None:
        """Follow every change, for ever."""


def rules_of(settings: Settings) -> RoutingRules:
    """What no claim may touch under these settings."""
    portal_host = settings.auth.portal_host if settings.http.enabled else ""
    return RoutingRules(portal_host, settings.routing.zones, settings.ssh.backend_port)


@asynccontextmanager
async def open_route_source(
    settings: Settings, writer: RouteWriter, metrics: Metrics, log: Log
) -> AsyncIterator[RouteSource]:
    """The source that the settings name. A cluster need not be reachable yet.

    Raises:
        RouteFileError: if the route file cannot be read or understood.
        ClusterNotFound: if there is neither a route file nor a cluster.
    """
    rules = rules_of(settings)
    if settings.routing.file is not None:
        routes = FileRoutes(RouteFile(settings.routing.file, rules), writer, metrics, log)
        routes.reload()
        yield routes
        return
    # Imported here: the library takes a second and 40 MB, which a gateway with a route file does without.
    from routing.kubernetes import open_cluster  # noqa: PLC0415 - see above

    async with open_cluster(settings.kubeconfig) as api:
        yield ClusterRoutes(api, rules, settings.watch_namespaces, writer=writer, metrics=metrics, log=log)
