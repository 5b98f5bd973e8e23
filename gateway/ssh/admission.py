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
    Unavailable,
    Verdict,
)
from gateway.log import Log
from gateway.metrics import Metrics
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.pod_keys import Judgement, PodKey, PodKeys
from gateway.ssh.states import RUNNING, get_state_of_source, state_of
from gateway.ssh.upstream import Unreachable, Upstreams
from routing.model import Workspace

PERMISSION_DENIED = "Permission denied"
GITLAB_UNAVAILABLE = "GitLab is not reachable, try again"


class SshAccess(Protocol):
    """Says whether the owner of a token may enter a workspace."""

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """The user may enter, and the workspace's sshd has let the gateway in."""

    user: str
    upstream: WorkspaceLeg
    warning: str = ""


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

    def __init__(
        self,
        access: SshAccess,
        upstreams: Upstreams,
        pod_keys: PodKeys,
        metrics: Metrics,
        log: Log,
        *,
        portal_url: str = "",
    ) -> None:
        self._access = access
        self._upstreams = upstreams
        self._pod_keys = pod_keys
        self._metrics = metrics
        self._log = log
        self._portal_url = portal_url

    async def ask(self, workspace: Workspace | None, token: SecretStr) -> Admitted | Rejected | TurnedAway:
        """For a token; `workspace` is None where the name the client gave belongs to none."""
        try:
            verdict = await self._access.decide_workspace(token, workspace.id if workspace else NOBODYS_WORKSPACE)
        except GitLabFault:
            return TurnedAway("gitlab_unavailable", GITLAB_UNAVAILABLE, asyncssh.DISC_SERVICE_NOT_AVAILABLE)
        return await self.admit(workspace, verdict)

    async def admit(self, workspace: Workspace | None, verdict: Verdict) -> Admitted | Rejected | TurnedAway:
        """For a verdict that was already given."""
        match verdict:
            case Unavailable():
                return TurnedAway("gitlab_unavailable", GITLAB_UNAVAILABLE, asyncssh.DISC_SERVICE_NOT_AVAILABLE)
            case Denied(is_token_refused=True, hint=hint):
                return Rejected("scope_missing", hint) if hint else Rejected("token_refused")
            case Denied():
                return Rejected("denied")
            case Granted():
                return await self._enter(workspace, verdict) if workspace else Rejected("unknown_workspace")

    async def _enter(self, workspace: Workspace, granted: Granted) -> Admitted | TurnedAway:
        state = state_of(workspace, granted)
        if state != RUNNING:
            return self._not_running(workspace, state)
        upstream = await self._dial(workspace)
        if isinstance(upstream, Unreachable):
            self._metrics.ssh_dial_failures.labels(upstream.reason).inc()
            self._log.info("ssh.unreachable", workspace=workspace.name, reason=upstream.reason, error=upstream.operator)
            if state := get_state_of_source(workspace):  # GitLab learns of a pod's end later than we do
                return self._not_running(workspace, state)
            return TurnedAway(upstream.reason, upstream.person, asyncssh.DISC_BY_APPLICATION)
        key = upstream.get_server_host_key()
        assert key is not None  # noqa: S101 - without one there is no key exchange, and without that no login
        judgement = self._pod_keys.judge(workspace, key)
        warning = self._warn(workspace, judgement) if judgement.verdict is not PodKey.EXPECTED else ""
        if judgement.is_refused:
            upstream.kill()
            return TurnedAway("host_key", warning, asyncssh.DISC_HOST_KEY_NOT_VERIFIABLE)
        return Admitted(granted.user.username, upstream, warning)

    async def _dial(self, workspace: Workspace) -> WorkspaceLeg | Unreachable:
        with self._metrics.ssh_dial_seconds.time():
            return await self._upstreams.dial(workspace)

    def _warn(self, workspace: Workspace, judgement: Judgement) -> str:
        self._metrics.ssh_pod_key_changes.labels("refused" if judgement.is_refused else "warned").inc()
        self._log.warning(
            "audit.ssh_pod_host_key",
            workspace=workspace.name,
            verdict=judgement.verdict.value,
            seen=judgement.seen,
            expected=judgement.expected,
        )
        before = "its annotation says" if judgement.verdict is PodKey.NOT_PINNED else "before"
        return f"the sshd of workspace {workspace.name} has another host key than {before}"

    def _not_running(self, workspace: Workspace, state: str) -> TurnedAway:
        where = f", see {self._portal_url}" if self._portal_url else ""
        return TurnedAway("not_running", f"workspace {workspace.name} is {state}{where}")
