"""Ten thousand visitors at once while GitLab is away, and when it is back: how often it is asked, and by how many.

    who                  at once    while GitLab is away              when it is back
    open browsers        50         a burst, then one now and then    each once, ever more at once
    people signing in    10         a burst, then one now and then    each once, ten at once
    SSH logins           10         a burst, then one now and then    each once, ten at once

All of them have different tokens, so that no answer serves two. Counted by the stand-in GitLab.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from auth.access import UNAVAILABLE_INTERVAL, AccessPolicy, GrantKeeper
from auth.circuit import FAILURES, LONGEST_PAUSE, LONGEST_SPREAD, ROOM
from auth.gitlab import GitLabClient, open_gitlab
from auth.grants import GRANT_LIFETIME
from auth.login import Login
from auth.model import GitLabUnavailable, Grant, Granted, Tokens, Unavailable, User, Verdict, Visibility
from auth.seal import Sealer
from auth.sessions import MemorySessions, session_ref
from auth.share import SIGN_INS, SSH_TOKENS, Share
from auth.shared_access import SharedAccess
from config.settings import AuthSettings, SessionSettings, VisibilitySettings
from gateway.demo.gitlab import Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.clock import Clock

VISITORS = 10_000
PATIENT = 2_000  # of them, who are still there when GitLab is back; the stand-in takes milliseconds for each
BURST = ROOM + FAILURES  # those who had their turn when the outage was noticed
CALLBACK = "https://portal.zone.test/auth/callback"


@dataclass(frozen=True)
class EditorPort:
    """The editor of one workspace, private for ever."""

    workspace_id: str
    agent_id: str = "1"
    namespace: str = "ns"
    port: int = 60001
    port_name: str = "editor-server"
    declared: str = ""


@dataclass
class Town:
    """Everybody, with a workspace each, and the parts of the gateway that ask GitLab about them."""

    clock: Clock
    gitlab: StandInGitLab
    client: GitLabClient
    sessions: MemorySessions
    login: Login
    policy: AccessPolicy
    tokens: list[SecretStr]
    workspaces: list[str]
    people: list[User]

    async def grants(self) -> list[Grant]:
        """A grant of everybody, in a browser of their own."""
        given = []
        for person, token, workspace in zip(self.people, self.tokens, self.workspaces, strict=True):
            tokens = Tokens(token, SecretStr("refresh"), self.clock.now + 7200)
            session = await self.sessions.create(person, tokens, f"browser of {person.username}")
            given.append(
                Grant(
                    host=f"60001-{person.username}.zone.test",
                    workspace_id=workspace,
                    workspace_uid=f"uid-{workspace}",
                    user_id=person.id,
                    username=person.username,
                    session_ref=session_ref(session.id),
                    visibility=Visibility.PRIVATE,
                    issued=self.clock.now,
                    expires=self.clock.now + GRANT_LIFETIME,
                )
            )
        return given

    def is_away(self, *, yes: bool) -> None:
        self.gitlab.switches.everywhere.fault = Fault.ERROR_PAGE if yes else None


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    clock = Clock()
    state = GitLabState(clock)
    gitlab = StandInGitLab(state)
    client_id, secret = gitlab.register_application(CALLBACK)
    users = [state.add_user(f"user-{number}") for number in range(VISITORS)]
    workspaces = [state.add_workspace(user, f"workspace-of-{user.username}").id for user in users]
    sessions, sealer = MemorySessions(SessionSettings(), clock), Sealer([SecretStr("signing-key-0123456789")])
    async with gitlab.serve() as url:
        settings = AuthSettings(
            host=url, client_id=client_id, client_secret=SecretStr(secret), redirect_uri=CALLBACK, timeout=30
        )
        async with open_gitlab(settings, lambda *_: None, clock) as client:
            yield Town(
                clock,
                gitlab,
                client,
                sessions,
                Login(settings, client, sealer, sessions, clock),
                AccessPolicy(client, VisibilitySettings()),
                [SecretStr(state.add_token(user)) for user in users],
                [str(workspace) for workspace in workspaces],
                [User(user.id, user.username) for user in users],
            )


async def test_renewals(town: Town) -> None:
    """Nobody is let in or thrown out by an outage; all who are still there are granted again within two minutes."""
    keeper, grants = GrantKeeper(town.policy, town.login, town.sessions, town.clock), await town.grants()
    back_at = dict.fromkeys(range(VISITORS), town.clock.now)

    async def come() -> list[Verdict]:
        """Everybody who was told to come back by now."""
        coming = [number for number, due in back_at.items() if due <= town.clock.now]
        verdicts = await asyncio.gather(
            *(keeper.recheck(grants[number], EditorPort(town.workspaces[number])) for number in coming)
        )
        for number, verdict in zip(coming, verdicts, strict=True):
            if isinstance(verdict, Unavailable):
                back_at[number] = town.clock.now + max(verdict.retry_after, UNAVAILABLE_INTERVAL)
            else:
                del back_at[number]
        return verdicts

    town.is_away(yes=True)
    assert {type(verdict) for verdict in await come()} == {Unavailable}
    assert town.gitlab.calls.total() <= BURST
    burst = town.gitlab.calls.total()
    for _ in range(30):
        town.clock.now += 4
        await come()
    assert len(back_at) == VISITORS
    assert town.gitlab.calls.total() - burst <= 2 * 120 / LONGEST_PAUSE + 8  # the first pauses are shorter
    before = town.gitlab.calls.total()

    town.is_away(yes=False)
    for number in range(PATIENT, VISITORS):
        del back_at[number]  # went home
    waves = 0
    while back_at:
        town.clock.now += 1
        waves += 1
        assert {type(verdict) for verdict in await come()} <= {Granted, Unavailable}
        assert waves <= 2 * LONGEST_SPREAD + LONGEST_PAUSE
    assert town.gitlab.calls.total() - before == PATIENT
    assert town.gitlab.most_at_once <= ROOM


async def test_sign_ins(town: Town) -> None:
    """Each brings a code that GitLab never gave, as anybody can; a code is asked about once."""
    urls = [await town.login.begin(f"browser-{number}", "") for number in range(VISITORS)]
    states = [url.partition("state=")[2].partition("&")[0] for url in urls]
    town.gitlab.calls.clear()

    town.is_away(yes=True)
    answers = await asyncio.gather(
        *(
            town.login.finish([("state", state), ("code", f"code-{number}")], [f"browser-{number}"])
            for number, state in enumerate(states)
        ),
        return_exceptions=True,
    )

    assert all(isinstance(answer, GitLabUnavailable) for answer in answers)
    assert town.gitlab.calls.total() <= SIGN_INS + FAILURES
    assert town.gitlab.most_at_once <= SIGN_INS


async def test_ssh_logins(town: Town) -> None:
    """A GitLab that is back is asked about everybody once, in spite of ten thousand who come at the same time."""
    access = SharedAccess(town.policy, Share(SSH_TOKENS))

    async def come() -> list[Verdict]:
        pairs = zip(town.tokens, town.workspaces, strict=True)
        return await asyncio.gather(*(access.decide_workspace(token, workspace) for token, workspace in pairs))

    town.is_away(yes=True)
    assert {type(verdict) for verdict in await come()} == {Unavailable}
    assert town.gitlab.calls[Endpoint.GRAPHQL] <= SSH_TOKENS + FAILURES
    town.is_away(yes=False)
    town.clock.now += 2 * LONGEST_PAUSE
    before = town.gitlab.calls.total()
    verdicts = await come()

    granted = sum(isinstance(verdict, Granted) for verdict in verdicts)
    assert granted == town.gitlab.calls.total() - before
    assert granted > 0
    assert town.gitlab.most_at_once <= SSH_TOKENS
