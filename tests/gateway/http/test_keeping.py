"""A workspace that nobody uses, from the warning to the stop: what its owner meets in the browser and on the portal."""

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncssh
import pytest
from pydantic import SecretStr

from config.settings import IdleSettings, Settings
from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.world import EDITOR_PORT
from gateway.idle.ledger import Use
from gateway.idle.stops import GRACE_SECONDS
from tests.gateway.conftest import Live, open_live

TIMEOUT, WARNING = 1800.0, 300.0
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
CODE = "X-Workspaces-Gateway"


def serve(settings: Settings, state: GitLabState) -> Settings:
    """With the token of an administrator, and time-outs."""
    root = state.add_user("root", admin=True)
    auth = settings.auth.model_copy(update={"service_token": SecretStr(state.add_token(root))})
    idle = IdleSettings(timeout=TIMEOUT, warning=WARNING)
    return settings.model_copy(update={"auth": auth, "idle": idle})


@pytest.fixture
async def idle() -> AsyncIterator[Live]:
    async with open_live(serve) as opened:
        yield opened


async def pass_time(live: Live, seconds: float) -> None:
    """Moves the clock that nobody sets, and waits for what follows."""
    assert live.world.gateway.idle is not None
    live.steady.ahead += seconds
    watch = live.world.gateway.idle.watch
    await watch.look()
    await watch._stops.wait_done()


def last_use(live: Live) -> Use:
    assert live.world.gateway.idle is not None
    last = live.world.gateway.idle.ledger.get(number(live))
    assert last is not None
    return last.use


def number(live: Live) -> str:
    return str(next(each.id for each in live.state.workspaces.values() if each.name == live.world.visit.running))


def goal(live: Live) -> str:
    """What GitLab wants the workspace to be."""
    return live.state.workspaces[int(number(live))].desired_state


def editor(live: Live, path: str = "/?folder=/a%20b") -> str:
    return live.url(path, port=EDITOR_PORT)


def button(page: Page) -> str:
    return html.unescape(re.findall(r'<form class="next" method="post" action="([^"]+)"', page.text)[0])


async def press(live: Live, browser: Browser, page: Page, **headers: str) -> Page:
    return await browser.fetch(editor(live, button(page)), method="POST", headers=FORM | headers, body=b"")


async def test_in_the_last_minutes_its_owner_is_asked_and_a_button_keeps_it(idle: Live) -> None:
    """It leads to the exact address, and is on record; the time begins anew."""
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, TIMEOUT - WARNING)
        asked = await ada.navigate(editor(idle))
        kept = await press(idle, ada, asked)
        arrived = await ada.navigate(kept.next_url or "")
    await pass_time(idle, WARNING + GRACE_SECONDS)

    assert (asked.status, asked.headers[CODE]) == (200, "workspace_ending")
    assert "Nobody has used it for 25 min, so it stops in 5 min." in asked.text
    assert kept.next_url == editor(idle)
    assert "demo editor" in arrived.text
    assert goal(idle) == "Running"
    (line,) = idle.logged("audit.workspace_kept")
    assert line["workspace"] == idle.world.visit.running


async def test_nobody_who_presses_nothing_keeps_it(idle: Live) -> None:
    """The page that asks is no use; then GitLab is asked to stop it, and whoever comes next reads so."""
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, TIMEOUT - WARNING)
        await ada.navigate(editor(idle))
        await pass_time(idle, WARNING + GRACE_SECONDS)

    assert goal(idle) == "Stopped"
    stopped = {line["workspace"]: line["by"] for line in idle.logged("audit.workspace_stopped")}
    assert stopped[idle.world.visit.running] == "service"


async def test_scripts_of_an_open_page_meet_nothing(idle: Live) -> None:
    """An editor goes on to the end."""
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, TIMEOUT - WARNING)
        seen = await ada.fetch(editor(idle), headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"})

    assert (seen.status, CODE in seen.headers) == (200, False)


async def test_before_the_last_minutes_nobody_is_asked(idle: Live) -> None:
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, TIMEOUT - WARNING - 60)
        page = await ada.navigate(editor(idle))

    assert "demo editor" in page.text


async def test_another_visitor_is_not_asked_and_their_visit_is_use(idle: Live) -> None:
    """A member of an internal port."""
    idle.open_port("internal")
    async with idle.person("grace", at=idle.url("/")) as grace:
        await pass_time(idle, TIMEOUT - WARNING)
        page = await grace.navigate(idle.url("/"))
        refused = await grace.fetch(idle.url("/.workspaces-gateway/keep"), method="POST", headers=FORM, body=b"")
    await pass_time(idle, WARNING + GRACE_SECONDS)

    assert CODE not in page.headers
    assert refused.status == 401
    assert (goal(idle), last_use(idle)) == ("Running", Use.REQUEST)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403)],
    ids=["another site", "a sibling"],
)
async def test_a_page_of_another_site_cannot_press_the_button(idle: Live, headers: dict[str, str], status: int) -> None:
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, TIMEOUT - WARNING)
        asked = await ada.navigate(editor(idle))
        seen = await press(idle, ada, asked, **headers)

    assert seen.status == status
    assert idle.logged("audit.workspace_kept") == []


async def test_the_button_of_another_browser_leads_nowhere(idle: Live) -> None:
    """An address is sealed for the browser that it was shown to."""
    async with idle.person("ada", at=editor(idle)) as ada, idle.person("ada", at=editor(idle)) as other:
        await pass_time(idle, TIMEOUT - WARNING)
        asked = await ada.navigate(editor(idle))
        seen = await press(idle, other, asked)
        looked = await ada.navigate(editor(idle, "/.workspaces-gateway/keep"))

    assert (seen.status, seen.headers[CODE]) == (400, "sign_in_failed")
    assert looked.status == 404


async def test_who_is_in_by_ssh_is_told(idle: Live) -> None:
    """By a note of the protocol, which OpenSSH shows with -v."""
    told: list[str] = []

    class Client(asyncssh.SSHClient):
        def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:  # noqa: FBT001 - asyncssh's own signature
            del lang, always_display
            told.append(msg)

    connection, _ = await asyncssh.create_connection(
        Client,
        idle.world.visit.ssh_host,
        idle.world.visit.ssh_port,
        username=idle.world.visit.running,
        password=idle.token("ada"),
        known_hosts=None,
        config=None,
        client_keys=None,
        agent_path=None,
    )
    async with connection:
        await pass_time(idle, TIMEOUT - WARNING)
        await connection.run("true")  # what was sent before its answer has arrived

    assert told == ["nobody has used this workspace for 25 min; it stops in 5 min unless somebody does"]


async def test_a_clock_that_is_set_stops_nothing(idle: Live) -> None:
    """Ten days forward: nobody was away for longer than they were."""
    async with idle.person("ada", at=editor(idle)):
        idle.clock.ahead += 10 * 86_400
        await pass_time(idle, 0)

    assert goal(idle) == "Running"
    assert idle.logged("idle.warned") == []


# The portal


async def home(live: Live, browser: Browser) -> Page:
    return await browser.visit(f"{live.world.visit.portal_url}/", "")


async def press_on_portal(live: Live, browser: Browser, name: str, **headers: str) -> Page:
    token = re.findall(r'name="csrf" value="([^"]+)"', (await home(live, browser)).text)[0]
    url = f"{live.world.visit.portal_url}/workspaces/{name}/keep"
    return await browser.fetch(url, method="POST", headers=FORM | headers, body=f"csrf={token}".encode())


async def test_the_portal_says_how_it_stands_and_keeps_it(idle: Live) -> None:
    """Looking at it is no use; the button beside it is."""
    async with idle.person("ada", at=editor(idle)) as ada:
        await pass_time(idle, 720)
        before = (await home(idle, ada)).text
        pressed = await press_on_portal(idle, ada, idle.world.visit.running)
        after = (await home(idle, ada)).text

    assert "idle for 12 min, stops in 18 min" in before
    assert pressed.status == 303
    assert "idle for 0 s, stops in 30 min" in after
    assert last_use(idle) is Use.KEPT


async def test_the_portal_keeps_nobody_elses_workspace(idle: Live) -> None:
    """Nor for a page of another site."""
    async with idle.person("ada", at=editor(idle)) as ada:
        foreign = await press_on_portal(idle, ada, idle.world.visit.others)
        unknown = await press_on_portal(idle, ada, "nobody-knows-this")
        crossed = await press_on_portal(idle, ada, idle.world.visit.running, **{"Sec-Fetch-Site": "cross-site"})

    assert (foreign.status, unknown.status, crossed.status) == (404, 404, 403)
    assert foreign.text.partition("<code>")[0] == unknown.text.partition("<code>")[0]
    assert idle.logged("audit.workspace_kept") == []


async def test_without_a_time_out_the_portal_says_nothing(live: Live) -> None:
    async with live.person("ada", at=live.url("/", port=EDITOR_PORT)) as ada:
        page = await home(live, ada)

    assert "idle for" not in page.text
    assert "/keep" not in page.text


async def test_activity_says_when_it_stops(idle: Live) -> None:
    """To operators, on the admin port."""
    await pass_time(idle, 60)
    async with aiohttp.ClientSession() as client, client.get(f"{idle.world.visit.admin_url}/activity") as response:
        told: list[dict[str, Any]] = (await response.json())["workspaces"]

    entry = next(each for each in told if each["workspace"] == idle.world.visit.running)
    assert (entry["timeout_seconds"], entry["problem"]) == (TIMEOUT, None)
    assert TIMEOUT - 70 < entry["stops_in_seconds"] <= TIMEOUT - 60
