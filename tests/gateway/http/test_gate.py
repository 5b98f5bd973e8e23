"""Who is let through, who is sent to sign in, who is refused, and that each of them learns nothing more."""

import asyncio
import re
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from auth.grants import GRANT_LIFETIME, nonce_hash
from auth.model import EntryCode, GitLabUnavailable, User, Visibility
from config.settings import OriginSettings, RoutingSettings
from tests.gateway.http.conftest import (
    HOST,
    OK,
    PORTAL,
    Message,
    Workspace,
    World,
    answering,
    open_world,
    request,
    settings,
)

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html")
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
ENTRY = "__Host-workspaces-entry"
NONCE = "n" * 43
COOKIE = re.compile(rb"__Host-workspaces-entry=([\w-]{43}); Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure\Z")
LOOKALIKES = ["__host-workspaces-grant", "workspaces-grant", "__Host-workspaces-grant ", "=__Host-workspaces-grant"]
STALE = ["", "Cookie: __Host-workspaces-grant=", "Cookie: __Host-workspaces-grant=" + "A" * 9000]
STRANGE = ["A: b", f"Cookie: {ENTRY}=", f"Cookie: {ENTRY}={'m' * 43}", f"Cookie: workspaces-entry={NONCE}"]
EVE = User(8, "eve")


@pytest.fixture
def workspace() -> Workspace:
    """What must not be reached unless somebody may."""
    return Workspace()


@pytest.fixture(params=["private", "internal"])
async def closed(request: pytest.FixtureRequest, world: World, workspace: Workspace) -> World:
    """A door in front of a port that is not open to everybody."""
    await world.add(workspace, visibility=request.param)
    return world


def masked(message: Message) -> bytes:
    """A message but for what is different each time: its id, the nonce, what is sealed."""
    raw = (message.head + message.body).replace(message.one(b"x-request-id"), b"*")
    return re.sub(rb"(entry=|to=)[^\r\n;]+", rb"\1*", raw)


HOSTS = {"unknown": "3000-nobody.ws.example.dev", "private": "3000-apple.ws.example.dev"}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
async def test_navigation_is_sent_to_sign_in(closed: World, workspace: Workspace, host: str) -> None:
    """303 to the portal with a sealed target that holds the exact address, bound to a cookie of this host."""
    got = await closed.ask(*NAVIGATION, host=host, target="/a%2Fb/é?q=1&r=%20")
    location = urlsplit(got.one(b"location").decode())
    cookie = COOKIE.match(got.one(b"set-cookie"))
    target = closed.grants.get_target(parse_qs(location.query)["to"][0])

    assert (got.status, location.netloc, location.path) == (303, PORTAL, "/auth/start")
    assert cookie is not None
    assert target is not None
    assert (target.host, target.url) == (host, f"https://{host}/a%2Fb/%C3%A9?q=1&r=%20")
    assert target.nonce_hash == nonce_hash(cookie[1].decode())
    assert not workspace.requests


@pytest.mark.parametrize("port", ["", ":8443"])
@pytest.mark.parametrize("told", ["", ":443", ":6666"])
@pytest.mark.parametrize("name", [HOST, "3000-APPLE.ws.example.dev."])
async def test_the_port_of_a_redirect_is_the_portals(name: str, told: str, port: str) -> None:
    """What a Host header says of a port, anybody may say; the name keeps the spelling that cookies depend on."""
    chosen = settings()
    auth = chosen.auth.model_copy(update={"redirect_uri": f"https://{PORTAL}{port}/auth/callback"})
    async with open_world(chosen.model_copy(update={"auth": auth})) as world:
        await world.add(None, visibility="private")
        got = await world.ask(*NAVIGATION, host=name + told, target="/a")
        location = urlsplit(got.one(b"location").decode())
        target = world.grants.get_target(parse_qs(location.query)["to"][0])

    assert target is not None
    assert (location.netloc, target.url) == (f"{PORTAL}{port}", f"https://{name}{port}/a")


SCRIPTS = {
    "fetch": (("Sec-Fetch-Mode: cors", "Accept: text/html"), "GET"),
    "same-origin fetch": (("Sec-Fetch-Mode: same-origin",), "GET"),
    "image": (("Sec-Fetch-Mode: no-cors", "Accept: image/*"), "GET"),
    "curl": (("Accept: */*",), "GET"),
    "form": (("Sec-Fetch-Mode: navigate", "Accept: text/html", "Sec-Fetch-Site: same-origin"), "POST"),
    "put": (("Accept: text/html",), "PUT"),
    "patch": (("Accept: text/html",), "PATCH"),
    "frame": (("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Accept: text/html"), "GET"),
    "head": (("Sec-Fetch-Mode: navigate", "Accept: text/html"), "HEAD"),
    "preflight": (("Origin: https://a.dev", "Access-Control-Request-Method: PUT", "Accept: text/html"), "OPTIONS"),
    "upgrade": ((*UPGRADE, "Sec-Fetch-Mode: websocket"), "GET"),
    "upgrade by navigation": ((*UPGRADE, *NAVIGATION), "GET"),
    "probe": (("User-Agent: kube-probe/1.30",), "GET"),
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(("lines", "method"), SCRIPTS.values(), ids=SCRIPTS)
async def test_anything_else_is_told_401(
    closed: World, workspace: Workspace, host: str, lines: tuple[str, ...], method: str
) -> None:
    """Never a redirect, which would replay a body or blind a script; no method and no upgrade finds a way around."""
    got = await closed.ask(*lines, method=method, host=host)

    assert (got.status, got.code) == (401, b"sign_in_needed")
    assert not got.all(b"location")
    assert got.one(b"www-authenticate")
    assert method == "HEAD" or b"https://ws.example.dev/auth/start" in got.body
    assert not workspace.requests


@pytest.mark.parametrize("lines", [NAVIGATION, ("Accept: */*",), UPGRADE], ids=["navigation", "script", "upgrade"])
@pytest.mark.parametrize("target", ["/", "/.workspaces-gateway/enter?code=x", "/.workspaces-gateway/x", "/metrics"])
async def test_unknown_reads_like_private(closed: World, lines: tuple[str, ...], target: str) -> None:
    """Nobody finds out which workspaces exist: the bytes are the same but for nonce and ids."""
    unknown, private = [await closed.ask(*lines, host=host, target=target) for host in HOSTS.values()]

    assert masked(unknown) == masked(private)


async def test_host_outside_every_zone_is_404_at_once(closed: World) -> None:
    """Nobody signs in for a host that never leads anywhere."""
    got = await closed.ask(*NAVIGATION, host="www.nobody.dev")

    assert (got.status, got.code) == (404, b"unknown_host")


async def test_zone_of_the_settings_is_a_zone() -> None:
    """Also while it is empty."""
    chosen = settings().model_copy(update={"routing": RoutingSettings(zones=("ws.empty.dev",))})
    async with open_world(chosen) as world:
        assert (await world.ask(*NAVIGATION, host="3000-a.ws.empty.dev")).status == 303
        assert (await world.ask(*NAVIGATION, host="ws.empty.dev")).status == 404


async def test_probe_of_an_existing_chart_is_answered_elsewhere_only(closed: World) -> None:
    """`metrics_path` answers on hosts that are nobody's; a workspace's own path is the workspace's."""
    assert (await closed.ask(host="10.0.0.7:9876", target="/metrics")).code == b"alive"
    assert (await closed.ask(target="/metrics")).status == 401


async def test_grant_lets_through(closed: World, workspace: Workspace) -> None:
    """The app learns who it is, and never the cookie."""
    got = await closed.ask(await closed.grant(), "Authorization: Bearer of the app")

    assert got.body == b"ok"
    assert workspace.request.one(b"x-workspaces-user") == b'id=7, username="ada"'
    assert workspace.request.one(b"authorization") == b"Bearer of the app"
    assert not workspace.request.all(b"cookie")
    assert not got.all(b"set-cookie")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PROPFIND", "TRACE"])
async def test_grant_is_asked_for_every_method(closed: World, workspace: Workspace, method: str) -> None:
    """With it every method passes, without it none."""
    cookie = await closed.grant()

    assert (await closed.ask(cookie, method=method)).status == 200
    assert (await closed.ask(method=method)).status == 401
    assert len(workspace.requests) == 1


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_grant_is_found_among_others_of_its_name(closed: World, place: int) -> None:
    """A tossed cookie of the same name, before or behind, changes nothing: each is tried."""
    pairs = ["__Host-workspaces-grant=tossed", "__Host-workspaces-grant=" + "A" * 200]
    pairs.insert(place, (await closed.grant()).removeprefix("Cookie: "))

    assert (await closed.ask("Cookie: " + "; ".join(pairs))).body == b"ok"
    assert (await closed.ask(*[f"Cookie: {pair}" for pair in pairs])).body == b"ok"


@pytest.mark.parametrize("spelling", LOOKALIKES)
async def test_lookalike_cookie_is_no_grant(closed: World, spelling: str) -> None:
    """Only the exact name, which no sibling can set, is looked at."""
    cookie = (await closed.grant()).replace("__Host-workspaces-grant", spelling)

    assert (await closed.ask(cookie)).status == 401


async def test_grant_of_another_host_is_none(world: World, workspace: Workspace) -> None:
    """A cookie copied from one workspace host to another is worth nothing there."""
    await world.add(workspace, visibility="private")
    await world.add(workspace, name="pear", visibility="private")

    assert (await world.ask(await world.grant(), host="3000-pear.ws.example.dev")).status == 401


async def test_grant_of_another_port_is_none(closed: World, workspace: Workspace) -> None:
    """Each port has a host of its own, and a grant is for one host; the workspace being the same changes nothing."""
    grant = closed.grants.get_grant((await closed.grant()).partition("=")[2].encode())
    assert grant is not None
    other = closed.grants.seal_grant(replace(grant, host="8080-apple.ws.example.dev"))

    assert (await closed.ask(f"Cookie: {closed.cookies.grant}={other}")).status == 401
    assert not workspace.requests


async def test_grant_of_a_workspace_that_was_made_anew_is_none(world: World, workspace: Workspace) -> None:
    """The same name is not the same workspace."""
    await world.add(workspace, visibility="private")
    cookie = await world.grant()
    await world.add(workspace, visibility="private")

    assert (await world.ask(cookie)).status == 401


@pytest.mark.parametrize("age", [GRANT_LIFETIME, GRANT_LIFETIME + 1, 10**9])
async def test_expired_grant_is_none(closed: World, age: float) -> None:
    """A grant ends with its time."""
    assert (await closed.ask(await closed.grant(age=age))).status == 401


async def test_grant_of_an_ended_session_is_none(closed: World) -> None:
    """Signing out ends it at once."""
    cookie = await closed.grant()
    grant = closed.grants.get_grant(cookie.partition("=")[2].encode())
    assert grant is not None
    assert (await closed.ask(cookie)).status == 200

    await closed.sessions.end(grant.session_ref)

    assert (await closed.ask(cookie)).status == 401


@pytest.mark.parametrize(
    ("given_at", "now", "passes"),
    [
        (Visibility.PRIVATE, "private", True),
        (Visibility.PRIVATE, "internal", True),
        (Visibility.PRIVATE, "public", True),
        (Visibility.INTERNAL, "private", False),
        (Visibility.INTERNAL, "internal", True),
        (Visibility.INTERNAL, "public", True),
        (Visibility.PUBLIC, "private", False),
        (Visibility.PUBLIC, "internal", False),
        (Visibility.PUBLIC, "public", True),
    ],
)
async def test_grant_of_a_more_open_port_is_none(
    world: World, workspace: Workspace, given_at: Visibility, now: str, *, passes: bool
) -> None:
    """Who was let in as a member or a guest is out when the port is for the owner only; the owner never is."""
    await world.add(workspace, visibility=now)

    got = await world.ask(await world.grant(visibility=given_at))

    assert (got.status == 200) is passes
    assert bool(workspace.requests) is passes


@pytest.mark.parametrize("cookie", STALE)
async def test_public_port_is_open(world: World, workspace: Workspace, cookie: str) -> None:
    """To anybody, whatever stale cookie they hold; nobody is named to the app."""
    await world.add(workspace)

    assert (await world.ask(*filter(None, [cookie]))).body == b"ok"
    assert not workspace.request.all(b"x-workspaces-user")


@pytest.mark.parametrize("age", [0, GRANT_LIFETIME / 2 - 5])
async def test_young_grant_asks_nobody(closed: World, age: float) -> None:
    """Up to half its life it costs no question."""
    await closed.ask(await closed.grant(age=age))

    assert closed.gitlab.asked == 0


async def test_due_grant_is_renewed(closed: World, workspace: Workspace) -> None:
    """Past half its life the answer brings a fresh one, and GitLab was asked once however many requests came."""
    cookie = await closed.grant(age=GRANT_LIFETIME / 2 + 5)

    answers = [await closed.ask(cookie) for _ in range(3)]

    fresh = closed.grants.get_grant(answers[0].one(b"set-cookie").partition(b"=")[2].partition(b";")[0])
    assert fresh is not None
    assert fresh.expires > time.time() + GRANT_LIFETIME - 60
    assert [got.body for got in answers] == [b"ok"] * 3
    assert closed.gitlab.asked <= 2  # an internal port takes two questions
    assert len(workspace.requests) == 3
    assert closed.metric("http_grant_renewals_total", result="renewed") == 3


async def test_due_grant_lives_on_while_gitlab_is_silent(closed: World) -> None:
    """Until it ends, and it is not renewed."""
    closed.gitlab.fault = GitLabUnavailable("down")

    got = await closed.ask(await closed.grant(age=GRANT_LIFETIME / 2 + 5))

    assert got.body == b"ok"
    assert not got.all(b"set-cookie")
    assert closed.metric("http_grant_renewals_total", result="unavailable") == 1


async def test_due_grant_that_gitlab_refuses_is_none(closed: World, workspace: Workspace) -> None:
    """Whoever is neither owner nor member any more is asked to sign in like a stranger."""
    closed.gitlab.visitor = replace(EVE, external=True)

    got = await closed.ask(await closed.grant(age=GRANT_LIFETIME / 2 + 5))

    assert got.status == 401
    assert not workspace.requests
    assert closed.metric("http_grant_renewals_total", result="denied") == 1


async def test_due_grant_that_is_refused_leaves_a_public_port_open(world: World, workspace: Workspace) -> None:
    """A visitor who lost a name there is still anybody."""
    await world.add(workspace)
    world.gitlab.visitor = replace(EVE, state="blocked")

    got = await world.ask(await world.grant(visibility=Visibility.PUBLIC, age=GRANT_LIFETIME / 2 + 5))

    assert got.body == b"ok"
    assert got.one(b"set-cookie").startswith(b"__Host-workspaces-grant=; ")
    assert not workspace.request.all(b"x-workspaces-user")


@pytest.mark.parametrize(
    ("username", "told"),
    [
        ("ada", b'id=7, username="ada"'),
        ("a.b_c-d", b'id=7, username="a.b_c-d"'),
        ('a"; admin="yes', b"id=7"),
        ("a\\", b"id=7"),
        ("a\r\nX-Evil: 1", b"id=7"),
        ("é", b"id=7"),
    ],
)
async def test_username_writes_no_header(closed: World, workspace: Workspace, username: str, told: bytes) -> None:
    """A name that could be read as more than a name is left out."""
    await closed.ask(await closed.grant(user=User(7, username)))

    assert workspace.request.one(b"x-workspaces-user") == told
    assert not workspace.request.all(b"x-evil")


@pytest.mark.parametrize("name", ["gitlab-workspace-session", "gitlab-workspaces-session"])
@pytest.mark.parametrize("visibility", ["private", "public"])
async def test_old_cookies_are_expired_on_sight(world: World, workspace: Workspace, name: str, visibility: str) -> None:
    """Our predecessor's cookies are neither believed nor passed on, on this host and its whole domain."""
    await world.add(workspace, visibility=visibility)

    got = await world.ask(f"Cookie: {name}=jwt; a=1")

    expired = [cookie for cookie in got.all(b"set-cookie") if cookie.startswith(name.encode() + b"=;")]
    assert len(expired) == 2
    assert sum(b"Domain=.ws.example.dev" in cookie for cookie in expired) == 1
    assert all(b"Max-Age=0" in cookie for cookie in expired)
    assert [one.one(b"cookie") for one in workspace.requests] == ([b"a=1"] if visibility == "public" else [])


def code(world: World, **changes: Any) -> str:
    """What the portal sends a browser back with."""
    route = world.table.get_route(HOST)
    assert route is not None
    fields = {
        "id": "c1",
        "host": HOST,
        "url": f"https://{HOST}/back?to=here",
        "nonce_hash": nonce_hash(NONCE),
        "workspace_id": route.workspace_id,
        "workspace_uid": route.workspace.uid,
        "user_id": 7,
        "username": "ada",
        "session_ref": "s1",
        "visibility": Visibility.PRIVATE,
    }
    return world.grants.seal_code(EntryCode(**{**fields, **changes}))


async def enter(
    world: World, sealed: str, *lines: str, cookie: str = f"Cookie: {ENTRY}={NONCE}", **how: Any
) -> Message:
    return await world.ask(cookie, *lines, target=f"/.workspaces-gateway/enter?code={sealed}", **how)


async def test_entry_gives_a_grant_and_goes_back(closed: World, workspace: Workspace) -> None:
    """The exact address, a host-only cookie, and from then on the visitor is in."""
    got = await enter(closed, code(closed))
    issued = dict(cookie.decode().split("; ", 1) for cookie in got.all(b"set-cookie"))
    (grant,) = [pair for pair in issued if pair.startswith("__Host-workspaces-grant=")]

    assert (got.status, got.one(b"location")) == (303, f"https://{HOST}/back?to=here".encode())
    assert issued[grant] == "Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
    assert all("Domain" not in attributes for attributes in issued.values())
    assert got.one(b"referrer-policy") == b"no-referrer"
    assert (await closed.ask(f"Cookie: {grant}")).body == b"ok"
    assert len(workspace.requests) == 1


async def test_entry_code_is_used_once(closed: World) -> None:
    """Also when two come at the same time."""
    sealed = code(closed)

    answers = await asyncio.gather(*[enter(closed, sealed) for _ in range(5)])

    assert sorted(got.status for got in answers) == [303, 400, 400, 400, 400]


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce_hash": nonce_hash("m" * 43)},
        {"host": "3000-pear.ws.example.dev"},
        {"workspace_uid": "uid-of-another"},
        {"visibility": Visibility.PUBLIC},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_entry_code_of_something_else_is_none(closed: World, changes: dict[str, Any]) -> None:
    """It is bound to browser, host, workspace and the openness it was given at."""
    got = await enter(closed, code(closed, **changes))

    assert (got.status, got.code) == (400, b"sign_in_failed")
    assert not got.all(b"set-cookie")


@pytest.mark.parametrize("cookie", STRANGE)
async def test_entry_code_in_another_browser_is_none(closed: World, cookie: str) -> None:
    """Without the nonce that belongs to it, it is a number."""
    assert (await enter(closed, code(closed), cookie=cookie)).code == b"sign_in_failed"


@pytest.mark.parametrize("sealed", ["", "x", "A" * 5000, "%00", "x&code=y"])
async def test_garbage_is_no_entry_code(closed: World, sealed: str) -> None:
    """It is refused like an old one."""
    assert (await enter(closed, sealed)).code == b"sign_in_failed"


async def test_sealed_value_of_another_kind_is_no_entry_code(closed: World) -> None:
    """A grant is no code, nor is a target."""
    grant = (await closed.grant()).partition("=")[2]

    assert (await enter(closed, grant)).code == b"sign_in_failed"


async def test_nonce_is_found_among_others_of_its_name(closed: World) -> None:
    """A tossed one before it does no harm."""
    got = await enter(closed, code(closed), cookie=f"Cookie: {ENTRY}=tossed; {ENTRY}={NONCE}")

    assert got.status == 303


@pytest.mark.parametrize(("line", "method"), [("Service-Worker: script", "GET"), ("A: b", "POST"), ("A: b", "HEAD")])
async def test_reserved_path_is_for_navigations(closed: World, line: str, method: str) -> None:
    """No worker's script and no form lies there, and no code is used up."""
    sealed = code(closed)

    assert (await enter(closed, sealed, line, method=method)).status == 404
    assert (await enter(closed, sealed)).status == 303


async def test_reserved_prefix_never_reaches_a_workspace(world: World, workspace: Workspace) -> None:
    """On no port, open or not."""
    await world.add(workspace)

    got = await world.ask(target="/.workspaces-gateway/anything")

    assert (got.status, got.code) == (404, b"unknown_workspace")
    assert not workspace.requests


async def test_one_nonce_serves_all_tabs(closed: World) -> None:
    """A browser that waits with ten tabs keeps its cookie; one that tosses garbage gets a new one."""
    kept = await closed.ask(*NAVIGATION, f"Cookie: {ENTRY}={NONCE}")
    renewed = await closed.ask(*NAVIGATION, f"Cookie: {ENTRY}=garbage")

    assert kept.one(b"set-cookie").startswith(f"{ENTRY}={NONCE};".encode())
    assert b"garbage" not in renewed.one(b"set-cookie")


SAME = f"https://{HOST}"
CROSS_SITE = {
    "upgrade, sibling": ((*UPGRADE, "Origin: https://3000-pear.ws.example.dev"), "GET"),
    "upgrade, stranger": ((*UPGRADE, "Origin: https://evil.dev"), "GET"),
    "upgrade, null": ((*UPGRADE, "Origin: null"), "GET"),
    "upgrade, suffix": ((*UPGRADE, f"Origin: {SAME}.evil.dev"), "GET"),
    "upgrade, prefix": ((*UPGRADE, f"Origin: https://evil{HOST}"), "GET"),
    "upgrade, http": ((*UPGRADE, f"Origin: http://{HOST}"), "GET"),
    "upgrade, other port": ((*UPGRADE, f"Origin: {SAME}:8443"), "GET"),
    "upgrade, user": ((*UPGRADE, f"Origin: {SAME}@evil.dev"), "GET"),
    "upgrade, two origins": ((*UPGRADE, f"Origin: {SAME}", "Origin: https://evil.dev"), "GET"),
    "upgrade, a list": ((*UPGRADE, f"Origin: {SAME} https://evil.dev"), "GET"),
    "upgrade, none": (UPGRADE, "GET"),
    "upgrade, portal": ((*UPGRADE, f"Origin: https://{PORTAL}"), "GET"),
    "upgrade, sibling, lied about": (
        (*UPGRADE, "Origin: https://3000-pear.ws.example.dev", "Sec-Fetch-Site: same-origin"),
        "GET",
    ),
    "form of a sibling": (("Sec-Fetch-Site: same-site", "Origin: https://3000-pear.ws.example.dev"), "POST"),
    "form of a stranger": (("Sec-Fetch-Site: cross-site", "Origin: https://evil.dev"), "POST"),
    "form without an origin": (("Sec-Fetch-Site: cross-site",), "POST"),
    "form of nobody": (("Sec-Fetch-Site: cross-site", "Origin: null"), "POST"),
    "form of an old browser": (("Origin: https://evil.dev",), "POST"),
    "delete": (("Sec-Fetch-Site: same-site",), "DELETE"),
    "put": (("Sec-Fetch-Site: cross-site",), "PUT"),
    "odd method": (("Sec-Fetch-Site: cross-site",), "PROPFIND"),
    "two sites": (("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"), "POST"),
}


@pytest.mark.parametrize(("lines", "method"), CROSS_SITE.values(), ids=CROSS_SITE)
async def test_another_site_is_refused(
    closed: World, workspace: Workspace, lines: tuple[str, ...], method: str
) -> None:
    """Although the browser sends the cookie along: 403, and no workspace is dialled."""
    await closed.add(workspace, name="pear", visibility="private")

    got = await closed.ask(await closed.grant(), *lines, method=method)

    assert (got.status, got.code) == (403, b"cross_site")
    assert workspace.connections == 0


FRIENDLY = {
    "upgrade of its own": ((*UPGRADE, f"Origin: {SAME}"), "GET", HOST),
    "upgrade, capitals": ((*UPGRADE, f"Origin: https://{HOST.upper()}"), "GET", HOST),
    "upgrade on a port": ((*UPGRADE, f"Origin: {SAME}:8443"), "GET", f"{HOST}:8443"),
    "upgrade, default port": ((*UPGRADE, f"Origin: {SAME}"), "GET", f"{HOST}:443"),
    "upgrade, allowed origin": ((*UPGRADE, "Origin: https://ide.example.dev"), "GET", HOST),
    "form of its own": (("Sec-Fetch-Site: same-origin", f"Origin: {SAME}"), "POST", HOST),
    "form of a page without referrer": (("Sec-Fetch-Site: same-origin", "Origin: null"), "POST", HOST),
    "typed": (("Sec-Fetch-Site: none",), "POST", HOST),
    "program": ((), "POST", HOST),
    "old browser": ((f"Origin: {SAME}",), "POST", HOST),
    "form of an allowed origin": (("Sec-Fetch-Site: cross-site", "Origin: https://ide.example.dev"), "POST", HOST),
    "link": (("Sec-Fetch-Site: cross-site", *NAVIGATION), "GET", HOST),
    "cross-site read": (("Sec-Fetch-Site: cross-site", "Origin: https://evil.dev"), "GET", HOST),
    "preflight": (("Origin: https://evil.dev",), "OPTIONS", HOST),
}


@pytest.mark.parametrize(("lines", "method", "host"), FRIENDLY.values(), ids=FRIENDLY)
@pytest.mark.parametrize("visibility", ["private", "internal"])
async def test_own_pages_and_links_pass(lines: tuple[str, ...], method: str, host: str, visibility: str) -> None:
    """The same host, allowed origins, what only reads, and programs are let through."""
    chosen = settings().model_copy(update={"origins": OriginSettings(allowed=("https://ide.example.dev",))})
    async with open_world(chosen) as world:
        workspace = Workspace(OK)
        await world.add(workspace, visibility=visibility)

        assert (await world.ask(await world.grant(), *lines, method=method, host=host)).status == 200


async def test_public_port_takes_requests_of_any_site(world: World, workspace: Workspace) -> None:
    """It is open to everybody; its own rules apply."""
    await world.add(workspace)

    got = await world.ask("Sec-Fetch-Site: cross-site", "Origin: https://evil.dev", method="POST")

    assert got.body == b"ok"


async def test_portal_is_reached_by_its_host_only(closed: World) -> None:
    """Its paths on workspace hosts are the workspaces'."""
    portal = await closed.ask(host=PORTAL, target="/auth/start")
    apple = await closed.ask(target="/auth/start")

    assert portal.code == b"internal_error"  # none runs behind this door
    assert apple.code == b"sign_in_needed"


def test_request_of_these_tests_is_a_request() -> None:
    """The writer of requests itself."""
    assert request("A: b", method="PUT", target="/x") == f"PUT /x HTTP/1.1\r\nHost: {HOST}\r\nA: b\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ((), [b"private"]),
        (("public, max-age=3600",), [b"public, max-age=3600", b"private"]),
        (('private="x-user", s-maxage=60',), [b'private="x-user", s-maxage=60', b"private"]),
        (("Private",), [b"Private"]),
        (("no-store",), [b"no-store"]),
        (("max-age=60", "private"), [b"max-age=60", b"private"]),
    ],
)
async def test_what_a_visitor_was_let_in_to_see_is_for_no_shared_cache(
    world: World, told: tuple[str, ...], heard: list[bytes]
) -> None:
    """Whatever the application says of it: the port may be private to others, now or later."""
    lines = "".join(f"Cache-Control: {value}\r\n" for value in told)
    await world.add(answering(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok".encode()), visibility="private")
    answer = await world.ask(await world.grant())

    assert answer.all(b"cache-control") == heard


async def test_what_anyone_may_see_is_cached_as_its_application_says(world: World) -> None:
    """A public port, and nobody in particular."""
    response = b"HTTP/1.1 200 OK\r\nCache-Control: public\r\nContent-Length: 2\r\n\r\nok"
    await world.add(answering(response), visibility="public")
    answer = await world.ask()

    assert answer.all(b"cache-control") == [b"public"]
