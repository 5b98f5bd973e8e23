"""A GitLab on a real socket, and the parts of auth in front of it, all on one clock that a test can move."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from pydantic import SecretStr

from auth.access import AccessPolicy, GrantKeeper
from auth.gitlab import GitLabClient, open_gitlab
from auth.login import Login
from auth.model import Session
from auth.seal import Sealer
from auth.sessions import MemorySessions
from config.settings import AuthSettings, SessionSettings, VisibilitySettings
from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser, GitLabWorkspace
from gateway.demo.gitlab_state import GitLabState
from tests.clock import Clock

CALLBACK = "https://portal.zone.test/auth/callback"


@dataclass
class World:
    clock: Clock
    state: GitLabState
    gitlab: StandInGitLab
    settings: AuthSettings
    client: GitLabClient
    sealer: Sealer
    sessions: MemorySessions
    login: Login
    jo: GitLabUser
    workspace: GitLabWorkspace
    browser: aiohttp.ClientSession
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def approve(self, url: str, user: GitLabUser, *, decision: str = "") -> list[tuple[str, str]]:
        """What GitLab sends the browser back with after this user pressed the button."""
        form = {**dict(parse_qsl(urlsplit(url).query)), "user_id": str(user.id), "decision": decision}
        endpoint = url.partition("?")[0]
        async with self.browser.post(endpoint, data=form, allow_redirects=False) as response:
            location = response.headers["Location"]
        assert location.startswith(CALLBACK)
        return parse_qsl(urlsplit(location).query, keep_blank_values=True)

    async def sign_in(self, browser: str = "browser-a") -> Session:
        params = await self.approve(await self.login.begin(browser, ""), self.jo)
        return (await self.login.finish(params, [browser]))[0]

    def keeper(self, visibility: VisibilitySettings | None = None) -> GrantKeeper:
        return GrantKeeper(self.policy(visibility), self.login, self.sessions, self.clock)

    def policy(self, visibility: VisibilitySettings | None = None) -> AccessPolicy:
        return AccessPolicy(self.client, visibility or VisibilitySettings())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = Clock()
    state = GitLabState(clock)
    gitlab = StandInGitLab(state)
    client_id, client_secret = gitlab.register_application(CALLBACK)
    jo = state.add_user("jo")
    workspace = state.add_workspace(jo, "apple", id=993)
    sealer, sessions = Sealer([SecretStr("signing-key-0123456789")]), MemorySessions(SessionSettings(), clock)
    calls: list[tuple[str, str]] = []
    async with gitlab.serve() as url, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        settings = AuthSettings(
            host=url,
            client_id=client_id,
            client_secret=SecretStr(client_secret),
            redirect_uri=CALLBACK,
            timeout=30,  # of a stand-in in this process, which a busy machine may keep waiting
        )
        async with open_gitlab(settings, lambda endpoint, result, _: calls.append((endpoint, result))) as client:
            login = Login(settings, client, sealer, sessions, clock)
            yield World(clock, state, gitlab, settings, client, sealer, sessions, login, jo, workspace, browser, calls)
