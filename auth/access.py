"""Gives the verdict: may the person behind a token use this port, or this workspace, now.

GitLab is asked every time; nothing here remembers a yes but `GrantKeeper`, and it not longer than five minutes. When
GitLab cannot be asked the verdict is Unavailable, which is never a yes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from pydantic import SecretStr

from auth.gitlab import GitLab
from auth.grants import GRANT_LIFETIME
from auth.login import Login
from auth.model import (
    Denied,
    GitLabFault,
    GitLabUnavailable,
    Grant,
    Granted,
    Ownership,
    TokenRefused,
    Unavailable,
    User,
    Verdict,
    Visibility,
    WorkspacePort,
    refused,
)
from auth.remembered import Remembered
from auth.sessions import SessionStore
from auth.visibility import Limit, effective_visibility, find_limit
from config.settings import VisibilitySettings

RECHECK_INTERVAL = 300  # s; a person whom GitLab refuses is out within this, and 12 questions an hour are no load
UNAVAILABLE_INTERVAL = 30  # s; one page in so long waits for a GitLab that is silent, and ten tries fit a grant
VERDICTS_MAX = 50_000  # about 500 B each; beyond it GitLab is merely asked again


class AccessPolicy:
    """The rules about who may enter, asked afresh each time."""

    def __init__(self, gitlab: GitLab, visibility: VisibilitySettings) -> None:
        self._gitlab = gitlab
        self._settings = visibility

    def adopt(self, visibility: VisibilitySettings) -> None:
        """Decide by these settings from now on."""
        self._settings = visibility

    def visibility(self, port: WorkspacePort) -> Visibility:
        """How open the port is under the operator's policy."""
        return effective_visibility(port, self._settings)

    def limit(self, port: WorkspacePort) -> Limit:
        """The most that its owner may open the port."""
        return find_limit(port, self._settings)

    async def decide_port(self, token: SecretStr, port: WorkspacePort) -> Verdict:
        """May the token's user use this port over HTTP?"""
        try:
            match self.visibility(port):
                case Visibility.PUBLIC:
                    return _decide_public(*await self._find_both(token, port.workspace_id))
                case Visibility.INTERNAL:
                    return _decide_internal(*await self._find_both(token, port.workspace_id))
                case Visibility.PRIVATE:
                    return _decide_owner(await self._gitlab.find_ownership(token, port.workspace_id))
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict:
        """May the token's user use the whole workspace, as over SSH? Only its owner may.

        With NOBODYS_WORKSPACE, for a name nobody knows, GitLab is asked all the same and the answer is Denied: a
        stranger cannot tell the two by time.
        """
        try:
            return _decide_owner(await self._gitlab.find_ownership(token, workspace_id))
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)

    async def _find_both(self, token: SecretStr, workspace_id: str) -> tuple[User, Ownership]:
        """At once, so that a verdict on an internal port takes as long as one on a private port."""
        try:
            async with asyncio.TaskGroup() as group:
                user = group.create_task(self._gitlab.find_user(token))
                ownership = group.create_task(self._gitlab.find_ownership(token, workspace_id))
        except* GitLabFault as faults:
            fault = faults.exceptions[0]
        else:
            return user.result(), ownership.result()
        raise fault


class GrantKeeper:
    """Says whether a grant that is due may be renewed, and asks GitLab at most every five minutes for each."""

    def __init__(
        self, policy: AccessPolicy, login: Login, sessions: SessionStore, clock: Callable[[], float] = time.time
    ) -> None:
        self._policy = policy
        self._login = login
        self._sessions = sessions
        self._verdicts: Remembered[_Key, Verdict] = Remembered(VERDICTS_MAX, _lifetime, clock)
        self._clock = clock
        self._denied: dict[_Place, float] = {}
        """When a visitor was last denied; a plain dict, because it is looked into on every request."""
        self._observers: list[Callable[[], None]] = []

    def subscribe(self, observer: Callable[[], None]) -> None:
        """Have `observer` called whenever somebody is denied who held a grant."""
        self._observers.append(observer)

    def is_denied(self, grant: Grant, port: WorkspacePort) -> bool:
        """Whether its holder was denied after it was given, so that it is void before its end."""
        denied = self._denied.get((grant.session_ref, grant.workspace_uid, port.port))
        return denied is not None and grant.issued <= denied

    async def recheck(self, grant: Grant, port: WorkspacePort) -> Verdict:
        """The verdict on the grant's holder as of now, or of the last five minutes.

        Unavailable is for the caller to bear: a grant lives on until it expires, but is not renewed.
        """
        verdict = await self._recheck(grant, port)
        if isinstance(verdict, Denied):
            self._note_denied((grant.session_ref, grant.workspace_uid, port.port))
        return verdict

    async def _recheck(self, grant: Grant, port: WorkspacePort) -> Verdict:
        try:
            session = await self._sessions.get(grant.session_ref)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
        if session is None or session.user.id != grant.user_id:
            return Denied("the session ended")
        # With the visibility: a yes to a public port is none once the port is private.
        key = (grant.session_ref, grant.workspace_uid, port.port, self._policy.visibility(port))
        return await self._verdicts.find(key, lambda: self._ask(grant.session_ref, port))

    def _note_denied(self, place: "_Place") -> None:
        now = self._clock()
        self._denied.pop(place, None)  # so that the order stays that of time
        self._denied[place] = now
        while now - self._denied[oldest := next(iter(self._denied))] > GRANT_LIFETIME:
            del self._denied[oldest]  # no grant from before then lives
        for observer in self._observers:
            observer()

    async def _ask(self, ref: str, port: WorkspacePort) -> Verdict:
        try:
            session = await self._sessions.get(ref)  # again: it may have ended while another caller was asking
            if session is None:
                return Denied("the session ended")
            token = await self._login.fresh_token(session)
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
        verdict = await self._policy.decide_port(token, port)
        return replace(verdict, asked=self._clock()) if isinstance(verdict, Granted) else verdict


_Place = tuple[str, str, int]
"""Session, workspace and port."""
_Key = tuple[str, str, int, Visibility]


def _lifetime(verdict: Verdict) -> float:
    """A no is not remembered: it ends what it is about, and a hiccup of GitLab must not end it again and again."""
    match verdict:
        case Granted():
            return RECHECK_INTERVAL
        case Unavailable():
            return UNAVAILABLE_INTERVAL
        case Denied():
            return 0


def _decide_public(user: User, ownership: Ownership) -> Verdict:
    """As the owner where they are: then the port stays open to them when it is public no more."""
    if user.state != "active":
        return Denied(f"user {user.id} is {user.state}")
    return Granted(user, ownership.workspace if ownership.is_owner else None)


def _decide_internal(user: User, ownership: Ownership) -> Verdict:
    """An external owner is no member, but it is their port."""
    if ownership.is_owner and user.is_active_human:
        return Granted(user, ownership.workspace)
    if user.is_member:
        return Granted(user)
    return Denied(f"user {user.id} is no member")


def _decide_owner(ownership: Ownership) -> Verdict:
    if ownership.is_owner:
        return Granted(ownership.visitor, ownership.workspace)
    return Denied(f"user {ownership.visitor.id} does not own it")
