"""Open streams end when their visitor loses the right to be there, within a second of the gateway knowing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest

from auth.access import RECHECK_INTERVAL
from auth.grants import GRANT_LIFETIME
from auth.model import Denied, Grant, Unavailable, Visibility
from gateway.demo.browser import Browser
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.world import EDITOR_PORT, LOOPBACK, SITE_PORT
from gateway.http.decision import Forward
from gateway.http.streams import AT_ONCE, ROUND_SECONDS, Rules, Streams
from gateway.http.upstream import Origin
from tests.clock import Clock
from tests.gateway.conftest import Live, events

EVENTS = "/events?interval=0.1"


@asynccontextmanager
async def editor(live: Live, browser: Browser) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """ada's open editor: a WebSocket that has carried something."""
    async with browser.open_socket(live.url("/ws", port=EDITOR_PORT)) as socket:
        await expect_open(socket)
        yield socket


async def expect_open(socket: aiohttp.ClientWebSocketResponse) -> None:
    async with asyncio.timeout(10):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def find_close_code(socket: aiohttp.ClientWebSocketResponse, within: float = 1.0) -> int | None:
    async with asyncio.timeout(within):
        message = await socket.receive()
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
    return message.data if message.type is aiohttp.WSMsgType.CLOSE else socket.close_code


async def pass_time(live: Live, seconds: float) -> None:
    """Move the clock, and go on when the open streams have been asked about since."""
    for _ in range(int(seconds // (RECHECK_INTERVAL / 2))):
        live.clock.ahead += RECHECK_INTERVAL / 2
        await live.streams.recheck()


async def test_sign_out_closes_my_streams_and_nobody_elses(live: Live) -> None:
    """A WebSocket with 1008, an event stream plainly; grace goes on working."""
    editor_url = live.url("/", port=EDITOR_PORT)
    others_url = live.url("/", port=EDITOR_PORT, name=live.world.visit.others)
    live.open_port("internal")
    await live.wait_visible("internal")
    async with (
        live.person("ada", at=editor_url) as ada,
        live.person("grace", at=others_url) as grace,
        editor(live, ada) as mine,
        grace.open_socket(live.url("/ws", port=EDITOR_PORT, name=live.world.visit.others)) as hers,
    ):
        await ada.visit(live.url("/"), "ada")
        async with events(ada, live.url(EVENTS)) as ticks:
            await live.sign_out(ada)
            began = time.monotonic()

            assert await find_close_code(mine) == 1008
            while await ticks.is_open():
                pass
            assert time.monotonic() - began < 1
        await expect_open(hers)
    assert live.metric("http_revoked_total") == 2


async def test_public_to_private_ends_strangers_and_spares_the_owner(live: Live) -> None:
    """The owner came in when the port was private, so it does not matter how open it was in between."""
    live.open_port("private")
    await live.wait_visible("private")
    async with live.person("ada") as ada, live.person() as stranger, events(ada, live.url(EVENTS)) as mine:
        live.open_port("public")
        await live.wait_visible("public")
        async with stranger.open_socket(live.url("/ws")) as socket, events(stranger, live.url(EVENTS)) as theirs:
            await expect_open(socket)
            live.open_port("private")
            await live.wait_visible("private")

            assert await find_close_code(socket) == 1008
            while await theirs.is_open():
                pass
            assert await mine.is_open()


async def test_internal_to_private_ends_members_and_spares_the_owner(live: Live) -> None:
    """grace was let in as a member, ada as the owner."""
    live.open_port("internal")
    await live.wait_visible("internal")
    async with (
        live.person("ada") as ada,
        live.person("grace") as grace,
        events(ada, live.url(EVENTS)) as mine,
        events(grace, live.url(EVENTS)) as theirs,
    ):
        live.open_port("private")
        await live.wait_visible("private")
        while await theirs.is_open():
            pass

        assert await mine.is_open()
        assert (await grace.fetch(live.url("/headers"))).status == 401


@pytest.mark.parametrize("change", [{"uid": "another"}, {"name": "somebody-else"}, {"ports": []}])
async def test_streams_of_a_workspace_that_is_no_more_are_closed(live: Live, change: dict[str, object]) -> None:
    """Re-created under its name, gone, or without the port; the neighbour's streams stay."""
    others_url = live.url("/", port=EDITOR_PORT, name=live.world.visit.others)
    async with (
        live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada,
        live.person("grace", at=others_url) as grace,
        editor(live, ada) as mine,
        grace.open_socket(live.url("/ws", port=EDITOR_PORT, name=live.world.visit.others)) as hers,
    ):
        if "name" in change:
            change = {"host_template": "{{.port}}-somebody-else.workspaces.localhost"}
        live.declare(lambda entry: entry.update(change))

        assert await find_close_code(mine, within=2) == 1008
        await expect_open(hers)


async def test_another_change_of_the_table_closes_nothing(live: Live) -> None:
    """A workspace that comes, stops or opens a port does not disturb anybody."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        live.declare(lambda entry: entry.update(state="stopped"), live.world.visit.others)
        live.open_port("internal")
        await live.wait_visible("internal")
        await asyncio.sleep(0.3)

        await expect_open(mine)


async def test_an_open_editor_works_all_day(live: Live) -> None:
    """With a WebSocket and requests of its scripts only: no redirect, no new sign-in, and GitLab refreshes in time."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        for _ in range(94):
            await pass_time(live, 300)
            answer = await ada.fetch(live.url("/", port=EDITOR_PORT), headers={"Sec-Fetch-Mode": "cors"})
            assert answer.status == 200
        await expect_open(mine)
        sign_ins = live.metric("sign_ins_total", result="ok")
    assert sign_ins == 1
    assert live.metric("gitlab_calls_total", endpoint="token", result="ok") >= 4


async def test_a_session_that_is_too_old_takes_its_streams_along(live: Live) -> None:
    """Eight hours after signing in, however busy it was."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        await pass_time(live, 8 * 3600)
        await live.streams.recheck()

        assert await find_close_code(mine) == 1008


async def test_a_clock_that_was_set_back_keeps_nobody_in(live: Live) -> None:
    """A grant that begins only in an hour's time is not one that is due in an hour and five minutes."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        ada_user = live.state.get_user("ada")
        assert ada_user
        live.state.block(ada_user)
        live.clock.ahead -= 3600
        await live.streams.recheck()
        live.clock.ahead += RECHECK_INTERVAL
        await live.streams.recheck()

        assert await find_close_code(mine) == 1008


async def test_a_blocked_user_is_out_within_five_minutes(live: Live) -> None:
    """The open editor ends, and what is asked after it is refused though its grant is young."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        await live.streams.recheck()
        ada_user = live.state.get_user("ada")
        assert ada_user
        live.state.block(ada_user)
        live.clock.ahead += RECHECK_INTERVAL

        assert await find_close_code(mine, within=3) == 1008  # by itself, at the next round
        answer = await ada.fetch(live.url("/", port=EDITOR_PORT), headers={"Sec-Fetch-Mode": "cors"})
        assert answer.status == 401


async def test_a_lost_workspace_ends_the_stream(live: Live) -> None:
    """Given to somebody else at GitLab, with nothing changed in the table."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        await live.streams.recheck()
        grace = live.state.get_user("grace")
        workspace = next(item for item in live.state.workspaces.values() if item.name == live.world.visit.running)
        assert grace
        live.state.set_owner(workspace.id, grace)
        await expect_open(mine)
        live.clock.ahead += RECHECK_INTERVAL + ROUND_SECONDS

        assert await find_close_code(mine, within=3) == 1008


async def test_gitlab_away_does_not_end_an_editor_before_its_grant(live: Live) -> None:
    """Nobody is thrown out by an outage of minutes, and nobody stays in for longer than a grant lives."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, editor(live, ada) as mine:
        await live.streams.recheck()
        live.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
        live.clock.ahead += GRANT_LIFETIME - 60
        await live.streams.recheck()
        await expect_open(mine)
        live.clock.ahead += 120
        await live.streams.recheck()

        assert await find_close_code(mine) == 1008


async def test_gitlab_is_asked_at_most_every_five_minutes(live: Live) -> None:
    """However many rounds and streams there are."""
    async with (
        live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada,
        editor(live, ada),
        editor(live, ada),
    ):
        await live.streams.recheck()
        before = live.metric("gitlab_calls_total", endpoint="graphql", result="ok")
        for _ in range(10):
            await live.streams.recheck()
        assert live.metric("gitlab_calls_total", endpoint="graphql", result="ok") == before
        live.clock.ahead += RECHECK_INTERVAL
        await live.streams.recheck()

        assert live.metric("gitlab_calls_total", endpoint="graphql", result="ok") == before + 1


async def test_nothing_is_left_when_all_streams_have_ended(live: Live) -> None:
    """What ended by itself is not asked about any more."""
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada:
        async with editor(live, ada), events(ada, live.url(EVENTS, port=SITE_PORT)):
            assert len(live.streams) == 2
        async with asyncio.timeout(10):
            while len(live.streams):  # noqa: ASYNC110 - nobody else wants to be told
                await asyncio.sleep(0.02)


@dataclass
class Crowd(Rules):
    """Rules that let everybody stay, and note how they are asked."""

    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    def is_allowed(self, forward: Forward) -> bool:
        del forward
        return True

    async def recheck(self, forward: Forward) -> Grant | Denied | Unavailable:
        assert forward.grant is not None
        self.asked.append(forward.grant.session_ref)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return replace(forward.grant, issued=forward.grant.issued + RECHECK_INTERVAL)


class Held:
    """A stream that nobody closes."""

    def revoke(self) -> None:
        raise AssertionError("it was closed")


async def test_a_round_asks_about_each_visitor_who_is_due_and_not_about_all_at_once(live: Live) -> None:
    """The session store and GitLab see a queue, and who was let in lately is not asked about again."""
    clock, crowd = Clock(), Crowd()
    streams = Streams(crowd, clock)
    route = live.world.gateway.table.get_route(live.url("/").partition("://")[2].partition(":")[0])
    assert route is not None
    forward = Forward(Origin("uid", LOOPBACK, 1), route)
    for number in range(3 * AT_ONCE):
        grant = Grant(
            route.host, "1", "uid", 7, "jo", f"s{number}", Visibility.PRIVATE, clock.now, clock.now + GRANT_LIFETIME
        )
        streams.add(Held(), replace(forward, grant=grant))
        streams.add(Held(), replace(forward, grant=grant))
    await streams.recheck()
    assert crowd.asked == []
    clock.now += RECHECK_INTERVAL
    await streams.recheck()

    assert sorted(crowd.asked) == sorted(f"s{number}" for number in range(3 * AT_ONCE))
    assert crowd.most == AT_ONCE
    await streams.recheck()
    assert len(crowd.asked) == 3 * AT_ONCE
