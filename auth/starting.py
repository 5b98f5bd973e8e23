"""Starts a workspace for its owner, and says how far GitLab is with it. Only what GitLab says now counts."""

from dataclasses import dataclass

from pydantic import SecretStr

from auth.gitlab import GitLab
from auth.login import Login
from auth.model import Denied, GitLabUnavailable, TokenRefused, Unavailable, WorkspaceRecord, refused
from auth.sessions import SessionStore

COMING = frozenset({"CreationRequested", "Starting", "Running", "Stopping", "Stopped", "Unknown"})
"""GitLab's actual states from which a workspace that was asked to run gets there; Stopped until its agent reports."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """GitLab would not."""

    reason: str
    """GitLab's own words, for the operator."""


Progress = WorkspaceRecord | NotStarted | Denied | Unavailable


class Starter:
    """Speaks to GitLab as the person of a session."""

    def __init__(self, gitlab: GitLab, login: Login, sessions: SessionStore) -> None:
        self._gitlab = gitlab
        self._login = login
        self._sessions = sessions

    async def start(self, session_ref: str, workspace_id: str) -> Progress:
        """Ask GitLab to run the workspace, if it is this person's."""
        return await self._as_owner(session_ref, workspace_id, is_start=True)

    async def find_progress(self, session_ref: str, workspace_id: str) -> Progress:
        """GitLab's record of the workspace, if it is this person's."""
        return await self._as_owner(session_ref, workspace_id, is_start=False)

    async def _as_owner(self, session_ref: str, workspace_id: str, *, is_start: bool) -> Progress:
        try:
            session = await self._sessions.get(session_ref)
            if session is None:
                return Denied("the session ended")
            token = await self._login.fresh_token(session)
            return await self._ask(token, workspace_id, is_start=is_start)
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)

    async def _ask(self, token: SecretStr, workspace_id: str, *, is_start: bool) -> Progress:
        ownership = await self._gitlab.find_ownership(token, workspace_id)
        if ownership.workspace is None or not ownership.is_owner:
            return Denied(f"user {ownership.visitor.id} does not own it")
        if is_start and (errors := await self._gitlab.start_workspace(token, workspace_id)):
            return NotStarted("; ".join(errors))
        return ownership.workspace
