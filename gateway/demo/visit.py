"""What a visit to a running gateway needs: where it is, who visits, their browsers, and what the counters said.

Holds nothing that somebody outside the gateway would not know.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from gateway.demo.browser import Browser, Network
from gateway.demo.terminal import Login


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A person of the demo: who they are to GitLab, and the token they type into SSH."""

    username: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class World:
    """A gateway to check, and the people and workspaces that it is there for."""

    portal_url: str
    admin_url: str
    ssh_host: str
    ssh_port: int
    connect_address: tuple[str, int]
    """IP address and port of the HTTP door. Every name of the gateway is dialled here, whether it resolves or not."""
    users: tuple[DemoUser, ...]
    """The first owns `running` and `stopped`, the second `others`."""
    running: str
    others: str
    stopped: str
    host_template: str
    """Host and port of a workspace port's address, such as `{port}-{name}.workspaces.localhost:9876`."""
    editor_port: int = 60001
    """Private for ever."""
    site_port: int = 3000
    """Declared public on `running`."""

    @property
    def network(self) -> Network:
        zone = self.host_template.partition(":")[0].partition(".")[2]
        return Network(self.connect_address, zone, urlsplit(self.portal_url).hostname or "")

    def address(self, workspace: str, port: int, target: str) -> str:
        """The address of `target` on one port of a workspace, existing or not."""
        host = self.host_template.format(port=port, name=workspace)
        return f"{urlsplit(self.portal_url).scheme}://{host}{target}"

    def login(self, workspace: str, token: SecretStr) -> Login:
        return Login(self.ssh_host, self.ssh_port, workspace, token)


Counters = Mapping[str, float]
"""Every counter of the gateway by name, summed over its labels."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One check in progress. What one step leaves in a browser is there in the next, as it is for a person."""

    world: World
    owner: Browser
    """Of the first user."""
    other: Browser
    """Of the second user."""
    stranger: Browser
    """Of nobody who ever signs in."""
    before: Counters | Exception
    """What the counters said at first, or why they said nothing."""


@asynccontextmanager
async def open_visit(world: World, limit: float) -> AsyncIterator[Visit]:
    """Fresh browsers, and a first look at the counters for which there are `limit` seconds."""
    async with AsyncExitStack() as stack:
        owner, other, stranger = [await stack.enter_async_context(Browser(world.network)) for _ in range(3)]
        before: Counters | Exception
        try:
            async with asyncio.timeout(limit):
                before = await scrape(stranger, world)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # of which TimeoutError is an OSError
            before = error
        yield Visit(world, owner, other, stranger, before)


async def scrape(browser: Browser, world: World) -> Counters:
    """What the gateway tells its operators' Prometheus. Anything else than metrics is a ValueError."""
    page = await browser.fetch(f"{world.admin_url}/metrics")
    if page.status != 200:
        raise ValueError(f"no metrics but {page}")
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
