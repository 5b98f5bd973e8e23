"""Who reaches a port, in every way there is: three levels, six visitors, seven ways."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.demo.browser import Browser
from gateway.demo.gitlab_model import GitLabUser
from tests.gateway.conftest import Live, open_live

LEVELS = ("private", "internal", "public")
WAYS = ("page", "XHR", "upload", "WebSocket", "EventSource", "preflight", "token header")
IN = {"page": 200, "XHR": 200, "upload": 200, "WebSocket": 101, "EventSource": 200, "token header": 200}
OUT = {"page": 303, "XHR": 401, "upload": 401, "WebSocket": 401, "EventSource": 401}
MAY = {
    "private": {"owner"},
    "internal": {"owner", "other"},
    "public": {"owner", "other", "external", "bot", "blocked", "anonymous"},
}
VISITORS = ("owner", "other", "external", "bot", "blocked", "anonymous")
TOKEN_OUT = {"other": 404, "external": 404, "bot": 404, "blocked": 401, "anonymous": 401}
"""Who says who they are reads of nothing; who GitLab will not know is told that."""


def expected(level: str, visitor: str, way: str) -> int:
    if level == "public":
        return 405 if way == "preflight" else IN[way]  # the stand-in's own answer to a preflight
    if way == "preflight":
        return 401  # it carries no cookies, so nobody is known by it
    if visitor in MAY[level]:
        return IN[way]
    return TOKEN_OUT[visitor] if way == "token header" else OUT[way]


@pytest.fixture
async def town() -> AsyncIterator[tuple[Live, dict[str, GitLabUser]]]:
    """The demo with one person of each kind."""
    async with open_live() as live:
        ada, grace = live.state.get_user("ada"), live.state.get_user("grace")
        assert ada is not None
        assert grace is not None
        project = live.state.add_project("some/project")
        people = {
            "owner": ada,
            "other": grace,
            "external": live.state.add_user("ext", external=True),
            "bot": live.state.add_bot(project),
            "blocked": live.state.add_user("blocked"),
        }
        yield live, people


async def ask(live: Live, browser: Browser, way: str, token: str) -> int:
    """The status that a visitor meets who comes this way."""
    url, script = live.url("/headers"), {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    match way:
        case "page":
            return (await browser.navigate(url)).status
        case "XHR":
            return (await browser.fetch(url, headers=script)).status
        case "upload":
            return (await browser.fetch(live.url("/upload"), method="POST", headers=script, body=b"x" * 999)).status
        case "EventSource":
            headers = {**script, "Accept": "text/event-stream"}
            return (await browser.fetch(live.url("/events?count=1"), headers=headers)).status
        case "preflight":
            headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
            async with live.person() as bare:
                return (await bare.fetch(url, method="OPTIONS", headers=headers)).status
        case "token header":
            async with live.person() as program:
                return (await program.fetch(url, headers={"X-Workspaces-Token": token})).status
        case _:
            try:
                async with browser.open_socket(live.url("/ws")):
                    return 101
            except aiohttp.WSServerHandshakeError as refusal:
                return refusal.status


async def test_everybody_reaches_exactly_what_they_may(town: tuple[Live, dict[str, GitLabUser]]) -> None:
    """All 126: whoever GitLab lets sign in has done so, and bots and blocked users come with their tokens alone."""
    live, people = town
    tokens = {name: live.state.add_token(user) for name, user in people.items()} | {"anonymous": "no-token"}
    live.state.block(people["blocked"])
    met, wanted = {}, {}
    for level in LEVELS:
        live.open_port("internal")
        for visitor in VISITORS:
            async with live.person() as browser:
                if visitor in ("owner", "other"):
                    live.open_port("private" if visitor == "owner" else "internal")
                    await browser.visit(live.url("/headers"), people[visitor].username)
                if visitor == "external":
                    await browser.visit(f"{live.world.visit.portal_url}/", "ext")
                live.open_port(level)
                if level == "public" and visitor not in ("owner", "other"):
                    await accept_warning(live, browser)
                for way in WAYS:
                    met[level, visitor, way] = await ask(live, browser, way, tokens[visitor])
                    wanted[level, visitor, way] = expected(level, visitor, way)

    assert met == wanted


async def accept_warning(live: Live, browser: Browser) -> None:
    page = await browser.navigate(live.url("/headers"))
    if page.headers.get("X-Workspaces-Gateway") == "interstitial":
        link = page.text.partition('href="/.workspaces-gateway/continue')[2].partition('"')[0]
        await browser.navigate(live.url(f"/.workspaces-gateway/continue{link}"))
