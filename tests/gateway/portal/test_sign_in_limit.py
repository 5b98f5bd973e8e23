"""A flood of sign-ins that nobody finishes is limited, and locks nobody out who was here before."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from auth.programs import GRANTED_SECONDS
from auth.share import PORTAL_TOKENS, PROGRAMS, SIGN_INS
from config.settings import SessionSettings
from gateway.demo.browser import Browser
from gateway.demo.gitlab import Endpoint
from gateway.demo.world import EDITOR_PORT
from tests.gateway.conftest import Live, open_live

BURST = 3


@pytest.fixture
async def strict() -> AsyncIterator[Live]:
    """A gateway that lets three sign-ins begin at once, and one more every minute."""
    async with open_live(sessions=SessionSettings(sign_in_burst=BURST, sign_ins_per_minute=1)) as opened:
        yield opened


def start(live: Live) -> str:
    return f"{live.world.visit.portal_url}/auth/start"


async def flood(live: Live, number: int = BURST) -> list[int]:
    """Sign-ins that a stranger begins and does not finish, each as if with a browser of its own."""
    statuses = []
    for _ in range(number):
        async with live.person() as stranger:
            statuses.append((await stranger.navigate(start(live))).status)
    return statuses


async def test_beyond_the_burst_a_page_says_when_to_come_back(strict: Live) -> None:
    """And goes on by itself when it is time."""
    assert await flood(strict, BURST + 1) == [303] * BURST + [429]
    async with strict.person() as stranger:
        page = await stranger.navigate(start(strict))
        assert (page.status, page.headers["X-Workspaces-Gateway"]) == (429, "too_many_sign_ins")
        assert 0 < int(page.headers["Retry-After"]) <= 60
        assert f'data-seconds="{page.headers["Retry-After"]}"' in page.text
        strict.clock.ahead += int(page.headers["Retry-After"])

        assert (await stranger.navigate(start(strict))).status == 303
    assert strict.metric("sign_ins_total", result="limited") == 2


async def test_whoever_finishes_is_not_limited(strict: Live) -> None:
    """An office of one address signs in with one browser after the other."""
    for _ in range(3 * BURST):
        async with strict.person("ada", at=strict.url("/", port=EDITOR_PORT)):
            pass


async def test_a_flood_from_ones_own_address_keeps_out_nobody_who_was_here(strict: Live) -> None:
    """A browser that signed in before counts by itself; one that comes for the first time has to wait."""
    async with strict.person("ada", at=strict.url("/", port=EDITOR_PORT)) as ada, strict.person() as newcomer:
        await strict.sign_out(ada)
        await flood(strict, BURST + 1)

        assert (await newcomer.navigate(start(strict))).status == 429
        assert (await ada.visit(strict.url("/", port=EDITOR_PORT), "ada")).status == 200


async def test_being_known_is_for_one_browser(strict: Live) -> None:
    """The cookie of one is worth nothing in another, nor is one that somebody made up."""
    async with strict.person("ada", at=strict.url("/", port=EDITOR_PORT)) as ada, strict.person() as thief:
        await flood(strict)
        known = next(pair for pair in ada.cookie_header(start(strict))["Cookie"].split("; ") if "-known=" in pair)
        headers = {"Sec-Fetch-Mode": "navigate", "Cookie": known}
        async with thief.session.get(start(strict), headers=headers, allow_redirects=False) as answer:
            assert answer.status == 429


async def test_a_client_cannot_say_that_it_is_somebody_else(strict: Live) -> None:
    """X-Forwarded-For counts only from a proxy that the operator lists."""
    await flood(strict)
    async with strict.person() as stranger:
        for address in ("192.0.2.1", "192.0.2.2, 192.0.2.3"):
            page = await stranger.fetch(start(strict), headers={"X-Forwarded-For": address})
            assert page.status == 429


@pytest.mark.parametrize(
    "script",
    [
        {"Sec-Fetch-Mode": "cors", "Accept": "application/json"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
    ids=["script", "frame", "image"],
)
async def test_what_cannot_follow_to_gitlab_begins_nothing(strict: Live, script: dict[str, str]) -> None:
    """A page full of frames uses up nobody's sign-ins, and the page that waits can ask whether it is its turn."""
    async with strict.person() as stranger:
        for _ in range(3 * BURST):
            assert (await stranger.fetch(start(strict), headers=script)).status == 401
        await flood(strict)
        assert (await stranger.fetch(start(strict), headers=script)).status == 429


async def test_no_limit_is_no_limit() -> None:
    """Where a load balancer hides all addresses, and another limit stands before it."""
    async with open_live(sessions=SessionSettings(sign_ins_per_minute=0, sign_in_burst=1)) as live:
        assert await flood(live, 20) == [303] * 20


async def made_up_callback(live: Live, stranger: Browser) -> str:
    """A sign-in that was really begun, with a code that GitLab never gave."""
    began = await stranger.navigate(start(live))
    state = parse_qs(urlsplit(began.next_url or "").query)["state"][0]
    return f"{live.world.visit.portal_url}/auth/callback?state={state}&code={'0' * 64}"


async def test_a_flood_of_made_up_codes_leaves_gitlab_to_people_who_are_in(live: Live) -> None:
    """GitLab takes for ever to refuse them; ada works on meanwhile, and opens what she had not open."""
    calls, slow = live.world.gitlab.calls, asyncio.Event()
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, live.person() as stranger:
        callbacks = [await made_up_callback(live, stranger) for _ in range(4 * SIGN_INS)]
        before = calls[Endpoint.TOKEN]
        live.world.gitlab.switches[Endpoint.TOKEN].gate = slow
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(stranger.navigate(callback)) for callback in callbacks]
            stopped = live.url("/", port=EDITOR_PORT, name=live.world.visit.stopped)
            page = await ada.visit(stopped, "ada")
            await live.world.gitlab.wait_called(Endpoint.TOKEN, before + SIGN_INS)
            most = calls[Endpoint.TOKEN] - before
            live.world.gitlab.switches[Endpoint.TOKEN].gate = None
            slow.set()

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
    assert most == SIGN_INS
    assert {task.result().status for task in asked} == {400}


async def test_a_flood_of_made_up_tokens_asks_gitlab_no_more_than_its_share(live: Live) -> None:
    """However many there are at once; a program whose token was good before does not wait behind them."""
    calls, slow = live.world.gitlab.calls, asyncio.Event()
    live.open_port("private")
    good = {"X-Workspaces-Token": live.token("ada")}
    async with live.person() as stranger, live.person() as program:
        assert (await program.fetch(live.url("/"), headers=good)).status == 200
        live.clock.ahead += GRANTED_SECONDS
        live.world.gitlab.switches[Endpoint.GRAPHQL].gate = slow
        before = calls[Endpoint.GRAPHQL]
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(stranger.fetch(live.url("/"), headers={"X-Workspaces-Token": f"glpat-{number}"}))
                for number in range(4 * PROGRAMS)
            ]
            await live.world.gitlab.wait_called(Endpoint.GRAPHQL, before + PROGRAMS)
            most = calls[Endpoint.GRAPHQL] - before
            known = group.create_task(program.fetch(live.url("/"), headers=good))
            await live.world.gitlab.wait_called(Endpoint.GRAPHQL, before + PROGRAMS + 1)
            slow.set()

    assert most == PROGRAMS
    assert known.result().status == 200
    assert {task.result().status for task in asked} == {401}


async def test_a_flood_of_made_up_tokens_at_the_api_leaves_the_portal_to_its_people(live: Live) -> None:
    """Ada's own page is asked for meanwhile, and GitLab gets that question too."""
    calls, slow = live.world.gitlab.calls, asyncio.Event()
    portal = live.world.visit.portal_url
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada, live.person() as stranger:
        live.world.gitlab.switches[Endpoint.GRAPHQL].gate = slow
        before = calls[Endpoint.GRAPHQL]
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(
                    stranger.fetch(f"{portal}/api/v1/workspaces", headers={"X-Workspaces-Token": f"glpat-{number}"})
                )
                for number in range(4 * PORTAL_TOKENS)
            ]
            await live.world.gitlab.wait_called(Endpoint.GRAPHQL, before + PORTAL_TOKENS)
            home = group.create_task(ada.navigate(f"{portal}/"))
            await live.world.gitlab.wait_called(Endpoint.GRAPHQL, before + PORTAL_TOKENS + 1)
            slow.set()

    assert home.result().status == 200
    assert {task.result().status for task in asked} == {401}
