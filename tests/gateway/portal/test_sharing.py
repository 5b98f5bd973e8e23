"""An owner changes who may open a port, on the portal and through its API. Nobody else can, and changes are audited."""

import json
import re

import pytest
import yaml

from config.settings import VisibilityRule, VisibilitySettings
from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab import Endpoint, Fault
from gateway.demo.world import EDITOR_PORT, SITE_PORT
from tests.gateway.conftest import Live, events, open_live

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}


async def form_token(live: Live, browser: Browser) -> str:
    home = await browser.visit(f"{live.world.visit.portal_url}/", "ada")
    return str(re.findall(r'name="csrf" value="([^"]+)"', home.text)[0])


async def press(
    live: Live,
    browser: Browser,
    level: str,
    *,
    token: str,
    port: int = SITE_PORT,
    headers: dict[str, str] | None = None,
) -> Page:
    """What a button of the switch does."""
    url = f"{live.world.visit.portal_url}/workspaces/{live.world.visit.running}/ports/{port}"
    body = f"csrf={token}&visibility={level}".encode()
    return await browser.fetch(url, method="POST", headers=headers or FORM, body=body)


async def put(
    live: Live,
    headers: dict[str, str],
    told: object,
    *,
    port: object = SITE_PORT,
    name: str = "",
    browser: Browser | None = None,
) -> Page:
    url = f"{live.world.visit.portal_url}/api/v1/workspaces/{name or live.world.visit.running}/ports/{port}"
    sent = {"Content-Type": "application/json", **headers}
    async with live.person() as program:
        return await (browser or program).fetch(url, method="PUT", headers=sent, body=json.dumps(told).encode())


def declared(live: Live, port: int = SITE_PORT) -> str:
    told = yaml.safe_load(live.world.routes.read_text())
    entry = next(item for item in told["workspaces"] if item["name"] == live.world.visit.running)
    level = next(item for item in entry["ports"] if item["target_port"] == port).get("visibility", "private")
    return str(level)


def of(live: Live, username: str) -> dict[str, str]:
    return {"X-Workspaces-Token": live.token(username)}


async def test_the_switch_opens_and_closes_a_port(live: Live) -> None:
    """At once, in the route file, and in the audit log."""
    async with live.person("ada", at=f"{live.world.visit.portal_url}/") as ada, live.person() as stranger:
        token = await form_token(live, ada)
        page = await press(live, ada, "private", token=token)
        closed = await stranger.fetch(live.url("/headers"))
        home = await ada.navigate(f"{live.world.visit.portal_url}/")
        await press(live, ada, "public", token=token)
        opened = await stranger.fetch(live.url("/headers"))

    assert (page.status, page.next_url) == (303, f"{live.world.visit.portal_url}/")
    assert (closed.status, opened.status, declared(live)) == (401, 200, "public")
    assert 'value="private" class="private" aria-pressed="true"' in home.text
    changes = [(line["before"], line["after"], line["via"]) for line in live.logged("audit.visibility_changed")]
    assert changes == [("public", "private", "portal"), ("private", "public", "portal")]


async def test_closing_a_port_ends_what_strangers_have_open(live: Live) -> None:
    """The switch is not a promise for later."""
    async with (
        live.person("ada", at=f"{live.world.visit.portal_url}/") as ada,
        live.person() as stranger,
        events(stranger, live.url("/events?interval=0.1")) as ticks,
    ):
        await press(live, ada, "private", token=await form_token(live, ada))

        while await ticks.is_open():
            pass


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({**FORM, "Sec-Fetch-Site": "same-site"}, ""),
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, ""),
        ({**FORM, "Origin": "https://3000-evil.workspaces.localhost"}, ""),
        (FORM, "forged"),
        (FORM, "-"),
    ],
)
async def test_another_site_changes_nothing(live: Live, headers: dict[str, str], token: str) -> None:
    """Neither the browser's word nor the token of the page can be done without."""
    async with live.person("ada", at=f"{live.world.visit.portal_url}/") as ada:
        page = await press(live, ada, "private", token=token or await form_token(live, ada), headers=headers)

    assert page.status == 403
    assert declared(live) == "public"


async def test_the_token_of_another_session_is_worth_nothing(live: Live) -> None:
    """grace's page in ada's browser."""
    portal = f"{live.world.visit.portal_url}/"
    async with live.person("ada", at=portal) as ada, live.person("grace", at=portal) as grace:
        page = await press(live, ada, "private", token=await form_token(live, grace))

    assert page.status == 403


async def test_a_stranger_is_asked_to_sign_in(live: Live) -> None:
    """The form leads there; the API says so."""
    async with live.person() as stranger:
        page = await press(live, stranger, "private", token="x")

    assert page.next_url == f"{live.world.visit.portal_url}/auth/start"
    assert (await put(live, {}, {"visibility": "private"})).status == 401


async def test_a_program_changes_it_with_a_token(live: Live) -> None:
    """And reads it back."""
    page = await put(live, of(live, "ada"), {"visibility": "internal"})
    async with live.person() as program:
        listed = await program.fetch(f"{live.world.visit.portal_url}/api/v1/workspaces", headers=of(live, "ada"))

    assert json.loads(page.body) == {"workspace": live.world.visit.running, "port": SITE_PORT, "visibility": "internal"}
    assert declared(live) == "internal"
    workspaces = {item["name"]: item for item in json.loads(listed.body)["workspaces"]}
    assert set(workspaces) == {live.world.visit.running, live.world.visit.stopped}
    ports = {port["port"]: port for port in workspaces[live.world.visit.running]["ports"]}
    assert ports[SITE_PORT] == {
        "port": SITE_PORT,
        "name": "http-3000",
        "url": live.url("/"),
        "visibility": "internal",
    }
    assert ports[EDITOR_PORT]["limit"] == "private"
    assert live.logged("audit.visibility_changed")[0]["via"] == "api"


async def test_a_script_of_the_portal_uses_its_session(live: Live) -> None:
    """With the token of the page in a header; without it not."""
    async with live.person("ada", at=f"{live.world.visit.portal_url}/") as ada:
        token = await form_token(live, ada)
        told = {"visibility": "private"}
        without = await put(live, {"Sec-Fetch-Site": "same-origin"}, told, browser=ada)
        foreign = await put(live, {"Sec-Fetch-Site": "same-site", "X-CSRF-Token": token}, told, browser=ada)
        own = await put(live, {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": token}, told, browser=ada)
        listed = await ada.fetch(f"{live.world.visit.portal_url}/api/v1/workspaces")

    assert (without.status, foreign.status, own.status, listed.status) == (403, 403, 200, 200)


@pytest.mark.parametrize("name", ["", "no-such-workspace"])
async def test_only_the_owner_changes_it(live: Live, name: str) -> None:
    """For everybody else there is no such workspace, and the attempt is in the audit log."""
    page = await put(live, of(live, "grace"), {"visibility": "private"}, name=name)

    assert (page.status, json.loads(page.body)["error"]) == (404, "unknown_workspace")
    assert declared(live) == "public"
    assert len(live.logged("audit.visibility_refused")) == 1


@pytest.mark.parametrize(
    ("port", "told", "status", "error"),
    [
        (SITE_PORT, {"visibility": "secret"}, 400, "bad_visibility"),
        (SITE_PORT, {"visibility": ""}, 400, "bad_visibility"),
        (SITE_PORT, {"visibility": ["public"]}, 400, "bad_visibility"),
        (SITE_PORT, {"visibility": "public", "more": 1}, 400, "bad_request"),
        (SITE_PORT, ["public"], 400, "bad_request"),
        (9999, {"visibility": "public"}, 404, "no_port"),
        (60022, {"visibility": "public"}, 404, "no_port"),
        ("03000", {"visibility": "private"}, 404, "no_port"),
        (EDITOR_PORT, {"visibility": "internal"}, 403, "visibility_limited"),
    ],
)
async def test_what_cannot_be_is_said(live: Live, port: object, told: object, status: int, error: str) -> None:
    """A wrong level, a port that is none, a port that is never shared."""
    page = await put(live, of(live, "ada"), told, port=port)

    assert (page.status, json.loads(page.body)["error"]) == (status, error)
    assert declared(live) == "public"


async def test_the_policy_is_above_the_owner() -> None:
    """The cap and the matching rule forbid it, with the reason, and the switch on the page is greyed."""
    policy = VisibilitySettings(rules=(VisibilityRule(namespace="gl-rd-ns-apple-*", max="internal"),))
    async with open_live(visibility=policy) as live:
        page = await put(live, of(live, "ada"), {"visibility": "public"})
        async with live.person("ada", at=f"{live.world.visit.portal_url}/") as ada:
            home = await ada.navigate(f"{live.world.visit.portal_url}/")

    assert page.status == 403
    assert "a rule for the namespace" in json.loads(page.body)["message"]
    assert 'value="public" class="public" aria-pressed="false" disabled' in home.text
    assert "a rule for the namespace" in home.text


@pytest.mark.parametrize("token", ["not-a-token", "glpat-wrong"])
async def test_a_bad_token_is_told_so(live: Live, token: str) -> None:
    """401, on both addresses."""
    page = await put(live, {"X-Workspaces-Token": token}, {"visibility": "private"})
    async with live.person() as program:
        url = f"{live.world.visit.portal_url}/api/v1/workspaces"
        listed = await program.fetch(url, headers={"X-Workspaces-Token": token})

    assert (page.status, listed.status) == (401, 401)


async def test_gitlab_away_changes_nothing(live: Live) -> None:
    """Who owns a workspace is not remembered."""
    live.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE

    assert (await put(live, of(live, "ada"), {"visibility": "private"})).status == 503
    assert declared(live) == "public"


async def test_a_file_that_cannot_be_written_is_no_change(live: Live) -> None:
    """It has become something else meanwhile: 503, and the routes stay as they are."""
    live.world.routes.write_text("workspaces: []\n")

    assert (await put(live, of(live, "ada"), {"visibility": "private"})).status == 503
    assert live.world.routes.read_text() == "workspaces: []\n"
    assert not live.logged("audit.visibility_changed")
