"""The values of authentication and authorisation: users, tokens, sessions, grants, verdicts, faults.

Nothing here does I/O. A token is a `SecretStr` from the moment it is read, so no repr and no log shows it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal, Protocol

from pydantic import SecretStr

Blame = Literal["client", "upstream", "gitlab", "internal"]

NOBODYS_WORKSPACE = "0"
"""GitLab counts from 1. Asked about where there is no workspace, so that this takes as long as asking for a foreign one
and is refused alike."""

CLOCK_SKEW = 60.0
"""Seconds by which the clocks of two gateways may differ."""


class Visibility(IntEnum):
    """Who may use a port; ordered, so that the lowest of several caps is `min`."""

    PRIVATE = 0
    INTERNAL = 1
    PUBLIC = 2


class WorkspacePort(Protocol):
    """What a decision needs to know about a port of a workspace; a route of the table is one."""

    @property
    def workspace_id(self) -> str: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def port_name(self) -> str: ...
    @property
    def declared(self) -> str: ...


@dataclass(frozen=True, slots=True)
class User:
    """A GitLab user as `GET /api/v4/user` describes them (https://docs.gitlab.com/api/users/)."""

    id: int
    username: str
    state: str = "active"
    bot: bool = False
    external: bool = False

    @property
    def is_active_human(self) -> bool:
        return self.state == "active" and not self.bot

    @property
    def is_member(self) -> bool:
        """Whether `internal` ports are open to this user."""
        return self.is_active_human and not self.external


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """GitLab's own record of a workspace, readable only with a token that may read it."""

    id: str
    name: str
    owner_id: int
    actual_state: str
    """GitLab's word, such as Running, Stopped, Starting, Failed, Terminated."""
    desired_state: str = ""
    """What GitLab wants it to be: Running, RestartRequested, Stopped or Terminated."""
    desired_since: float = 0
    """Unix time at which somebody last wished for that."""

    @property
    def goal(self) -> str:
        """Where the desired state leads in the end."""
        return "Running" if self.desired_state == "RestartRequested" else self.desired_state


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a token is, and the workspace it asked for when GitLab lets that token read it."""

    visitor: User
    workspace: WorkspaceRecord | None

    @property
    def is_owner(self) -> bool:
        return self.workspace is not None and self.workspace.owner_id == self.visitor.id


@dataclass(frozen=True, slots=True)
class Tokens:
    """What GitLab's token endpoint gave for one sign-in."""

    access: SecretStr
    refresh: SecretStr
    expires: float
    """Unix time."""


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser, known to the portal by an opaque id that only its cookie holds."""

    id: SecretStr
    user: User
    tokens: Tokens
    created: float
    last_seen: float
    browser: str
    """Hash of the browser's own cookie: parallel sign-ins in one browser end together."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an anonymous visitor wanted to go, bound to the browser that asked."""

    host: str
    url: str
    """The exact original URL, query included."""
    nonce_hash: str
    """Hash of the entry nonce cookie that the browser holds for that host."""


@dataclass(frozen=True, slots=True)
class EntryCode:
    """The hand-off from the portal to a workspace host: single use, 30 s, bound to host, workspace and browser."""

    id: str
    host: str
    url: str
    nonce_hash: str
    workspace_id: str
    workspace_uid: str
    user_id: int
    username: str
    session_ref: str
    visibility: Visibility
    """The openness that let this visitor in; void once the port is less open than that."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What lets one browser use one workspace host for a few minutes."""

    host: str
    workspace_id: str
    workspace_uid: str
    user_id: int
    username: str
    session_ref: str
    """A hash of the session's id: enough to find the session, useless as a cookie."""
    visibility: Visibility
    """The openness that let this visitor in (PRIVATE for the owner): void once the port is less open than that."""
    issued: float
    expires: float

    def holds(self, now: float) -> bool:
        """Whether it has begun and not ended: a clock that was set back makes no grant live longer."""
        return self.issued - CLOCK_SKEW <= now < self.expires

    @property
    def due(self) -> float:
        """Half its life: from then on it should be renewed."""
        return (self.issued + self.expires) / 2

    def is_due(self, now: float) -> bool:
        return now >= self.due


@dataclass(frozen=True, slots=True)
class Granted:
    """The visitor may enter."""

    user: User
    workspace: WorkspaceRecord | None = None
    """GitLab's record, where the visitor entered as its owner."""
    asked: float | None = None
    """When GitLab said so, where that was not just now."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The visitor may not enter, and GitLab said so."""

    reason: str
    """For the operator; the person sees what anybody sees of an unknown host."""
    is_token_refused: bool = False
    """GitLab refused the token itself: with a new one the answer may be another."""
    hint: str = ""
    """What is wrong with the token, where the person may be told: it says nothing about the workspace."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody could say: GitLab did not answer properly. Fails closed."""

    reason: str
    retry_after: int = 5


Verdict = Granted | Denied | Unavailable


class GitLabFault(Exception):
    """Something about GitLab or a token went wrong. Never raised itself.

    `person` is safe to show to anybody, `operator` goes to the log; neither holds a token.
    """

    blame: ClassVar[Blame] = "gitlab"
    person: ClassVar[str] = "GitLab could not be asked."

    def __init__(self, operator: str) -> None:
        super().__init__(operator)
        self.operator = operator
        self.then = ""
        """Where the sign-in that failed would have led, if that is known: sealed as it came, so safe to follow."""


class GitLabUnavailable(GitLabFault):
    """GitLab did not answer, or answered with something that is no answer (5xx, 429, HTML)."""

    person: ClassVar[str] = "GitLab is not reachable, try again."

    def __init__(self, operator: str, retry_after: int = 5) -> None:
        super().__init__(operator)
        self.retry_after = retry_after


class SessionsUnavailable(GitLabUnavailable):
    """The session store cannot be asked: nobody can sign in or be asked about, as if GitLab were away."""

    blame: ClassVar[Blame] = "internal"
    person: ClassVar[str] = "Signing in is not possible at the moment, try again."


class TokenRefused(GitLabFault):
    """GitLab does not accept the token: unknown, expired, revoked, or of a blocked user."""

    blame: ClassVar[Blame] = "client"
    person: ClassVar[str] = "The GitLab token is not valid."


class ScopeMissing(TokenRefused):
    """The token is valid but lacks a scope the gateway needs."""

    person: ClassVar[str] = "token needs the read_api scope"


def refused(fault: TokenRefused) -> Denied:
    """The verdict where the token itself was refused. A value: the exception would keep the token in its traceback."""
    return Denied(fault.operator, is_token_refused=True, hint=fault.person if isinstance(fault, ScopeMissing) else "")


class SignInFailed(GitLabFault):
    """A sign-in that was not begun here, or not in this browser, or is too old, or was finished already."""

    blame: ClassVar[Blame] = "client"
    person: ClassVar[str] = "Signing in did not work."


class SignInElsewhere(SignInFailed):
    """The sign-in was begun under another browser cookie: another browser, or a tab that lost a race for the cookie."""

    def __init__(self, operator: str, then: str) -> None:
        super().__init__(operator)
        self.then = then


class SignInDenied(GitLabFault):
    """GitLab or the person said no: consent declined, account blocked, not a person at all."""

    blame: ClassVar[Blame] = "client"
    person: ClassVar[str] = "GitLab did not let you in."
