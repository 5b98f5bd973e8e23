"""The owner starts a stopped workspace where they stand, and arrives at the address they wanted."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from config.settings import Settings
from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.gitlab_model import GitLabWorkspace
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.world import EDITOR_PORT
from tests.gateway.conftest import Live, open_live

PATH = "/?folder=/projects/a%20b"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


def stopped_url(live: Live, path: str = PATH) -> str:
    return live.url(path, port=EDITOR_PORT, name=live.world.visit.stopped)


def workspace_of(live: Live) -> GitLabWorkspace:
    return next(item for item in live.state.workspaces.values() if item.name == live.world.visit.stopped)


def button(page: Page) -> str:
    return html.unescape(re.findall(r'<form class="next" method="post" action="([^"]+)"', page.text)[0])


async def press(live: Live, browser: Browser, page: Page, headers: dict[str, str] | None = None) -> Page:
    return await browser.fetch(stopped_url(live, button(page)), method="POST", headers=headers or FORM, body=b"")


async def test_from_the_button_to_the_running_workspace(live: Live) -> None:
    """The page follows by itself, without a script, and ends at the exact address; GitLab was told once."""
    async with live.person() as ada:
        page = await ada.visit(stopped_url(live), "ada")
        assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
        following = (await press(live, ada, page)).next_url
        assert following is not None
        seen = []
        async with asyncio.timeout(10):
            while (page := await ada.navigate(following, site="same-origin")).next_url is None:
                seen.append((page.status, page.headers["X-Workspaces-Gateway"], 'http-equiv="refresh"' in page.text))
                await asyncio.sleep(0.2)
        arrived = await ada.navigate(page.next_url)

    assert set(seen) == {(503, "workspace_starting", True)}
    assert page.next_url == stopped_url(live)
    assert (arrived.status, "demo editor" in arrived.text) == (200, True)
    assert workspace_of(live).desired_state == "Running"


@pytest.mark.parametrize(("level", "visitor"), [("internal", "grace"), ("public", "")])
async def test_only_the_owner_has_the_button(live: Live, level: str, visitor: str) -> None:
    """A member of an internal port reads that it is stopped, a stranger of a public one too."""

    def open_it(entry: dict[str, Any]) -> None:
        entry["ports"][1]["visibility"] = level

    live.declare(open_it, live.world.visit.stopped)
    url = live.url("/", name=live.world.visit.stopped)
    async with live.person() as person:
        if visitor:
            page = await person.visit(url, visitor)
        else:
            page = await person.fetch(url, headers={"Accept": "text/html", "Sec-Fetch-Mode": "no-cors"})

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
    assert "<form" not in page.text


async def test_a_script_is_told_and_offered_nothing(live: Live) -> None:
    """JSON with 503, as ever."""
    async with live.person() as ada:
        await ada.visit(stopped_url(live), "ada")
        page = await ada.fetch(stopped_url(live), headers={"Sec-Fetch-Mode": "cors"})

    assert (page.status, page.headers["Content-Type"]) == (503, "application/json")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**FORM, "Sec-Fetch-Site": "same-site", "Origin": "http://3000-cherry-crab-red.workspaces.localhost"}, 403),
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**FORM, "Service-Worker": "script"}, 404),
    ],
)
async def test_another_site_starts_nothing(live: Live, headers: dict[str, str], status: int) -> None:
    """Nor does a service worker."""
    async with live.person() as ada:
        page = await press(live, ada, await ada.visit(stopped_url(live), "ada"), headers)

    assert page.status == status
    assert workspace_of(live).desired_state == "Stopped"


@pytest.mark.parametrize(("method", "path"), [("GET", "start"), ("POST", "starting"), ("PUT", "start")])
async def test_a_look_starts_nothing(live: Live, method: str, path: str) -> None:
    """Each of the two addresses takes its one method."""
    async with live.person() as ada:
        target = button(await ada.visit(stopped_url(live), "ada")).replace("/start?", f"/{path}?")
        page = await ada.fetch(stopped_url(live, target), method=method, headers=FORM)

    assert page.status == 404
    assert workspace_of(live).desired_state == "Stopped"


async def test_the_way_back_is_for_one_browser_on_one_host(live: Live) -> None:
    """Nobody can make a start that leads somebody else somewhere."""
    async with live.person() as ada, live.person() as again:
        page = await ada.visit(stopped_url(live), "ada")
        await again.visit(stopped_url(live), "ada")

        assert (await press(live, again, page)).status == 400
    assert workspace_of(live).desired_state == "Stopped"


async def test_a_stranger_is_asked_who_they_are(live: Live) -> None:
    """As on every private port; existing or not."""
    async with live.person() as stranger:
        for name in (live.world.visit.stopped, "no-such-workspace"):
            url = live.url("/.workspaces-gateway/start?to=x", port=EDITOR_PORT, name=name)
            assert (await stranger.fetch(url, method="POST", headers=FORM)).status in (401, 404)


async def test_gitlab_away_is_said_and_tried_again(live: Live) -> None:
    """The page leads back to where the button is, and repeats no form by itself; nothing was started."""
    async with live.person() as ada:
        page = await ada.visit(stopped_url(live), "ada")
        live.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
        answer = await press(live, ada, page)

    assert answer.status == 503
    assert 'http-equiv="refresh"' not in answer.text
    assert f'href="{stopped_url(live)}"' in answer.text
    assert workspace_of(live).desired_state == "Stopped"


@pytest.mark.parametrize("state", ["Failed", "Error", "Terminated"])
async def test_what_will_never_run_is_not_waited_for(live: Live, state: str) -> None:
    """The page that follows it ends with words instead of another refresh."""
    async with live.person() as ada:
        page = await ada.visit(stopped_url(live), "ada")
        live.state.set_actual_state(workspace_of(live).id, state)
        answer = await ada.navigate(stopped_url(live, button(page).replace("/start?", "/starting?")))

    assert (answer.status, answer.headers["X-Workspaces-Gateway"]) == (502, "workspace_not_started")
    assert 'http-equiv="refresh"' not in answer.text


async def test_gitlabs_no_is_passed_on(live: Live) -> None:
    """A terminated workspace cannot be started again."""
    async with live.person() as ada:
        page = await ada.visit(stopped_url(live), "ada")
        live.state.want_state(workspace_of(live).id, "Terminated")
        answer = await press(live, ada, page)

    assert (answer.status, answer.headers["X-Workspaces-Gateway"]) == (502, "workspace_not_started")


async def test_a_lost_workspace_is_not_started(live: Live) -> None:
    """GitLab is asked whose it is at that moment, not the grant."""
    async with live.person() as ada:
        page = await ada.visit(stopped_url(live), "ada")
        grace = live.state.get_user("grace")
        assert grace is not None
        live.state.set_owner(workspace_of(live).id, grace)

        assert (await press(live, ada, page)).status == 404
    assert workspace_of(live).desired_state == "Stopped"


async def test_home_has_the_button_too(live: Live) -> None:
    """It leads back home, where the workspace is starting."""
    portal = live.world.visit.portal_url
    async with live.person("ada", at=f"{portal}/") as ada:
        home = await ada.navigate(f"{portal}/")
        token = re.findall(r'name="csrf" value="([^"]+)"', home.text)[0]
        url = f"{portal}/workspaces/{live.world.visit.stopped}/start"
        forged = await ada.fetch(url, method="POST", headers=FORM, body=b"csrf=x")
        page = await ada.fetch(url, method="POST", headers=FORM, body=f"csrf={token}".encode())
        unknown = await ada.fetch(
            f"{portal}/workspaces/nothing/start", method="POST", headers=FORM, body=f"csrf={token}".encode()
        )
        after = await ada.navigate(f"{portal}/")

    assert (forged.status, page.next_url, unknown.status) == (403, f"{portal}/", 404)
    assert 'class="state starting"' in after.text


BY_HAND = {
    "Accept": "text/html",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
}


def with_auto(settings: Settings, _state: GitLabState) -> Settings:
    return settings.model_copy(update={"http": settings.http.model_copy(update={"wake": "auto"})})


@pytest.fixture
async def auto() -> AsyncIterator[Live]:
    """The demo with `http.wake: auto`."""
    async with open_live(with_auto) as opened:
        yield opened


async def enter_quietly(live: Live, browser: Browser) -> None:
    """Ada, let in on that host as by a tab that is restored."""
    await browser.visit(f"{live.world.visit.portal_url}/", "ada")
    url: str | None = stopped_url(live)
    while url is not None:
        url = (await browser.fetch(url, headers={**BY_HAND, "Sec-Fetch-User": ""})).next_url
    assert workspace_of(live).desired_state == "Stopped"


async def open_page(live: Live, browser: Browser, **changes: str | None) -> Page:
    """The stopped workspace, as a person opens it, but for these header fields."""
    headers = {name: value for name, value in {**BY_HAND, **changes}.items() if value is not None}
    return await browser.fetch(stopped_url(live), headers=headers)


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site", "cross-site"])
async def test_auto_starts_what_its_owner_opens_by_hand(auto: Live, site: str) -> None:
    """An address typed, a link of the portal, of GitLab or of a chat; then the page follows."""
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        page = await open_page(auto, ada, **{"Sec-Fetch-Site": site})
        assert page.next_url is not None
        following = await ada.navigate(page.next_url)

    assert (page.status, following.status) == (303, 503)
    assert following.headers["X-Workspaces-Gateway"] == "workspace_starting"
    assert workspace_of(auto).desired_state == "Running"
    (line,) = auto.logged("audit.workspace_started")
    assert (line["way"], line["by"]) == ("navigation", "session")


@pytest.mark.parametrize(
    "changes",
    [
        {"Sec-Fetch-User": None},
        {"Sec-Fetch-User": "?0"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Mode": "same-origin"},
        {"Sec-Fetch-Mode": None},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": None},
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AQ=="},
    ],
    ids=lambda changes: " ".join(f"{name} {value}" for name, value in changes.items()),
)
async def test_auto_starts_nothing_that_no_person_has_just_asked_for(auto: Live, changes: dict[str, str]) -> None:
    """Reloads, restored tabs, scripts, frames, workers, what is fetched ahead, WebSockets."""
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        page = await open_page(auto, ada, **changes)

    assert page.status in (403, 503)
    assert workspace_of(auto).desired_state == "Stopped"


@pytest.mark.parametrize("level", ["internal", "public"])
async def test_auto_starts_nothing_for_anybody_else(auto: Live, level: str) -> None:
    """Whom the port is open to, but not theirs."""

    def open_it(entry: dict[str, Any]) -> None:
        entry["ports"][1]["visibility"] = level

    auto.declare(open_it, auto.world.visit.stopped)
    url = auto.url("/", name=auto.world.visit.stopped)
    async with auto.person() as grace:
        if level == "internal":
            await grace.visit(url, "grace")
        else:
            way_on = re.findall(r'href="([^"]+continue[^"]+)"', (await grace.fetch(url, headers=BY_HAND)).text)[0]
            await grace.fetch(auto.url(html.unescape(way_on), name=auto.world.visit.stopped), headers=BY_HAND)
        page = await grace.fetch(url, headers=BY_HAND)

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
    assert "<form" not in page.text
    assert workspace_of(auto).desired_state == "Stopped"


async def test_auto_does_not_start_at_once_what_was_just_stopped(auto: Live) -> None:
    """Whatever a page that was open makes of it; a minute later somebody has come back."""
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        stopped = replace(workspace_of(auto), desired_state_updated=auto.clock())
        auto.state.workspaces[stopped.id] = stopped
        page = await open_page(auto, ada)
        assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
        assert button(page)
        auto.clock.ahead += 60
        later = await open_page(auto, ada)

    assert later.status == 303


async def test_auto_does_not_start_again_what_fails(auto: Live) -> None:
    """Reloads of the page that follows, and of the one it came from, ask GitLab for nothing."""
    wishes: list[str] = []
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        following = (await open_page(auto, ada)).next_url
        assert following is not None
        auto.state.set_actual_state(workspace_of(auto).id, "Failed")
        auto.declare(lambda entry: entry.update(state="stopped"), auto.world.visit.stopped)
        auto.state.subscribe(lambda _before, after: wishes.append(after.desired_state))
        for _ in range(3):
            assert (await open_page(auto, ada)).next_url is not None
        failed = await ada.navigate(following)

    assert (failed.status, failed.headers["X-Workspaces-Gateway"]) == (502, "workspace_not_started")
    assert 'http-equiv="refresh"' not in failed.text
    assert wishes == []


async def test_auto_offers_the_button_where_gitlab_does_not_answer(auto: Live) -> None:
    """A page that would only say that it is away helps nobody."""
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        auto.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
        page = await open_page(auto, ada)

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
    assert button(page)


async def test_auto_says_when_gitlab_refuses(auto: Live) -> None:
    """Once, and without a page that tries again by itself."""
    async with auto.person() as ada:
        await enter_quietly(auto, ada)
        auto.state.want_state(workspace_of(auto).id, "Terminated")
        auto.declare(lambda entry: entry.update(state="stopped"), auto.world.visit.stopped)
        auto.clock.ahead += 60
        page = await open_page(auto, ada)

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (502, "workspace_not_started")
    assert 'http-equiv="refresh"' not in page.text


async def test_the_button_is_the_default(live: Live) -> None:
    """Nothing starts because somebody looks."""
    async with live.person() as ada:
        await ada.visit(stopped_url(live), "ada")
        page = await open_page(live, ada)

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (503, "workspace_stopped")
    assert workspace_of(live).desired_state == "Stopped"


async def test_home_says_that_a_port_starts_its_workspace(auto: Live, live: Live) -> None:
    """Where it does."""
    for world, is_said in ((auto, True), (live, False)):
        home = f"{world.world.visit.portal_url}/"
        async with world.person("ada", at=home) as ada:
            assert ("Opening one of its ports starts it too." in (await ada.navigate(home)).text) is is_said
