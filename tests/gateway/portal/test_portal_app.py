"""The portal as a browser meets it: over a socket, in front of a GitLab, with a route table beside it."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from auth.access import AccessPolicy
from auth.cookies import Cookies
from auth.gitlab import open_gitlab
from auth.grants import Grants, new_nonce, nonce_hash
from auth.login import Login
from auth.model import EntryCode, Target, Visibility
from auth.owners import WorkspaceOwners
from auth.profiles import ProfileClient
from auth.seal import Sealer
from auth.sessions import MemorySessions, session_ref
from auth.wishes import Wishes
from config.settings import AuthSettings, IdleSettings, SessionSettings, Settings, SshSettings, VisibilitySettings
from gateway.demo.gitlab import Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.portal.app import PORTAL_RUNNER_LIMITS, build_portal
from gateway.portal.parts import PortalParts
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from gateway.waking import Waker
from routing.discovery import RoutingRules, derive_claim
from routing.model import Batch, Relisted, ServicePort, WorkspaceService
from routing.table import RouteTable
from routing.visibility_store import RouteFileVisibility
from tests.clock import Clock
from tests.gateway.idle_parts import IdleParts, make_idle
from tests.log_words import check_words

PORTAL = "https://portal.zone.test"
HOST = "3000-apple.zone.test"
URL = f"https://{HOST}/a%2Fb?q=%20+1"
NONCE = new_nonce()
SESSION, BROWSER = "__Host-workspaces-session", "__Host-workspaces-browser"
KNOWN = "__Host-workspaces-known"


@dataclass
class Page:
    """What a browser got."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: str

    @property
    def location(self) -> str:
        return self.headers["Location"]


@dataclass
class Browser:
    """Keeps cookies and follows nothing by itself."""

    http: aiohttp.ClientSession
    jar: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Page:
        return await self.send("GET", path, None, headers)

    async def post(self, path: str, form: Mapping[str, str] | bytes, **headers: str) -> Page:
        return await self.send("POST", path, form, headers)

    async def send(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Page:
        url = path if path.startswith("http") else f"{PORTAL.replace('https', 'http')}{path}"
        sent = {"Accept": "text/html", "X-Request-Id": "request-1", **headers}
        if self.jar:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.jar.items()))
        async with self.http.request(method, url, data=body, headers=sent, allow_redirects=False) as response:
            page = Page(
                response.status, response.headers, response.headers.getall("Set-Cookie", []), await response.text()
            )
        for cookie in page.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.jar[name] = value
            if "Max-Age=0" in cookie:
                del self.jar[name]
        return page


@dataclass
class World:
    clock: Clock
    state: GitLabState
    gitlab: StandInGitLab
    jo: GitLabUser
    parts: PortalParts
    table: RouteTable
    idle: IdleParts
    log: io.StringIO
    socket: str
    outside: aiohttp.ClientSession

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        connector = aiohttp.UnixConnector(self.socket)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), max_line_size=1 << 20, max_field_size=1 << 20
        ) as http:
            yield Browser(http)

    def add(self, number: str, name: str, *, visibility: str = "private", uid: str = "") -> None:
        service = WorkspaceService(
            name=name,
            namespace=f"gl-rd-ns-{name}",
            uid=uid or f"uid-{number}",
            created=1.0,
            workspace_id=number,
            agent_id="1",
            host_template="{{.port}}-" + name + ".zone.test",
            cluster_ip="127.0.0.1",
            ports=(
                ServicePort("editor-server", 60001, 60001),
                ServicePort("http-3000", 3000, 3000),
                ServicePort("ssh-server", 60022, 60022),
            ),
            visibility=((3000, visibility),),
        )
        claim, _ = derive_claim(service, RoutingRules("portal.zone.test"))
        assert claim is not None
        self.table.apply(Batch(changed=(claim,)))

    async def approve(self, url: str, user: GitLabUser, decision: str = "") -> str:
        """The callback, path and query, that GitLab sends a browser to."""
        form = {**dict(parse_qsl(urlsplit(url).query)), "user_id": str(user.id), "decision": decision}
        async with self.outside.post(url.partition("?")[0], data=form, allow_redirects=False) as response:
            return response.headers["Location"].removeprefix(PORTAL)

    async def sign_in(self, browser: Browser, user: GitLabUser, path: str = "/auth/start") -> Page:
        started = await browser.get(path)
        return await browser.get(await self.approve(started.location, user))

    def target(self, url: str = URL) -> str:
        host = urlsplit(url).hostname or ""
        return quote(self.parts.grants.seal_target(Target(host, url, nonce_hash(NONCE))))

    def metric(self, name: str, **labels: str) -> float:
        return self.parts.metrics.registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0.0

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, table, log = Clock(), RouteTable(), io.StringIO()
    table.apply(Relisted(()))
    state = GitLabState(clock)
    gitlab = StandInGitLab(state)
    client_id, secret = gitlab.register_application(f"{PORTAL}/auth/callback")
    jo = state.add_user("jo")
    state.add_workspace(jo, "apple", id=993)
    async with gitlab.serve() as url, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as outside:
        settings = Settings(
            auth=AuthSettings(
                host=url,
                client_id=client_id,
                client_secret=SecretStr(secret),
                redirect_uri=f"{PORTAL}/auth/callback",
                timeout=30,  # of a stand-in in this process, which a busy machine may keep waiting
            ),
            ssh=SshSettings(port=2222),
        )
        sealer, sessions = Sealer([SecretStr("signing-key-0123456789")]), MemorySessions(SessionSettings(), clock)
        async with open_gitlab(settings.auth, lambda *_: None) as client:
            login = Login(settings.auth, client, sealer, sessions, clock)
            idle = make_idle(IdleSettings(timeout=1800), table, client, metrics=Metrics(), log=log, clock=clock)
            parts = PortalParts(
                current=lambda: settings,
                cookies=Cookies(secure=True),
                sealer=sealer,
                grants=Grants(sealer, clock),
                sessions=sessions,
                gitlab=client,
                login=login,
                access=AccessPolicy(client, VisibilitySettings()),
                owners=WorkspaceOwners(client, ProfileClient(client.calls, clock), SecretStr("")),
                directory=table,
                waker=Waker(Wishes(client), Metrics(), open_log("debug", log)),
                idle=idle.watch,
                visibility=RouteFileVisibility(tmp_path / "routes.yaml", lambda: None),
                metrics=Metrics(),
                log=open_log("debug", log),
                clock=clock,
            )
            runner = web.AppRunner(build_portal(parts), **PORTAL_RUNNER_LIMITS)
            await runner.setup()
            socket = str(tmp_path / "portal")
            await web.UnixSite(runner, socket).start()
            made = World(clock, state, gitlab, jo, parts, table, idle, log, socket, outside)
            made.add("993", "apple")
            try:
                yield made
            finally:
                await runner.cleanup()
            check_words(log)


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    async with world.browser() as opened:
        yield opened


async def test_a_visitor_signs_in_and_enters(world: World, browser: Browser) -> None:
    """From the sealed target over GitLab and back to the workspace host, with a code for exactly that."""
    to = world.target()
    started = await browser.get(f"/auth/start?to={to}")
    assert started.status == 303
    assert started.location.startswith(f"{world.gitlab.url}/oauth/authorize?")

    back = await browser.get(await world.approve(started.location, world.jo))
    assert (back.status, back.location) == (303, f"/auth/start?to={to}")

    entered = await browser.get(back.location)
    where = urlsplit(entered.location)
    assert (entered.status, where.scheme, where.netloc, where.path) == (
        303,
        "https",
        HOST,
        "/.workspaces-gateway/enter",
    )
    code = world.parts.grants.get_code(parse_qs(where.query)["code"][0])
    assert code is not None
    assert code == EntryCode(
        id=code.id,
        host=HOST,
        url=URL,
        nonce_hash=nonce_hash(NONCE),
        workspace_id="993",
        workspace_uid="uid-993.993",
        user_id=world.jo.id,
        username="jo",
        session_ref=session_ref(SecretStr(browser.jar[SESSION])),
        visibility=Visibility.PRIVATE,
    )


async def test_what_happened_is_counted_and_logged(world: World, browser: Browser) -> None:
    """Operators see who signed in and entered what, by number."""
    await world.sign_in(browser, world.jo)
    await browser.get(f"/auth/start?to={world.target()}")
    await browser.get(f"/auth/start?to={world.target('https://3000-nowhere.zone.test/')}")

    assert world.metric("sign_ins_total", result="ok") == 1
    assert world.metric("entries_total", verdict="granted") == world.metric("entries_total", verdict="denied") == 1
    assert [event["user_id"] for event in world.events("sign_in.finished")] == [world.jo.id]
    assert [event["workspace_id"] for event in world.events("entry.granted")] == ["993"]
    assert [event["host"] for event in world.events("audit.entry_denied")] == ["3000-nowhere.zone.test"]


async def test_a_member_enters_an_internal_port_as_such(world: World, browser: Browser) -> None:
    """The code remembers that it was the port's openness that let them in."""
    world.add("993", "apple", visibility="internal")
    await world.sign_in(browser, world.state.add_user("mia"))

    entered = await browser.get(f"/auth/start?to={world.target()}")

    code = world.parts.grants.get_code(entered.location.partition("code=")[2])
    assert code is not None
    assert code.visibility is Visibility.INTERNAL


async def test_denied_and_unknown_are_the_same_bytes(world: World, browser: Browser) -> None:
    """Nobody learns whether a workspace exists: same status, headers and body, and one question to GitLab each."""
    await world.sign_in(browser, world.state.add_user("eve"))
    pages = []
    for url in (URL, "https://60001-apple.zone.test/", "https://3000-nowhere.zone.test/", "https://elsewhere.test/x"):
        asked = world.gitlab.calls[Endpoint.GRAPHQL]
        pages.append(await browser.get(f"/auth/start?to={world.target(url)}"))
        assert world.gitlab.calls[Endpoint.GRAPHQL] == asked + 1

    first = pages[0]
    assert first.status == 404
    for page in pages[1:]:
        assert (page.status, page.body) == (first.status, first.body)
        ignored = {"Date"}
        assert {k: v for k, v in page.headers.items() if k not in ignored} == {
            k: v for k, v in first.headers.items() if k not in ignored
        }


async def test_an_outage_while_entering_is_a_503(world: World, browser: Browser) -> None:
    """GitLab away is not the visitor's fault, and not a 404."""
    await world.sign_in(browser, world.jo)
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.RATE_LIMITED

    page = await browser.get(f"/auth/start?to={world.target()}")

    assert (page.status, page.headers["Retry-After"]) == (503, "30")
    assert world.metric("entries_total", verdict="unavailable") == 1


async def test_an_outage_while_signing_in_is_a_503(world: World, browser: Browser) -> None:
    """Neither the beginning nor the end of a sign-in takes GitLab's silence for a yes."""
    callback = await world.approve((await browser.get("/auth/start")).location, world.jo)
    world.gitlab.switches.everywhere.fault = Fault.ERROR_PAGE
    back = await browser.get(callback)

    assert back.status == 503
    assert SESSION not in browser.jar
    assert world.metric("sign_ins_total", result="unavailable") == 1


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
        "https://3000-apple.zone.test@evil.test/",
        "A" * 500,
        "%00",
        "%ff",
        "%0d%0aSet-Cookie:x=y",
    ],
)
async def test_only_a_target_that_we_sealed_leads_anywhere(world: World, browser: Browser, to: str) -> None:
    """No address from the wire is ever redirected to, signed in or not."""
    anonymous = await browser.get(f"/auth/start?to={to}")
    await world.sign_in(browser, world.jo)
    signed_in = await browser.get(f"/auth/start?to={to}")

    for page in (anonymous, signed_in):
        assert page.status == 400
        assert "Location" not in page.headers
        assert "evil" not in page.body


async def test_an_old_target_is_refused(world: World, browser: Browser) -> None:
    """A target is good for ten minutes."""
    to = world.target()
    world.clock.now += 600

    assert (await browser.get(f"/auth/start?to={to}")).status == 400


async def test_ten_first_tabs_at_once_all_arrive(world: World, browser: Browser) -> None:
    """Tabs restored in a browser without any cookie: each begins under its own, only the last is kept, all arrive."""
    tos = [world.target(f"https://{HOST}/{number}") for number in range(10)]
    starts = await asyncio.gather(*(Browser(browser.http, browser.jar).get(f"/auth/start?to={to}") for to in tos))
    arrived = []
    for start, to in zip(starts, tos, strict=True):
        page = await browser.get(await world.approve(start.location, world.jo))
        while not page.location.startswith(f"https://{HOST}"):
            is_abroad = page.location.startswith(world.gitlab.url)
            page = await browser.get(await world.approve(page.location, world.jo) if is_abroad else page.location)
        code = world.parts.grants.get_code(page.location.partition("code=")[2])
        assert code is not None
        arrived.append((code.url, to))

    assert [url for url, _ in arrived] == [f"https://{HOST}/{number}" for number in range(10)]


async def test_an_attackers_callback_signs_no_victim_in(world: World, browser: Browser) -> None:
    """Login CSRF: the link works in the attacker's browser only, whether the victim has a cookie of ours or none."""
    async with world.browser() as attacker:
        started = await attacker.get(f"/auth/start?to={world.target()}")
        callback = await world.approve(started.location, world.state.add_user("eve"))
    fresh = await browser.get(callback)
    await browser.get("/auth/start")
    known = await browser.get(callback)

    assert fresh.status == 400
    assert known.status == 303
    assert known.location.startswith("/auth/start?to=")
    assert SESSION not in browser.jar
    assert world.metric("sign_ins_total", result="failed") == 2
    assert Endpoint.TOKEN not in world.gitlab.calls


async def test_a_reload_never_replays(world: World, browser: Browser) -> None:
    """The callback always leads on; coming back to it by the back button only says that it is used."""
    started = await browser.get("/auth/start")
    callback = await world.approve(started.location, world.jo)
    first = await browser.get(callback)
    session = browser.jar[SESSION]
    again = await browser.get(callback)

    assert (first.status, first.location) == (303, "/")
    assert again.status == 400
    assert browser.jar[SESSION] == session


async def test_declining_is_a_page_of_its_own(world: World, browser: Browser) -> None:
    """Who says no at GitLab reads that, and nothing that came in the address."""
    started = await browser.get("/auth/start")
    callback = await world.approve(started.location, world.jo, "deny")
    page = await browser.get(f"{callback}&error_description=%3Cscript%3Ealert(1)%3C/script%3E")

    assert page.status == 400  # the description came twice
    started = await browser.get("/auth/start")
    page = await browser.get(await world.approve(started.location, world.jo, "deny"))
    assert page.status == 403
    assert "<script" not in page.body
    assert world.metric("sign_ins_total", result="denied") == 1


@pytest.mark.parametrize("failure", ["declined", "GitLab away", "used before"])
async def test_a_sign_in_that_failed_can_be_tried_again(world: World, browser: Browser, failure: str) -> None:
    """By a link that leads to where the person wanted to be."""
    to = world.target()
    started = await browser.get(f"/auth/start?to={to}")
    callback = await world.approve(started.location, world.jo, "deny" if failure == "declined" else "")
    if failure == "GitLab away":
        world.gitlab.switches[Endpoint.TOKEN].fault = Fault.UNAVAILABLE
    if failure == "used before":
        await browser.get(callback)
    page = await browser.get(callback)

    assert page.status >= 400
    assert f'href="/auth/start?to={to}">Sign in again</a>' in page.body


async def test_a_planted_session_does_not_survive_sign_in(world: World, browser: Browser) -> None:
    """Session fixation: a made-up id is ignored, another person's session ends, and the id is new."""
    async with world.browser() as attacker:
        await world.sign_in(attacker, world.state.add_user("eve"))
        planted = attacker.jar[SESSION]
    browser.jar[SESSION] = new_nonce()
    await world.sign_in(browser, world.jo)

    assert browser.jar[SESSION] != planted
    session = await world.parts.sessions.get(session_ref(SecretStr(browser.jar[SESSION])))
    assert session is not None
    assert session.user.username == "jo"


async def test_of_several_session_cookies_the_living_one_counts(world: World, browser: Browser) -> None:
    """A tossed cookie before ours neither signs out nor signs in."""
    await world.sign_in(browser, world.jo)
    mine = browser.jar[SESSION]
    header = f"{SESSION}=junk; {SESSION}={new_nonce()}; {SESSION}=\u00e9; {SESSION}={mine}"

    assert (await browser.get("/", Cookie=header)).status == 200
    assert (await browser.get("/", Cookie=f"x{SESSION}={mine}; {SESSION.lower()}={mine}")).status == 303


async def test_cookies_are_host_only_and_out_of_reach(world: World, browser: Browser) -> None:
    """All of the portal's cookies have every attribute that protects them, and live as long as they should."""
    started = await browser.get("/auth/start")
    back = await browser.get(await world.approve(started.location, world.jo))
    attributes = "; Path=/; Max-Age={}; HttpOnly; SameSite=Lax; Secure"

    assert [cookie.partition("=")[0] for cookie in started.cookies + back.cookies] == [BROWSER, SESSION, KNOWN]
    assert started.cookies[0].endswith(attributes.format(30 * 86400))
    assert back.cookies[0].endswith(attributes.format(8 * 3600))
    assert back.cookies[1].endswith(attributes.format(30 * 86400))


async def test_a_browser_keeps_its_cookie_and_a_strange_one_is_replaced(browser: Browser) -> None:
    """The browser cookie is stable over sign-ins, and nothing a client made up is echoed."""
    await browser.get("/auth/start")
    known = browser.jar[BROWSER]
    await browser.get("/auth/start")
    assert browser.jar[BROWSER] == known

    browser.jar[BROWSER] = "x; Domain=zone.test"
    await browser.get("/auth/start")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", browser.jar[BROWSER])


async def test_home_shows_what_is_mine(world: World, browser: Browser) -> None:
    """My workspaces with ports, levels and the ssh command; neither others' nor pretenders."""
    world.add("993", "apple", visibility="public")
    world.state.add_workspace(world.state.add_user("eve"), "pear", id=994)
    world.add("994", "pear")
    world.state.add_workspace(world.jo, "plum", id=995)
    world.add("111", "plum")  # claims the name, but has another number
    assert (await browser.get("/")).location == "/auth/start"
    await world.sign_in(browser, world.jo)

    page = await browser.get("/")

    assert page.status == 200
    assert f'href="https://{HOST}/"' in page.body
    assert "public" in page.body
    assert "ssh -p 2222 apple@portal.zone.test" in page.body
    assert "60022-apple" not in page.body
    assert "running" in page.body
    assert "pear" not in page.body
    assert "plum" not in page.body


async def test_start_without_a_target_leads_home(world: World, browser: Browser) -> None:
    """Signed in already: nothing to do but go home."""
    await world.sign_in(browser, world.jo)

    assert (await browser.get("/auth/start")).location == "/"


async def sign_out_token(browser: Browser) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/")).body)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": PORTAL, "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_signing_out_ends_everything_of_this_browser(
    world: World, browser: Browser, headers: dict[str, str]
) -> None:
    """Session, cookie and GitLab's tokens are gone, and a page says so."""
    await world.sign_in(browser, world.jo)
    ref = session_ref(SecretStr(browser.jar[SESSION]))

    page = await browser.post("/auth/sign-out", {"csrf": await sign_out_token(browser)}, **headers)

    assert page.status == 200
    assert "signed out" in page.body
    assert SESSION not in browser.jar
    assert world.parts.sessions.is_ended(ref)
    assert world.gitlab.calls[Endpoint.REVOKE] == 1


async def test_signing_out_everywhere_ends_the_other_browsers_too(world: World, browser: Browser) -> None:
    """One forgotten somewhere has nothing of mine any more."""
    async with world.browser() as elsewhere:
        for each in (browser, elsewhere):
            await world.sign_in(each, world.jo)
        page = await browser.post("/auth/sign-out", {"csrf": await sign_out_token(browser), "everywhere": "yes"})

        assert page.status == 200
        assert "closed to all your browsers" in page.body
        assert (await elsewhere.get("/")).location == "/auth/start"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://3000-evil.zone.test"},
        {"Origin": "https://portal.zone.test.evil.test"},
        {"Origin": "http://portal.zone.test"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_another_site_signs_nobody_out(world: World, browser: Browser, headers: dict[str, str]) -> None:
    """Even with the right token, which it could not have."""
    await world.sign_in(browser, world.jo)

    page = await browser.post("/auth/sign-out", {"csrf": await sign_out_token(browser)}, **headers)

    assert page.status == 403
    assert not page.cookies


async def test_sign_out_needs_the_token_of_this_session(world: World, browser: Browser) -> None:
    """None, garbage, and the token of another session are refused; so is a body that is no form."""
    await world.sign_in(browser, world.jo)
    async with world.browser() as other:
        await world.sign_in(other, world.jo)
        foreign = await sign_out_token(other)

    for form in ({}, {"csrf": ""}, {"csrf": "x" * 300}, {"csrf": foreign}, b"\xff\xff", b"x" * 17_000):
        assert (await browser.post("/auth/sign-out", form)).status in (400, 403)
    kind = "application/x-www-form-urlencoded; charset=nonsense"
    assert (await browser.post("/auth/sign-out", b"csrf=x", **{"Content-Type": kind})).status == 400
    assert (await browser.get("/")).status == 200


async def test_a_stranger_may_press_sign_out(browser: Browser) -> None:
    """Without a session there is nothing to end and nothing to expire."""
    page = await browser.post("/auth/sign-out", {})

    assert page.status == 200
    assert not page.cookies


async def test_a_refused_token_leads_to_a_new_sign_in(world: World, browser: Browser) -> None:
    """The user revoked the application: sign in again, instead of a 404 that nobody can explain."""
    for path in ("/", f"/auth/start?to={world.target()}"):
        await world.sign_in(browser, world.jo)
        session = await world.parts.sessions.get(session_ref(SecretStr(browser.jar[SESSION])))
        assert session is not None
        world.state.revoke(session.tokens.access.get_secret_value())
        world.clock.now += 61

        page = await browser.get(path)

        assert page.status == 303
        assert page.location.startswith(world.gitlab.url)
        browser.jar.clear()


async def test_a_token_refused_from_the_start_makes_no_loop(world: World, browser: Browser) -> None:
    """If GitLab refuses what it has just given, the browser is not sent round in circles."""
    await world.sign_in(browser, world.jo)
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.FORBIDDEN
    page = await browser.get(f"/auth/start?to={world.target()}")
    await world.sign_in(browser, world.jo)
    home = await browser.get("/")

    assert page.status == 404
    assert home.status == 403


async def test_a_long_address_leads_at_least_to_the_right_host(world: World, browser: Browser) -> None:
    """What does not fit through GitLab is cut to the front page; who is signed in keeps all of it."""
    url = f"{URL}&more={'x' * 20_000}"
    to = world.target(url)
    back = await world.sign_in(browser, world.jo, f"/auth/start?to={to}")
    cut = await browser.get(back.location)
    whole = await browser.get(f"/auth/start?to={to}")
    codes = [world.parts.grants.get_code(page.location.partition("code=")[2]) for page in (cut, whole)]

    assert [code.url for code in codes if code] == [f"https://{HOST}/", url]


async def test_a_head_that_the_edge_lets_through_is_readable(world: World, browser: Browser) -> None:
    """64 KiB in one line and 200 header fields are no problem of the portal."""
    await world.sign_in(browser, world.jo)
    junk = "; ".join(f"c{number}={'x' * 1000}" for number in range(60))
    many = {f"X-Field-{number}": "x" for number in range(190)}

    assert (await browser.get("/", Cookie=f"{junk}; {SESSION}={browser.jar[SESSION]}", **many)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/auth", 404),
        ("GET", "/auth/start/", 404),
        ("GET", "/metrics", 404),
        ("HEAD", "/auth/callback", 405),
        ("POST", "/auth/start", 405),
        ("GET", "/auth/sign-out", 405),
        ("TRACE", "/", 405),
    ],
)
async def test_there_are_four_addresses(browser: Browser, method: str, path: str, status: int) -> None:
    """Everything else is answered by us too, in our own words."""
    page = await browser.send(method, path, None, {})

    assert page.status == status
    assert page.headers["X-Workspaces-Gateway"] in ("no_page", "bad_method")
    assert ("Allow" in page.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/", "/auth/start", "/auth/callback?code=x", "/auth/start?to=x", "/nothing"])
async def test_every_answer_is_private_and_carries_the_request_id(browser: Browser, path: str) -> None:
    """Never stored, never a referrer, never framed, and traceable."""
    page = await browser.get(path)

    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Request-Id"] == "request-1"


async def test_home_is_as_private_as_any_answer(world: World, browser: Browser) -> None:
    """The one page that is not an answer has the same headers."""
    await world.sign_in(browser, world.jo)
    page = await browser.get("/")

    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Request-Id"] == "request-1"


async def test_a_page_that_does_not_exist_leads_to_the_workspaces(browser: Browser) -> None:
    """Whoever mistyped an address need not mend it."""
    page = await browser.get("/nothing")

    assert '<a class="button" href="/">My workspaces</a>' in page.body


async def test_a_program_gets_json(browser: Browser) -> None:
    """What a script asks for it can read."""
    page = await browser.get("/nothing", Accept="application/json")

    assert json.loads(page.body)["error"] == "no_page"


async def test_a_fault_of_ours_is_an_answer_too(world: World, browser: Browser) -> None:
    """Even what nobody thought of ends in a page with a request id, and in the log."""
    await world.sign_in(browser, world.jo)
    world.table.routes_of = None  # type: ignore[assignment,method-assign]  # breaks the home page

    page = await browser.get("/")

    assert page.status == 500
    assert "Traceback" not in page.body
    assert world.events("portal.failed")


async def test_nothing_secret_reaches_the_log(world: World, browser: Browser) -> None:
    """Neither tokens, nor codes, nor cookies, nor the address a person went to."""
    started = await browser.get(f"/auth/start?to={world.target()}")
    callback = await world.approve(started.location, world.jo)
    back = await browser.get(callback)
    await browser.get(back.location)
    await browser.get(callback)
    session = await world.parts.sessions.get(session_ref(SecretStr(browser.jar[SESSION])))
    assert session is not None
    logged = world.log.getvalue()

    assert logged
    for secret in (
        dict(parse_qsl(urlsplit(callback).query))["code"],
        session.tokens.access.get_secret_value(),
        session.tokens.refresh.get_secret_value(),
        browser.jar[SESSION],
        browser.jar[BROWSER],
        "q=%20",
        dict(parse_qsl(urlsplit(callback).query))["state"],
    ):
        assert secret not in logged
