"""Replicas behind a load balancer without stickiness: whichever answers a request, it is one gateway to people.

Debian's haproxy gives every request of every connection to the next replica, and every SSH connection too. The
sessions are in a Redis, the routes in one file, and nothing else is shared.
"""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from auth.grants import GRANT_LIFETIME
from config.settings import HttpSettings, SessionSettings
from gateway.app import Gateway
from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab import Endpoint
from gateway.demo.world import EDITOR_PORT, LOOPBACK, SITE_PORT, OpenWorld, Ports, free_ports, open_world
from gateway.listening import bind_listeners
from gateway.telemetry.log import open_log
from tests.clock import RunningClock
from tests.redis_server import run_redis

BURST = 3  # sign-ins that one address may begin at one replica
PATIENCE = 20  # seconds, for what should take one at most
SCRIPT = {"Sec-Fetch-Mode": "cors"}
HAPROXY = """\
global
  log stderr format raw local0
defaults
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  timeout tunnel 1m
frontend browsers
  mode http
  option forwardfor
  bind 127.0.0.1:{http}
  default_backend doors
backend doors
  mode http
  balance roundrobin
{http_servers}
frontend terminals
  mode tcp
  bind 127.0.0.1:{ssh}
  default_backend ssh_doors
backend ssh_doors
  mode tcp
  balance roundrobin
{ssh_servers}
"""


@dataclass(frozen=True)
class Replica:
    """One gateway, where it listens, and what it has logged."""

    gateway: Gateway
    ports: Ports
    log: io.StringIO

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def was_asked(self, path: str) -> int:
        """How many requests for this path it has answered."""
        return sum(line["path"] == path for line in self.logged("http.request"))


@dataclass(frozen=True)
class Site:
    """Several replicas, and the load balancer before them."""

    world: OpenWorld
    clock: RunningClock
    replicas: list[Replica]
    balancer: Ports

    @asynccontextmanager
    async def browser(self, at: Replica | None = None) -> AsyncIterator[Browser]:
        """One whose requests the load balancer spreads, or that always meets the same replica."""
        port = at.ports.http if at else self.balancer.http
        async with Browser(replace(self.world.visit.network, address=(LOOPBACK, port))) as browser:
            yield browser

    @asynccontextmanager
    async def at_each(self, browser: Browser) -> AsyncIterator[list[Browser]]:
        """The same browser, once for each replica, whose requests happen to reach that one."""
        async with AsyncExitStack() as stack:
            moved = [await stack.enter_async_context(self.browser(replica)) for replica in self.replicas]
            for each in moved:
                each.cookies = browser.cookies
            yield moved

    def url(self, path: str = "/", port: int = EDITOR_PORT) -> str:
        return self.world.visit.address(self.world.visit.running, port, path)

    @property
    def portal(self) -> str:
        return self.world.visit.portal_url

    @property
    def token(self) -> str:
        """Of ada, who owns the workspace."""
        return self.world.visit.users[0].token.get_secret_value()


@pytest.fixture(params=[2, 4], ids=["two", "four"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """That many replicas."""
    clock, log, ports = RunningClock(), io.StringIO(), free_ports()
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(run_redis())
        sections = {
            "http": HttpSettings(address=LOOPBACK, port=ports.http, drain_grace=1, trusted_proxies=("127.0.0.1",)),
            "sessions": SessionSettings(store=redis.url, sign_in_burst=BURST, sign_ins_per_minute=1),
        }
        world = await stack.enter_async_context(open_world(ports, open_log("debug", log), clock, sections))
        replicas = [Replica(world.gateway, ports, log)]
        while len(replicas) < request.param:
            replicas.append(await stack.enter_async_context(_open_replica(world, clock)))
        balancer = await stack.enter_async_context(_open_balancer(replicas, tmp_path))
        yield Site(world, clock, replicas, balancer)


@asynccontextmanager
async def _open_replica(world: OpenWorld, clock: RunningClock) -> AsyncIterator[Replica]:
    """Another gateway with the same settings on ports of its own."""
    ports, log, settings = free_ports(), io.StringIO(), world.settings
    moved = {
        "http": settings.http.model_copy(update={"port": ports.http}),
        "ssh": settings.ssh.model_copy(update={"port": ports.ssh}),
        "admin": settings.admin.model_copy(update={"port": ports.admin}),
    }
    settings = settings.model_copy(update=moved)
    with bind_listeners(settings) as listeners:
        async with Gateway(settings, open_log("debug", log), listeners, clock) as gateway:
            yield Replica(gateway, ports, log)


@asynccontextmanager
async def _open_balancer(replicas: list[Replica], folder: Path) -> AsyncIterator[Ports]:
    ports = free_ports()

    def servers(kind: str) -> str:
        return "\n".join(
            f"  server r{number} 127.0.0.1:{getattr(replica.ports, kind)}" for number, replica in enumerate(replicas)
        )

    told = HAPROXY.format(http=ports.http, ssh=ports.ssh, http_servers=servers("http"), ssh_servers=servers("ssh"))
    (folder / "haproxy.cfg").write_text(told)
    process = await asyncio.create_subprocess_exec("/usr/sbin/haproxy", "-db", "-f", str(folder / "haproxy.cfg"))
    try:
        async with asyncio.timeout(PATIENCE):
            while not _listens(ports.http):  # noqa: ASYNC110 - haproxy says nothing when it is ready
                await asyncio.sleep(0.02)
        yield ports
    finally:
        process.kill()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) == 0


async def sign_out(site: Site, browser: Browser) -> Page:
    """What the button on the portal does."""
    home = await browser.visit(f"{site.portal}/", "")
    token = home.text.partition('name="csrf" value="')[2].partition('"')[0]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    return await browser.fetch(
        f"{site.portal}/auth/sign-out", method="POST", headers=headers, body=f"csrf={token}".encode()
    )


async def test_requests_are_spread_and_one_sign_in_counts_everywhere(site: Site) -> None:
    """No replica answered every step of it, and each lets in whoever it led to."""
    async with site.browser() as ada:
        page = await ada.visit(site.url(), "ada")
        async with site.at_each(ada) as moved:
            statuses = [(await each.fetch(site.url(), headers=SCRIPT)).status for each in moved]

    steps = ("/auth/start", "/auth/callback", "/.workspaces-gateway/enter")
    answered = [{step for step in steps if replica.was_asked(step)} for replica in site.replicas]
    assert page.status == 200
    assert set.union(*answered) == set(steps)
    assert set(steps) not in answered
    assert statuses == [200] * len(site.replicas)


async def test_a_sign_in_that_each_replica_sees_a_step_of_ends_well(site: Site) -> None:
    """Whichever it begins at, whichever GitLab leads back to."""
    for first, second in ((first, second) for first in site.replicas for second in site.replicas[:2]):
        async with site.browser(first) as begun, site.browser(second) as ended:
            ended.cookies = begun.cookies
            asked = await begun.navigate(f"{site.portal}/auth/start")
            agreed = await begun._submit(await begun.navigate(asked.next_url or ""), "ada")
            page = await ended.visit(agreed.next_url or "", "ada")

        assert (page.status, page.url) == (200, f"{site.portal}/")


async def test_a_grant_is_renewed_by_whichever_replica_it_meets(site: Site) -> None:
    """Twice its life long, and GitLab is asked by none of them more than once in five minutes."""
    async with site.browser() as ada:
        await ada.visit(site.url(), "ada")
        before = site.world.gitlab.calls[Endpoint.GRAPHQL]
        statuses = []
        for _ in range(4):
            site.clock.ahead += GRANT_LIFETIME * 0.55
            statuses += [(await ada.fetch(site.url(), headers=SCRIPT)).status for _ in range(2 * len(site.replicas))]

    assert set(statuses) == {200}
    assert 4 <= site.world.gitlab.calls[Endpoint.GRAPHQL] - before <= 4 * len(site.replicas)


async def test_signing_out_closes_what_is_open_at_each_replica(site: Site) -> None:
    """And no replica answers that browser any more."""
    async with site.browser() as ada, site.at_each(ada) as moved, AsyncExitStack() as stack:
        await ada.visit(site.url(), "ada")
        sockets = [await stack.enter_async_context(each.open_socket(site.url("/ws"))) for each in moved]
        for each in sockets:
            await each.send_str("hello")
            assert await each.receive_str(timeout=PATIENCE) == "hello"
        await sign_out(site, ada)
        closed = [(await each.receive(timeout=PATIENCE)).data for each in sockets]
        statuses = [(await each.fetch(site.url(), headers=SCRIPT)).status for each in moved]

    assert closed == [1008] * len(moved)
    assert statuses == [401] * len(moved)


async def test_a_port_that_is_shut_by_one_replica_is_shut_by_all(site: Site) -> None:
    """Strangers lose what they have open at each, and a new request finds nothing."""
    url = site.url("/", SITE_PORT)
    async with site.browser() as program, site.browser() as nobody, site.at_each(nobody) as moved:
        async with AsyncExitStack() as stack:
            address = site.url("/ws", SITE_PORT)
            sockets = [await stack.enter_async_context(each.open_socket(address)) for each in moved]
            put = f"{site.portal}/api/v1/workspaces/{site.world.visit.running}/ports/{SITE_PORT}"
            headers = {"X-Workspaces-Token": site.token}
            page = await program.fetch(put, method="PUT", headers=headers, body=b'{"visibility": "private"}')
            closed = [(await each.receive(timeout=PATIENCE)).data for each in sockets]
        statuses = [(await each.fetch(url, headers=SCRIPT)).status for each in moved]

    assert page.status == 200
    assert closed == [1008] * len(moved)
    assert statuses == [401] * len(moved)


async def test_a_flood_of_sign_ins_is_limited_by_all_together(site: Site) -> None:
    """To what one allows times their number, by the address behind the load balancer."""
    most = BURST * len(site.replicas)
    statuses = []
    for _ in range(2 * most):
        async with site.browser() as stranger:
            statuses.append((await stranger.navigate(f"{site.portal}/auth/start")).status)

    assert statuses == [303] * most + [429] * most


async def test_a_program_gets_in_with_its_token_wherever_it_comes_to(site: Site) -> None:
    """Each replica asks GitLab for itself, once."""
    async with site.browser() as program:
        headers = {"X-Workspaces-Token": site.token}
        statuses = [(await program.fetch(site.url(), headers=headers)).status for _ in range(2 * len(site.replicas))]

    assert set(statuses) == {200}
    assert all(replica.was_asked("/") == 2 for replica in site.replicas)


async def test_ssh_works_at_each_replica(site: Site) -> None:
    """A command there and back, as often as there are replicas; each had one."""
    options: dict[str, Any] = {"config": None, "known_hosts": None, "agent_path": None, "client_keys": None}
    said = []
    for _ in site.replicas:
        async with asyncssh.connect(
            *(LOOPBACK, site.balancer.ssh), username=site.world.visit.running, password=site.token, **options
        ) as client:
            said.append((await client.run("cat", input="in\n")).stdout)

    assert said == ["in\n"] * len(site.replicas)
    assert [len(replica.logged("ssh.login")) for replica in site.replicas] == [1] * len(site.replicas)
