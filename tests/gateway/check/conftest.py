"""A gateway to look at: the demo, with names that the tests make, and settings that they may get wrong."""

import io
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from config.settings import Settings
from gateway.check.model import Finding
from gateway.check.routes import look_at_routes
from gateway.check.site import Site
from gateway.demo.world import OpenWorld, free_ports, open_world
from gateway.telemetry.log import open_log


class Names(AbstractResolver):
    """A DNS of the tests: names, and wildcards as `*.zone`, each with its addresses."""

    def __init__(self, records: Mapping[str, tuple[str, ...]]) -> None:
        self.records = dict(records)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = self.records.get(host, self.records.get(f"*.{host.partition('.')[2]}"))
        if addresses is None:
            raise OSError(None, f"no record {host}")
        entry = ResolveResult(hostname=host, host="", port=port, family=family, proto=0, flags=0)
        return [ResolveResult(**{**entry, "host": address}) for address in addresses]

    async def close(self) -> None:
        """Nothing is open."""


def changed(settings: Settings, **groups: Mapping[str, Any]) -> Settings:
    """The settings with some of them other."""
    updated = {name: getattr(settings, name).model_copy(update=dict(values)) for name, values in groups.items()}
    return settings.model_copy(update=updated)


@dataclass
class Looker:
    """A site, and how to look from it."""

    site: Site
    names: Names

    def change(self, **groups: Mapping[str, Any]) -> None:
        """Look with other settings than those that the gateway runs with."""
        self.site = replace(self.site, settings=changed(self.site.settings, **groups))

    def look_for(self, workspace: str) -> None:
        self.site = replace(self.site, workspace=workspace)

    def lose_patience(self) -> None:
        """Wait for a tenth of a second where nothing will come."""
        self.site = replace(self.site, patience=0.1)

    async def read_routes(self) -> Finding:
        return await look_at_routes(self.site)


@dataclass
class Looked(Looker):
    """The same, and the gateway that is looked at."""

    world: OpenWorld


def names() -> Names:
    return Names(dict.fromkeys(("localhost", "workspaces.localhost", "*.workspaces.localhost"), ("127.0.0.1",)))


@pytest.fixture
async def looked() -> AsyncIterator[Looked]:
    """The demo on free ports, under names that only the tests know."""
    async with open_world(free_ports(), open_log("debug", io.StringIO())) as world:
        records = names()
        yield Looked(Site(world.settings, records, patience=2), records, world)


@pytest.fixture
async def alone() -> Looker:
    """Settings and names, for what needs no gateway."""
    auth = {"host": "https://gitlab.invalid", "redirect_uri": "http://workspaces.localhost/auth/callback"}
    settings = Settings.model_validate({"auth": {**auth, "protocol": "http", "signing_key": "k" * 16}})
    records = names()
    return Looker(Site(settings, records, patience=2), records)
