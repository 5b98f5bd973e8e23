"""Where a check stands: the settings of the gateway, the names as they resolve here, and the routes that are known."""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from config.settings import Settings
from routing.model import Refusal, Route, RouteChange, Workspace
from routing.table import RouteTable

FROM_OUTSIDE = (
    "some load balancers cannot be reached from inside of their cluster: if this runs there, look from outside"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unresolved(Exception):
    """A name leads nowhere."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the steps look from."""

    settings: Settings
    resolver: AbstractResolver
    table: RouteTable = field(default_factory=RouteTable)
    """Filled by the step that reads the routes."""
    workspace: str = ""
    """The workspace whose doors are tried; empty for the first that runs."""
    patience: float = 5
    """Seconds for one connection: what answers later than that is no better than what does not."""

    @property
    def portal(self) -> str:
        return self.settings.auth.portal_host

    @property
    def public_port(self) -> int:
        """The port of the portal and of every workspace host, as browsers know it."""
        parts = urlsplit(self.settings.auth.redirect_uri)
        return parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)

    @property
    def zones(self) -> tuple[str, ...]:
        """The wildcard domains: as set, else as the routes say, else the portal's host, as GitLab documents it."""
        told = self.settings.routing.zones or tuple(sorted({_zone(route) for route in self._routes()}))
        return told or (self.portal,)

    def workspace_host(self, zone: str) -> str:
        """A host that is below the zone and nobody's."""
        return f"60001-check-of-the-gateway.{zone}"

    @property
    def known(self) -> str:
        """How much the table knows."""
        return f"{self.table.workspace_count} workspaces with {len(self.table)} hosts"

    def fill(self, change: RouteChange, refusals: Iterable[Refusal]) -> list[str]:
        """Let the table know these routes; what of them was refused, each with its reason."""
        conflicts = self.table.apply(change).conflicts
        return [
            *(f"{refusal.key}: {refusal.reason}" for refusal in refusals),
            *(f"{conflict.name} of {conflict.refused} is {conflict.holder}'s" for conflict in conflicts),
        ]

    def get_workspace(self) -> Workspace | None:
        if self.workspace:
            return self.table.get_workspace(self.workspace)
        running = [one for one in self.table.workspaces if one.state.may_answer]
        return min(running, key=lambda one: one.name, default=None)

    async def find_addresses(self, host: str) -> tuple[str, ...]:
        """Every address that a name leads to here.

        Raises:
            Unresolved: if it leads nowhere.
        """
        try:
            found = await self.resolver.resolve(host, 0, socket.AF_UNSPEC)
        except OSError as exc:
            raise Unresolved(f"{host} does not resolve: {exc.strerror or exc}") from exc
        return tuple(sorted({entry["host"] for entry in found}))

    @asynccontextmanager
    async def fetching(self, host: str, path: str, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A GET through the public door, as a browser's, with no redirect followed and no certificate checked.

        Whether a certificate can be trusted is a step of its own, and nothing secret is sent.
        """
        url = f"{self.settings.auth.protocol}://{host}:{self.public_port}{path}"
        headers = {"Accept": accept} | ({"Sec-Fetch-Mode": "navigate"} if accept == "text/html" else {})
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self.resolver, ssl=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=2 * self.patience, sock_connect=self.patience),
            ) as http,
            http.get(url, headers=headers, allow_redirects=False) as response,
        ):
            yield response

    def _routes(self) -> list[Route]:
        return [route for workspace in self.table.workspaces for route in self.table.routes_of(workspace)]


def _zone(route: Route) -> str:
    return route.host.partition(".")[2]
