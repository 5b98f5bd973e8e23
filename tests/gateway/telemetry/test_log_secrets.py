"""Nothing secret is in the log: a day in the life of a gateway that logs everything, with all that was secret in it.

The day has a sign-in, entries with cookies and with tokens, SSH logins that succeed and fail, a GitLab that fails, and
bugs whose exceptions quote what was at hand. Whatever was secret is then searched for in every line.
"""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import asyncssh
import pytest

from gateway.demo.browser import Browser, Page
from gateway.demo.gitlab_grants import AuthorizationServer, TokenPair
from gateway.demo.gitlab_switches import Endpoint, Fault
from gateway.demo.world import EDITOR_PORT
from gateway.telemetry.library_log import libraries_told
from gateway.telemetry.log import open_log
from tests.gateway.conftest import Live, open_live

SHORT = 8  # characters; what is shorter is no secret, and would be found by chance
QUERY = "hush-of-the-query"
WRONG_TOKEN = "glpat-hush-that-nobody-knows"
BUG = "hush-of-the-bug"


@dataclass
class Day:
    """What was logged, and what was secret."""

    log: io.StringIO
    secrets: dict[str, str] = field(default_factory=dict)
    """By what it is."""

    def keep(self, what: str, value: str) -> None:
        if len(value) > SHORT:
            self.secrets[f"{what} {len(self.secrets)}"] = value

    def keep_query(self, url: str | None) -> None:
        for name, value in parse_qsl(urlsplit(url or "").query):
            if name in {"code", "state", "nonce", "to", "code_challenge", "session_state"}:
                self.keep(f"query {name}", value)


class WatchedBrowser(Browser):
    """A browser all of whose cookies and queries are known."""

    day: Day

    async def fetch(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Page:
        page = await super().fetch(url, method=method, headers=headers, body=body)
        self.day.keep_query(url)
        self.day.keep_query(page.next_url)
        for line in page.headers.getall("Set-Cookie", []):
            self.day.keep("cookie", line.partition(";")[0].partition("=")[2])
        return page


@contextmanager
def talkative_libraries() -> Iterator[None]:
    """As somebody who looks for a fault would have them."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(before)


@pytest.fixture
async def day(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Day]:
    """The day, over."""
    lived = Day(io.StringIO())
    issue = AuthorizationServer._issue

    def issue_and_tell(*arguments: object, **named: object) -> TokenPair:
        pair = issue(*arguments, **named)  # type: ignore[arg-type]  # passed on as they are
        lived.keep("access token", pair.access)
        lived.keep("refresh token", pair.refresh)
        return pair

    monkeypatch.setattr(AuthorizationServer, "_issue", issue_and_tell)
    async with open_live() as live:
        with talkative_libraries(), libraries_told(open_log("debug", live.log)):
            settings = live.world.settings
            lived.keep("client secret", settings.auth.client_secret.get_secret_value())
            lived.keep("signing key", settings.auth.signing_key.get_secret_value())
            lived.keep("host key", settings.ssh.host_key.get_secret_value().splitlines()[2])
            lived.keep("query", QUERY)
            lived.keep("wrong token", WRONG_TOKEN)
            lived.keep("text of a bug", BUG)
            for user in live.world.visit.users:
                lived.keep("token", user.token.get_secret_value())
            await browse(live, lived)
            await log_in(live)
            await fail(live, monkeypatch)
        lived.log = live.log
        yield lived


async def browse(live: Live, day: Day) -> None:
    """Sign in, enter, work with a token, sign out."""
    editor = live.url(f"/a/path?token={QUERY}", port=EDITOR_PORT)
    async with WatchedBrowser(live.world.visit.network) as browser:
        browser.day = day
        assert (await browser.visit(editor, "ada")).status == 404  # in: the editor has no such page
        await browser.visit(f"{live.world.visit.portal_url}/?token={QUERY}", "ada")
        for token in (live.token("ada"), live.token("grace"), WRONG_TOKEN):
            await browser.fetch(live.url("/", port=EDITOR_PORT), headers={"X-Workspaces-Token": token, "Cookie": ""})
        async with browser.open_socket(live.url(f"/ws?token={QUERY}")) as opened:
            await opened.send_str(QUERY)
            await opened.receive_str()
        await browser.fetch(f"{live.world.visit.portal_url}/auth/callback?code={QUERY}&state={QUERY}")
        await live.sign_out(browser)


async def log_in(live: Live) -> None:
    """By password, rightly, wrongly and to a workspace of somebody else; with a command that holds a secret."""
    visit = live.world.visit
    for token, name in ((live.token("ada"), visit.running), (live.token("grace"), visit.running), (WRONG_TOKEN, "no")):
        with suppress(asyncssh.Error):
            async with asyncssh.connect(
                visit.ssh_host,
                visit.ssh_port,
                username=name,
                password=token,
                known_hosts=None,
                config=None,
                client_keys=None,
            ) as client:
                await client.run(f"true {QUERY}")


async def fail(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GitLab that fails, bugs in every part, and a task that nobody asks what became of it."""
    async with live.person() as browser:
        live.world.gitlab.switches[Endpoint.TOKEN].fault = Fault.ERROR_PAGE
        await browser.visit(live.url("/", port=EDITOR_PORT), "ada")
        live.world.gitlab.switches[Endpoint.TOKEN].fault = None
        await browser.visit(live.url("/", port=EDITOR_PORT), "ada")
        live.world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
        await browser.fetch(live.url("/", port=EDITOR_PORT), headers={"X-Workspaces-Token": f"{WRONG_TOKEN}-2"})
        await browser.visit(f"{live.world.visit.portal_url}/", "ada")
        live.world.gitlab.switches[Endpoint.GRAPHQL].fault = None

        def break_down(*_arguments: object) -> None:
            raise KeyError(BUG)

        monkeypatch.setattr(live.world.gateway.table, "get_route", break_down)
        monkeypatch.setattr(live.world.gateway.table, "routes_of", break_down)
        assert (await browser.fetch(live.url(f"/?token={QUERY}"))).status == 500
        await browser.visit(f"{live.world.visit.portal_url}/", "ada")
        monkeypatch.setattr(live.world.gateway.table, "get_workspace", break_down)
        await log_in(live)
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError(BUG), "future": f"<Task {BUG}>"}
    )


async def test_no_line_of_any_level_holds_a_secret(day: Day) -> None:
    """Of which there were many, on lines of every level."""
    lines = [json.loads(line) for line in day.log.getvalue().splitlines()]
    kinds = {name.rsplit(" ", 1)[0] for name in day.secrets}
    events = {line["event"] for line in lines}

    assert {line["level"] for line in lines} == {"debug", "info", "warning", "error"}
    assert {"access token", "refresh token", "cookie", "query code", "query state", "query to", "host key"} <= kinds
    assert {"http.request", "http.crashed", "portal.failed", "ssh.login", "ssh.refused", "ssh.closed"} <= events
    assert {"sign_in.finished", "sign_out.finished", "entry.granted", "audit.ssh_run", "library.failed"} <= events
    assert [
        (name, line)
        for name, secret in day.secrets.items()
        for line in day.log.getvalue().splitlines()
        if secret in line
    ] == []


async def test_no_crash_is_told_without_its_place(day: Day) -> None:
    """Which is what is left of it."""
    crashes = [json.loads(line) for line in day.log.getvalue().splitlines() if '"crash"' in line]

    assert len(crashes) >= 3
    assert all(
        " (" in line["crash"] and ".py:" in line["crash"] for line in crashes if line["event"] != "library.failed"
    )
