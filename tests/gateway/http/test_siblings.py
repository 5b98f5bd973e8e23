"""Another port of the workspace under this one's origin, with the visibility of that port."""

import json
from typing import Any

import pytest

from gateway.demo.browser import Browser, Page
from gateway.demo.world import EDITOR_PORT, SITE_PORT
from tests.gateway.conftest import Live

API = 8080
SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def twin(live: Live) -> Live:
    """ada's workspace with a second site on port 8080; each declares its own visibility."""

    def add(entry: dict[str, Any]) -> None:
        site = next(port for port in entry["ports"] if port["target_port"] == SITE_PORT)
        entry["ports"].append({**site, "name": "http-8080", "target_port": API, "visibility": "private"})
        site["visibility"] = "private"

    live.declare(add)
    await live.wait_visible("private")
    return live


async def through(
    live: Live, browser: Browser, path: str, port: int = API, headers: dict[str, str] | None = None
) -> Page:
    url = live.url(f"/.workspaces-gateway/ports/{port}{path}")
    return await browser.fetch(url, headers={**SCRIPT, **(headers or {})})


async def declare(live: Live, *, site: str, api: str) -> None:
    live.open_port(site)
    live.open_port(api, API)
    await live.wait_visible(site)
    await live.wait_visible(api, API)


async def test_a_page_reaches_its_api_under_its_own_origin(twin: Live) -> None:
    """With path and query untouched, and told what was cut off."""
    async with twin.person("ada") as ada:
        page = await through(twin, ada, "/headers?a=%2F+b")
        status = await through(twin, ada, "/status/418")

    fields = dict(json.loads(page.body))
    assert (page.status, status.status) == (200, 418)
    assert fields["X-Forwarded-Prefix"] == "/.workspaces-gateway/ports/8080"
    assert fields["X-Workspaces-User"] == 'id=1, username="ada"'


async def test_nobody_else_says_what_was_cut_off(twin: Live) -> None:
    """The header is the gateway's alone."""
    async with twin.person("ada") as ada:
        page = await ada.fetch(twin.url("/headers"), headers={**SCRIPT, "X-Forwarded-Prefix": "/evil"})

    assert "/evil" not in page.text


async def test_a_websocket_passes_too(twin: Live) -> None:
    """The upgrade is a request like any other."""
    async with twin.person("ada") as ada, ada.open_socket(twin.url("/.workspaces-gateway/ports/8080/ws")) as socket:
        await socket.send_str("hello")

        assert await socket.receive_str(timeout=3) == "hello"


@pytest.mark.parametrize(
    ("site", "api", "visitor", "status"),
    [
        ("public", "public", "", 200),
        ("public", "internal", "", 401),
        ("public", "private", "", 401),
        ("internal", "private", "grace", 404),
        ("internal", "internal", "grace", 200),
        ("internal", "public", "grace", 200),
        ("private", "public", "", 200),
        ("public", "private", "ada", 200),
    ],
)
async def test_the_other_ports_visibility_counts(twin: Live, site: str, api: str, visitor: str, status: int) -> None:
    """Not that of the host under which it is reached."""
    at = "internal" if visitor else site
    await declare(twin, site=at, api=api)
    async with twin.person(visitor) as browser:
        await declare(twin, site=site, api=api)
        page = await through(twin, browser, "/headers")

    assert page.status == status


@pytest.mark.parametrize("port", [EDITOR_PORT, 60022, 9999])
async def test_editor_sshd_and_unknown_ports_are_not_there(twin: Live, port: int) -> None:
    """What runs on another port must not be of one origin with the editor, not even for its owner."""
    async with twin.person("ada") as ada:
        page = await through(twin, ada, "/", port)

    assert page.status == 404


PAGES = {
    "a link": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"},
    "a frame": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"},
    "a script": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "a worker": {"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "worker"},
    "an old browser": {"Accept": "text/html"},
}


@pytest.mark.parametrize("headers", PAGES.values(), ids=PAGES)
async def test_no_page_of_another_port_comes_to_be_of_the_editors_origin(twin: Live, headers: dict[str, str]) -> None:
    """Whoever gets a script onto port 8080 could type into the owner's terminal with it; data may be fetched."""
    address = twin.url("/.workspaces-gateway/ports/8080/", port=EDITOR_PORT)
    async with twin.person("ada", at=twin.url("/", port=EDITOR_PORT)) as ada:
        page = await ada.fetch(address, headers=headers)
        data = await ada.fetch(address, headers={**SCRIPT, "Sec-Fetch-Dest": "empty"})

    assert (page.status, data.status) == (404, 200)


async def test_a_public_port_is_warned_about_on_this_way_too(twin: Live) -> None:
    """Or a link to it would spare a stranger the page that says whose server this is not."""
    await declare(twin, site="private", api="public")
    async with twin.person() as stranger:
        page = await stranger.navigate(twin.url("/.workspaces-gateway/ports/8080/headers"))
        link = page.text.partition('href="/.workspaces-gateway/continue')[2].partition('"')[0]
        again = await stranger.visit(twin.url(f"/.workspaces-gateway/continue{link}"), "")

    assert (page.status, page.headers["X-Workspaces-Gateway"]) == (200, "interstitial")
    assert (again.status, again.url) == (200, twin.url("/.workspaces-gateway/ports/8080/headers"))


async def test_strangers_cannot_tell_which_ports_there_are(twin: Live) -> None:
    """A private port, a port that is none, and a workspace that is none are all the same to them."""
    async with twin.person() as stranger:
        bodies = {
            (page.status, page.body.replace(page.headers["X-Request-Id"].encode(), b"-"))
            for url in (
                twin.url("/.workspaces-gateway/ports/8080/"),
                twin.url("/.workspaces-gateway/ports/9999/"),
                twin.url("/.workspaces-gateway/ports/60001/"),
                twin.url("/.workspaces-gateway/ports/8080/", name="no-such-workspace"),
            )
            for page in [await stranger.fetch(url, headers=SCRIPT)]
        }

    assert len(bodies) == 1


@pytest.mark.parametrize("path", ["ports/", "ports/0/", "ports/08080/", "ports/8080x/", "ports/-1/", "ports/80800000/"])
async def test_only_a_plain_number_is_a_port(twin: Live, path: str) -> None:
    """Two readers must not see two ports in one path."""
    async with twin.person("ada") as ada:
        page = await ada.fetch(twin.url(f"/.workspaces-gateway/{path}"), headers=SCRIPT)

    assert page.status == 404


async def test_another_workspaces_page_is_refused(twin: Live) -> None:
    """The cross-site rule holds on this way too."""
    async with twin.person("ada") as ada:
        origin = twin.url("", name=twin.world.visit.others).removesuffix("/")
        url = twin.url("/.workspaces-gateway/ports/8080/upload")
        page = await ada.fetch(url, method="POST", headers={"Origin": origin, "Sec-Fetch-Site": "same-site"}, body=b"x")

    assert page.status == 403


async def test_a_service_worker_cannot_come_from_there(twin: Live) -> None:
    """Its script would rule over the whole host."""
    async with twin.person("ada") as ada:
        page = await through(twin, ada, "/headers", headers={"Service-Worker": "script"})

    assert page.status == 404


async def test_an_open_page_that_only_calls_its_api_stays_signed_in(twin: Live) -> None:
    """The grant is renewed on this way as well."""
    async with twin.person("ada") as ada:
        for _ in range(10):
            twin.clock.ahead += 360
            assert (await through(twin, ada, "/headers")).status == 200


async def test_a_token_opens_it_too(twin: Live) -> None:
    """For programs that know only one host."""
    async with twin.person() as program:
        mine = await through(twin, program, "/headers", headers={"X-Workspaces-Token": twin.token("ada")})
        hers = await through(twin, program, "/headers", headers={"X-Workspaces-Token": twin.token("grace")})

    assert (mine.status, hers.status) == (200, 404)
