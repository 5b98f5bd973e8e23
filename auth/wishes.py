"""Tells GitLab what the owner of a workspace wishes, that it runs or that it stops, by the first token that may.

Whose the workspace is, GitLab is asked each time and before anything is changed; nothing here remembers. What is wished
already is not told again, so that many who wish the same change nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from auth.gitlab import GitLab
from auth.mandates import Mandate
from auth.model import Denied, GitLabUnavailable, ScopeMissing, TokenRefused, Unavailable, WorkspaceRecord, refused

Wish = Literal["Running", "Stopped"]
"""GitLab's word for the state that is desired."""

COMING = frozenset({"CreationRequested", "Starting", "Running", "Stopping", "Stopped", "Unknown"})
"""GitLab's actual states from which a workspace that was asked to run gets there; Stopped until its agent reports."""


@dataclass(frozen=True, slots=True)
class Told:
    """GitLab knows the wish."""

    workspace: WorkspaceRecord
    """As it was before."""
    by: str
    """The kind of the mandate."""
    is_new: bool
    """Whether GitLab wanted something else before."""


@dataclass(frozen=True, slots=True)
class NotTold:
    """GitLab would not."""

    reason: str
    """GitLab's own words."""
    lacks_scope: bool = False
    """Whether it is only that the token may read and not change: it lacks the scope api."""


class Wishes:
    """Speaks to GitLab for owners."""

    def __init__(self, gitlab: GitLab) -> None:
        self._gitlab = gitlab

    async def tell(
        self, wish: Wish, workspace_id: str, owner_id: int, mandates: Iterable[Mandate]
    ) -> Told | NotTold | Denied | Unavailable:
        """Have GitLab want this state for the workspace of this person.

        What only one token was refused for is tried with the next; of several such refusals the first counts that
        says what is missing.
        """
        worst: NotTold | Denied = Denied("there is no token by which to act for its owner")
        for mandate in mandates:
            outcome = await self._tell_by(mandate, wish, workspace_id, owner_id)
            match outcome:
                case Denied() if not isinstance(worst, NotTold):
                    worst = outcome
                case NotTold(lacks_scope=True) if not isinstance(worst, NotTold):
                    worst = outcome
                case Told() | Unavailable() | NotTold(lacks_scope=False):
                    return outcome
        return worst

    async def find_record(
        self, workspace_id: str, owner_id: int, mandates: Iterable[Mandate]
    ) -> WorkspaceRecord | Denied | Unavailable:
        """GitLab's record of the workspace, if it is this person's."""
        refusal = Denied("there is no token by which to ask for its owner")
        for mandate in mandates:
            outcome = await self._find_by(mandate, workspace_id, owner_id)
            if not isinstance(outcome, Denied):
                return outcome
            refusal = outcome
        return refusal

    async def _tell_by(
        self, mandate: Mandate, wish: Wish, workspace_id: str, owner_id: int
    ) -> Told | NotTold | Denied | Unavailable:
        record = await self._find_by(mandate, workspace_id, owner_id)
        if not isinstance(record, WorkspaceRecord):
            return record
        if record.goal == wish:
            return Told(record, mandate.kind, is_new=False)
        try:
            errors = await self._gitlab.want_state(await mandate.find_token(), workspace_id, wish)
        except ScopeMissing as fault:
            return NotTold(fault.operator, lacks_scope=True)
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
        return NotTold("; ".join(errors)) if errors else Told(record, mandate.kind, is_new=True)

    async def _find_by(
        self, mandate: Mandate, workspace_id: str, owner_id: int
    ) -> WorkspaceRecord | Denied | Unavailable:
        try:
            record = (await self._gitlab.find_ownership(await mandate.find_token(), workspace_id)).workspace
        except TokenRefused as fault:
            return refused(fault)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
        if record is None or record.owner_id != owner_id:
            return Denied(f"user {owner_id} does not own it")
        return record
