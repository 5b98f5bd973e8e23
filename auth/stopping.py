"""Has GitLab stop a workspace that nobody uses, by the gateway's own token or the sign-in of its owner.

GitLab is asked first what the workspace is and in which state: one that it does not know by this name, or that does not
run, is left alone. Whether it is still unused is asked last, right before anything is changed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from auth.gitlab import GitLab
from auth.mandates import Mandate
from auth.model import Denied, GitLabUnavailable, ScopeMissing, TokenRefused, Unavailable
from auth.wishes import NotTold

NOBODY = Denied("there is neither auth.service_token nor a sign-in of its owner")


@dataclass(frozen=True, slots=True)
class Stopped:
    """GitLab stops it."""

    by: str
    """The kind of the mandate."""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """There is nothing to stop, or somebody who uses it."""

    reason: str


Outcome = Stopped | LeftAlone | NotTold | Denied | Unavailable


class Mandates(Protocol):
    """Knows by which tokens the gateway may act for owners who are not there."""

    def mandates(self, workspace_id: str) -> tuple[Mandate, ...]: ...


class Stopper:
    """Asks GitLab to stop workspaces."""

    def __init__(self, gitlab: GitLab, owners: Mandates) -> None:
        self._gitlab = gitlab
        self._owners = owners

    def has_mandate(self, workspace_id: str) -> bool:
        """Whether there is any token to try."""
        return bool(self._owners.mandates(workspace_id))

    async def stop(self, workspace_id: str, name: str, check_unused: Callable[[], Awaitable[bool]]) -> Outcome:
        """Stop the workspace that GitLab knows by this number and this name.

        What one token was refused for is tried with the next; of several refusals the last counts.
        """
        outcome: Outcome = NOBODY
        for mandate in self._owners.mandates(workspace_id):
            try:
                outcome = await self._stop_by(mandate, workspace_id, name, check_unused)
            except ScopeMissing as fault:
                outcome = NotTold(f"{_name(mandate)}: {fault.operator}", lacks_scope=True)
            except TokenRefused as fault:
                outcome = Denied(f"{_name(mandate)}: {fault.operator}")
            except GitLabUnavailable as fault:
                return Unavailable(fault.operator, fault.retry_after)
            if isinstance(outcome, (Stopped, LeftAlone)):
                return outcome
        return outcome

    async def resume(self, workspace_id: str) -> bool:
        """Take it back, as somebody came in the meantime; whether GitLab heard of it."""
        for mandate in self._owners.mandates(workspace_id):
            if await self._want_running(mandate, workspace_id):
                return True
        return False

    async def _stop_by(
        self, mandate: Mandate, workspace_id: str, name: str, check_unused: Callable[[], Awaitable[bool]]
    ) -> Outcome:
        token: SecretStr = await mandate.find_token()
        ownership = await self._gitlab.find_ownership(token, workspace_id)
        record = ownership.workspace
        if record is None or record.name != name:
            return Denied(f"{_name(mandate)} may read no workspace {workspace_id} with this name")
        if mandate.kind == "session" and not ownership.is_owner:
            return Denied("whoever signed in does not own it")
        if record.actual_state != "Running" or record.goal != "Running":
            return LeftAlone(f"GitLab says {record.actual_state}, and wants {record.desired_state}")
        if not await check_unused():
            return LeftAlone("somebody uses it again")
        errors = await self._gitlab.want_state(token, workspace_id, "Stopped")
        return NotTold("; ".join(errors)) if errors else Stopped(mandate.kind)

    async def _want_running(self, mandate: Mandate, workspace_id: str) -> bool:
        try:
            return not await self._gitlab.want_state(await mandate.find_token(), workspace_id, "Running")
        except (TokenRefused, GitLabUnavailable):
            return False


def _name(mandate: Mandate) -> str:
    return "auth.service_token" if mandate.kind == "service" else "the sign-in of its owner"
