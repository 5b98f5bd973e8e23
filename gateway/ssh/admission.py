"""Who may enter a workspace by SSH, and what everybody else is told.

`Admission.ask` is the one path from a token to a logged-in leg: GitLab's verdict, then the workspace's state, then its
sshd. What it says to somebody who may not enter does not depend on whether the workspace exists.
"""

from dataclasses import dataclass
from typing import Protocol

import asyncssh
from pydantic import SecretStr

from auth.model import (
    NOBODYS_WORKSPACE,
    Denied,
    GitLabFault,
    Granted,
    ScopeMissing,
    TokenRefused,
    Unavailable,
    Verdict,
)
from gateway.ssh.internals import WorkspaceLeg
from gateway.ssh.upstream import Unreachable, Upstreams
from gateway.telemetry import Metrics
from routing.model import Workspace, WorkspaceState

PERMISSION_DENIED = "Permission denied"
GITLAB_UNAVAILABLE = "GitLab is not reachable, try again"

_RUNNING = "Running"
_NO_STATE = frozenset(("", "Unknown"))
_STATE_OF_SOURCE = {WorkspaceState.STOPPED: "Stopped", WorkspaceState.STARTING: "Starting"}


class SshAccess(Protocol):
    """Says whether the owner of a token may enter a workspace. Raises `TokenRefused` or `ScopeMissing`."""

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """The user may enter, and the workspace's sshd has let the gateway in."""

    user: str
    upstream: WorkspaceLeg


@dataclass(frozen=True, slots=True)
class Rejected:
    """The token does not open this workspace; another one might."""

    reason: str
    banner: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """No further try would help now."""

    reason: str
    text: str
    code: int = asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE


class Admission:
    """From a token to a leg into the workspace, or to the reason why not."""

    def __init__(self, access: SshAccess, upstreams: Upstreams, metrics: Metrics, portal_url: str) -> None:
        self._access = access
        self._upstreams = upstreams
        self._metrics = metrics
        self._portal_url = portal_url

    async def ask(self, workspace: Workspace | None, token: SecretStr) -> Admitted | Rejected | TurnedAway:
        """`workspace` is None where the name the client gave belongs to none."""
        try:
            verdict = await self._access.decide_workspace(token, workspace.id if workspace else NOBODYS_WORKSPACE)
        except ScopeMissing as fault:
            return Rejected("scope_missing", fault.person)
        except TokenRefused:
            return Rejected("token_refused")
        except GitLabFault:
            return TurnedAway("gitlab_unavailable", GITLAB_UNAVAILABLE, asyncssh.DISC_SERVICE_NOT_AVAILABLE)
        match verdict:
            case Unavailable():
                return TurnedAway("gitlab_unavailable", GITLAB_UNAVAILABLE, asyncssh.DISC_SERVICE_NOT_AVAILABLE)
            case Denied():
                return Rejected("denied")
            case Granted():
                return await self._enter(workspace, verdict) if workspace else Rejected("unknown_workspace")

    async def _enter(self, workspace: Workspace, granted: Granted) -> Admitted | TurnedAway:
        state = _state(workspace, granted)
        if state != _RUNNING:
            return self._not_running(workspace, state)
        upstream = await self._upstreams.dial(workspace)
        if isinstance(upstream, Unreachable):
            self._metrics.ssh_dial_failures.labels(upstream.reason).inc()
            if workspace.state in _STATE_OF_SOURCE:  # GitLab learns of a pod's end later than we do
                return self._not_running(workspace, _STATE_OF_SOURCE[workspace.state])
            return TurnedAway(upstream.reason, upstream.person, asyncssh.DISC_BY_APPLICATION)
        return Admitted(granted.user.username, upstream)

    def _not_running(self, workspace: Workspace, state: str) -> TurnedAway:
        where = f", see {self._portal_url}" if self._portal_url else ""
        return TurnedAway("not_running", f"workspace {workspace.name} is {state}{where}")


def is_enterable(granted: Granted) -> bool:
    """Whether GitLab knows of nothing that keeps the workspace shut."""
    return granted.workspace is None or granted.workspace.actual_state in (_RUNNING, *_NO_STATE)


def _state(workspace: Workspace, granted: Granted) -> str:
    """GitLab's word, or what the source of routes knows where GitLab has none."""
    state = granted.workspace.actual_state if granted.workspace else ""
    return _STATE_OF_SOURCE.get(workspace.state, _RUNNING) if state in _NO_STATE else state
