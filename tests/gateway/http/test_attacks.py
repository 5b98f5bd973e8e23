"""Attacks on visitors that no other file is about, each as an enemy would try it."""

import re

import pytest

from config.settings import VisibilitySettings
from gateway.demo.browser import Page
from gateway.demo.world import EDITOR_PORT
from gateway.http.entrance import LOOP_SECONDS
from tests.gateway.conftest import Live, open_live
from tests.gateway.http.conftest import HOST, OK, PORTAL, Workspace, World

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html")
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
STALE_NAMES = ("grant", "entry", "entered", "seen", "session", "browser", "known")


async def test_a_cookie_that_a_workspace_sets_reaches_nobody_else(world: World) -> None:
    """The gateway keeps none for its own connections, which all visitors of a port share."""
    workspace = Workspace(b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=ada; Path=/\r\nContent-Length: 2\r\n\r\nok")
    await world.add(workspace)
    first, second = [await world.ask("Accept: */*") for _ in range(2)]

    assert first.one(b"set-cookie") == second.one(b"set-cookie") == b"sid=ada; Path=/"
    assert workspace.connections == 1
    assert [request.all(b"cookie") for request in workspace.requests] == [[], []]


async def test_who_may_frame_an_application_is_its_own_matter(world: World) -> None:
    """What it says of that passes, and nothing is said for it."""
    said = b"X-Frame-Options: DENY\r\nContent-Security-Policy: frame-ancestors 'self'\r\n"
    await world.add(Workspace(b"HTTP/1.1 200 OK\r\n" + said + b"Content-Length: 2\r\n\r\nok", OK))
    told, silent = await world.ask(), await world.ask()

    assert (told.one(b"x-frame-options"), told.one(b"content-security-policy")) == (b"DENY", b"frame-ancestors 'self'")
    assert not silent.all(b"x-frame-options")
    assert not silent.all(b"content-security-policy")


async def test_no_origin_is_told_that_it_may_read(world: World) -> None:
    """A sibling's script gets neither an answer of the gateway nor one of a workspace to read."""
    await world.add(Workspace(), visibility="private")
    evil = ("Origin: https://3000-pear.ws.example.dev", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors")
    answers = [
        await world.ask(*evil),
        await world.ask(await world.grant(), *evil),
        await world.ask(await world.grant(), *evil, method="POST"),
        await world.ask("Access-Control-Request-Method: PUT", *evil, method="OPTIONS"),
    ]

    assert [answer.status for answer in answers] == [401, 200, 403, 401]
    assert not [name for answer in answers for name, _ in answer.fields if name.lower().startswith(b"access-control-")]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0", b"HEAD / HTTP/1.0", b"POST / HTTP/1.0", b"BREW / HTTP/1.1"])
async def test_no_version_and_no_method_finds_a_way_around(world: World, line: bytes) -> None:
    """The door is the same for all of them."""
    workspace = Workspace()
    await world.add(workspace, visibility="private")
    got = await world.exchange(line + b"\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n\r\n")

    assert got.split(b" ")[1] in (b"401", b"400")  # 400: the parser knows no such method
    assert workspace.connections == 0


async def test_nothing_the_gateway_says_itself_is_stored(world: World) -> None:
    """Or a cache would go on saying it when the port is another's, or open, or closed."""
    await world.add(Workspace(), visibility="private")
    await world.add(Workspace(), name="open")
    await world.add(None, name="dead")
    answers = {
        "sign in": await world.ask(*NAVIGATION),
        "401": await world.ask(),
        "cross-site": await world.ask(await world.grant(), *UPGRADE, "Origin: https://evil.dev"),
        "unknown": await world.ask(host="www.nobody.dev"),
        "warning": await world.ask(*NAVIGATION, host="3000-open.ws.example.dev"),
        "no entry": await world.ask(*NAVIGATION, target="/.workspaces-gateway/enter?code=x"),
        "nothing listens": await world.ask(host="3000-dead.ws.example.dev"),
    }

    assert {answer.status for answer in answers.values()} == {200, 303, 400, 401, 403, 404, 502}
    assert {name: answer.one(b"cache-control") for name, answer in answers.items()} == dict.fromkeys(
        answers, b"no-store"
    )


def masked(page: Page) -> tuple[int, str]:
    """A page but for what is different each time."""
    return page.status, page.text.replace(page.headers["X-Request-Id"], "*")


async def test_a_stopped_workspace_reads_like_one_that_is_not_there(live: Live) -> None:
    """To a stranger, and to somebody who signed in and is not its owner."""
    names = (live.world.visit.stopped, live.world.visit.running, "no-such-workspace")
    addresses = [live.url("/", port=EDITOR_PORT, name=name) for name in names]
    async with live.person() as stranger, live.person() as grace:
        await grace.visit(f"{live.world.visit.portal_url}/", "grace")
        scripts = {masked(await stranger.fetch(address, headers=SCRIPT)) for address in addresses}
        links = {re.sub(r"to=.*", "", (await stranger.navigate(address)).next_url or "") for address in addresses}
        pages = {masked(await grace.visit(address, "grace")) for address in addresses}

    assert [len(scripts), len(links), len(pages)] == [1, 1, 1]
    assert next(iter(pages))[0] == 404


async def test_what_operators_see_is_on_no_public_door(live: Live) -> None:
    """Whatever the host, the path or the form of the target."""
    admin = live.world.visit.admin_url
    async with live.person() as stranger:
        pages = [
            await stranger.fetch(base + path)
            for base in (live.world.visit.portal_url, live.url(""), live.url("", port=EDITOR_PORT))
            for path in ("/metrics", "/healthz", "/readyz", "/debug/pprof/", f"/{admin}/metrics", "//metrics")
        ]
        assert "workspaces_gateway_" in (await stranger.fetch(f"{admin}/metrics")).text

    assert not [page.url for page in pages if page.status == 200 or "workspaces_gateway_" in page.text]


async def test_an_absolute_target_leads_to_no_other_listener(world: World) -> None:
    """Of the form that proxies are asked in, only the host that the request is for counts."""
    await world.add(Workspace(), visibility="private")
    for target in (b"http://127.0.0.1:9877/metrics", b"http://" + PORTAL.encode() + b"/"):
        got = await world.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 400 ")


async def test_a_browser_full_of_stale_cookies_signs_in_once(live: Live) -> None:
    """Whatever is left in it, of us, of others, of long ago, of GitLab's own proxy."""
    address = live.url("/a?b", port=EDITOR_PORT)
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada:
        for url in (address, f"{live.world.visit.portal_url}/"):
            for name in STALE_NAMES:
                ada.cookies.store(url, f"workspaces-{name}=stale; Path=/")
            ada.cookies.store(url, "gitlab-workspace-session=old; Path=/")
        live.clock.ahead += LOOP_SECONDS
        before = live.metric("sign_ins_total", result="ok")
        page = await ada.visit(address, "ada")

        assert (page.url, live.metric("sign_ins_total", result="ok") - before) == (address, 1)
        assert "gitlab-workspace-session" not in str(ada.cookie_header(address))
        assert (await ada.fetch(address, headers=SCRIPT)).status == page.status


async def test_opening_a_second_workspace_ends_nothing_in_the_first(live: Live) -> None:
    """Nor does a third: each host has a cookie of its own."""
    live.declare(lambda entry: entry["ports"][1].update(visibility="internal"), live.world.visit.others)
    first, others = live.url("/", port=EDITOR_PORT), live.url("/", name=live.world.visit.others)
    async with live.person("ada", at=first) as ada:
        socket_url = live.url("/ws", port=EDITOR_PORT)
        async with ada.open_socket(socket_url) as socket:
            for address in (others, live.url("/", port=EDITOR_PORT, name=live.world.visit.stopped)):
                await ada.visit(address, "ada")
            await socket.send_str("still here")
            assert await socket.receive_str(timeout=3) == "still here"
        assert [(await ada.fetch(address, headers=SCRIPT)).status for address in (first, others)] == [200, 200]


@pytest.mark.parametrize("agent", ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Prometheus/2.50"])
async def test_nobody_is_let_in_for_calling_itself_a_probe(world: World, agent: str) -> None:
    """By no name, and on no path that such programs ask for."""
    workspace = Workspace()
    await world.add(workspace, visibility="private")
    for target in ("/", "/ping", "/healthz", "/ready", "/metrics", "/robots.txt"):
        assert (await world.ask(f"User-Agent: {agent}", target=target)).status == 401

    assert workspace.connections == 0


async def test_what_a_capped_port_was_open_for_counts_no_more() -> None:
    """The operator's cap stands above what the route file says, for pages and for tokens."""
    async with open_live(visibility=VisibilitySettings(max="private")) as live, live.person() as stranger:
        token = {"X-Workspaces-Token": live.token("grace")}

        assert (await stranger.fetch(live.url("/"), headers=SCRIPT)).status == 401
        assert (await stranger.fetch(live.url("/"), headers=token)).status == 404


async def test_a_closed_port_is_closed_with_the_next_request(live: Live) -> None:
    """To the member who came in while it was open, and to the token; the owner stays."""
    live.open_port("internal")
    token = {"X-Workspaces-Token": live.token("grace"), **SCRIPT}
    async with live.person("grace") as grace, live.person("ada") as ada, live.person() as program:
        before = [(await who.fetch(live.url("/"), headers=SCRIPT)).status for who in (grace, ada)]
        before.append((await program.fetch(live.url("/"), headers=token)).status)
        live.open_port("private")
        after = [(await who.fetch(live.url("/"), headers=SCRIPT)).status for who in (grace, ada)]
        after.append((await program.fetch(live.url("/"), headers=token)).status)

    assert (before, after) == ([200, 200, 200], [401, 200, 404])
