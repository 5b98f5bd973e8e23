"""Who may enter a workspace by SSH, and what everybody else is told.

`Admission.ask` is the one path from a token to a logged-in leg: GitLab's verdict, then the workspace's state, then its
sshd. What it says to somebody who may not enter does not depend on whether the workspace exists.
"""

from collections.abc import Sequence
from typing import Protocol

import asyncssh
from pydantic import SecretStr

from auth.mandates import Mandate, mandate_of_token
from auth.model import (
    NOBODYS_WORKSPACE,
    Denied,
    GitLabFault,
    Granted,
    Unavailable,
    Verdict,
)
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.outcomes import Admitted, Outcome, Rejected, TurnedAway, gitlab_unavailable, not_running
from gateway.ssh.pod_keys import Judgement, PodKey, PodKeys
from gateway.ssh.states import RUNNING, get_state_of_source, state_of
from gateway.ssh.upstream import Unreachable, Upstreams
from gateway.ssh.waiting import Patient, WaitingRoom
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.model import Workspace


class SshAccess(Protocol):
    """Says whether the owner of a token may enter a workspace."""

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict: ...


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
        waiting: WaitingRoom | None = None,
        portal_url: str = "",
    ) -> None:
        """Without a waiting room nobody waits for a workspace that does not run."""
        self._waiting = waiting
        self._access = access
        self._upstreams = upstreams
        self._pod_keys = pod_keys
        self._metrics = metrics
        self._log = log
        self._portal_url = portal_url

    async def ask(self, workspace: Workspace | None, token: SecretStr, patient: Patient) -> Outcome:
        """For a token; `workspace` is None where the name the client gave belongs to none."""
        try:
            verdict = await self._access.decide_workspace(token, workspace.id if workspace else NOBODYS_WORKSPACE)
        except GitLabFault:
            return gitlab_unavailable()
        return await self.admit(workspace, verdict, patient, (mandate_of_token(token),))

    async def admit(
        self, workspace: Workspace | None, verdict: Verdict, patient: Patient, own: Sequence[Mandate] = ()
    ) -> Outcome:
        """For a verdict that was already given about somebody who has proved who they are."""
        match verdict:
            case Unavailable():
                return gitlab_unavailable()
            case Denied(is_token_refused=True, hint=hint):
                return Rejected("scope_missing", hint) if hint else Rejected("token_refused")
            case Denied():
                return Rejected("denied")
            case Granted():
                if workspace is None:
                    return Rejected("unknown_workspace")
                return self._judge(workspace, verdict, await self._reach(workspace, verdict, patient, own))

    async def _reach(
        self, workspace: Workspace, granted: Granted, patient: Patient, own: Sequence[Mandate]
    ) -> WorkspaceLeg | TurnedAway:
        state = state_of(workspace, granted)
        if state == RUNNING:
            upstream = await self._dial(workspace)
            if isinstance(upstream, WorkspaceLeg):
                return upstream
            self._metrics.ssh_dial_failures.labels(upstream.reason).inc()
            self._log.info("ssh.unreachable", workspace=workspace.name, reason=upstream.reason, error=upstream.operator)
            state = get_state_of_source(workspace)  # GitLab learns of a pod's end later than we do
            if not state:
                return TurnedAway(upstream.reason, upstream.person, asyncssh.DISC_BY_APPLICATION)
        if self._waiting is None:
            return not_running(workspace.name, state, self._portal_url)
        return await self._waiting.wait(workspace, granted, state, own, patient)

    def _judge(self, workspace: Workspace, granted: Granted, upstream: WorkspaceLeg | TurnedAway) -> Outcome:
        if isinstance(upstream, TurnedAway):
            return upstream
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
