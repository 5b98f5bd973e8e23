"""Two gateways on one Redis act as one, and go on without it only as far as what they have already given."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from auth.grants import GRANT_LIFETIME
from config.settings import SessionSettings
from gateway.app import Gateway
from gateway.demo.browser import Browser
from gateway.demo.gitlab import Endpoint
from gateway.demo.world import EDITOR_PORT, LOOPBACK, free_ports
from gateway.listening import bind_listeners
from gateway.telemetry.log import open_log
from tests.gateway.conftest import Live, open_live
from tests.redis_server import RedisServer, run_redis

SCRIPT = {"Sec-Fetch-Mode": "cors"}


@dataclass
class Twins:
    """One GitLab, one route table, one Redis, two gateways."""

    redis: RedisServer
    live: Live
    other: Gateway
    port: int
    """Where the other one listens."""

    @asynccontextmanager
    async def at_other(self, browser: Browser) -> AsyncIterator[Browser]:
        """The same browser, whose requests now happen to reach the other gateway."""
        network = replace(self.live.world.visit.network, address=(LOOPBACK, self.port))
        async with Browser(network) as moved:
            moved.cookies = browser.cookies
            yield moved

    @property
    def editor(self) -> str:
        return self.live.url("/", port=EDITOR_PORT)


@pytest.fixture
async def twins() -> AsyncIterator[Twins]:
    async with run_redis() as redis, open_live(sessions=SessionSettings(store=redis.url)) as live:
        ports, settings = free_ports(), live.world.settings
        settings = settings.model_copy(
            update={
                "http": settings.http.model_copy(update={"port": ports.http}),
                "ssh": settings.ssh.model_copy(update={"port": ports.ssh}),
                "admin": settings.admin.model_copy(update={"port": ports.admin}),
            }
        )
        with bind_listeners(settings) as listeners:
            async with Gateway(settings, open_log("debug", live.log), listeners, live.clock) as other:
                yield Twins(redis, live, other, ports.http)


async def test_one_sign_in_is_enough_for_both(twins: Twins) -> None:
    """The grant, the session, and a sign-in that begins at one and ends at the other."""
    async with twins.live.person("ada", at=twins.editor) as ada, twins.at_other(ada) as moved:
        same = await moved.fetch(twins.editor, headers=SCRIPT)
        elsewhere = await moved.visit(twins.live.url("/", port=EDITOR_PORT, name=twins.live.world.visit.stopped), "")
        home = await moved.navigate(f"{twins.live.world.visit.portal_url}/")

    assert (same.status, elsewhere.status, home.status) == (200, 503, 200)


async def test_an_entry_code_opens_one_door(twins: Twins) -> None:
    """Used at one gateway, it is used for the other."""
    async with twins.live.person() as ada, twins.at_other(ada) as moved:
        await ada.visit(f"{twins.live.world.visit.portal_url}/", "ada")
        page = await ada.navigate(twins.editor)
        page = await ada.navigate(page.next_url or "")
        code = page.next_url or ""
        first, second = await ada.navigate(code), await moved.navigate(code)

    assert "/.workspaces-gateway/enter?code=" in code
    assert (first.status, second.status) == (303, 400)


async def test_signing_out_at_one_closes_what_is_open_at_the_other(twins: Twins) -> None:
    """Within a second, and nothing is answered there any more."""
    async with twins.live.person("ada", at=twins.editor) as ada, twins.at_other(ada) as moved:
        async with moved.open_socket(twins.live.url("/ws", port=EDITOR_PORT)) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=3) == "hello"
            await twins.live.sign_out(ada)
            began = time.monotonic()
            message = await socket.receive(timeout=3)
            assert (message.data, time.monotonic() - began < 1) == (1008, True)
        page = await moved.fetch(twins.editor, headers=SCRIPT)

    assert page.status == 401


async def test_a_token_is_refreshed_once_across_both(twins: Twins) -> None:
    """GitLab voids a refresh token with its use, so a second one would sign the person out."""
    async with twins.live.person("ada", at=twins.editor) as ada, twins.at_other(ada) as moved:
        before = twins.live.world.gitlab.calls[Endpoint.TOKEN]
        twins.live.clock.ahead += 3590
        assert (await ada.visit(twins.editor, "")).status == 200
        twins.live.clock.ahead += 3590
        portal = f"{twins.live.world.visit.portal_url}/"
        pages = await asyncio.gather(*(browser.navigate(portal) for browser in (ada, moved) * 3))

        assert {page.status for page in pages} == {200}
        assert twins.live.world.gitlab.calls[Endpoint.TOKEN] == before + 1


async def test_without_redis_what_was_given_works_until_it_ends(twins: Twins) -> None:
    """Grants go on, signing in says 503, and after ten minutes nobody is in: nothing fails open."""
    async with twins.live.person("ada", at=twins.editor) as ada, twins.live.person() as stranger:
        await twins.redis.stop()
        young = await ada.fetch(twins.editor, headers=SCRIPT)
        twins.live.clock.ahead += GRANT_LIFETIME * 0.75
        due = await ada.fetch(twins.editor, headers=SCRIPT)
        entering = await ada.visit(twins.live.url("/", port=EDITOR_PORT, name=twins.live.world.visit.stopped), "")
        signing_in = await stranger.visit(f"{twins.live.world.visit.portal_url}/", "ada")
        twins.live.clock.ahead += GRANT_LIFETIME * 0.5
        ended = await ada.fetch(twins.editor, headers=SCRIPT)

    assert (young.status, due.status, ended.status) == (200, 200, 401)
    for page in (entering, signing_in):
        assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "sessions_unavailable")


async def test_when_redis_is_back_people_sign_in_again(twins: Twins) -> None:
    """It came back empty, so the old session is gone, and a new one is made."""
    async with twins.live.person("ada", at=twins.editor):
        await twins.redis.stop()
        await twins.redis.start()
    async with twins.live.person("ada", at=twins.editor) as again:
        assert (await again.fetch(twins.editor, headers=SCRIPT)).status == 200
