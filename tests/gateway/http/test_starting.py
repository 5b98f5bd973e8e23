"""The owner starts a stopped workspace where they stand, and arrives at the address they wanted."""

import asyncio
import html
import re
from typing import Any

import pytest

from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.gitlab_model import GitLabWorkspace
from gateway.demo.world import EDITOR_PORT
from tests.gateway.conftest import Live

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
