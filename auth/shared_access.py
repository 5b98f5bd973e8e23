"""The verdict on a whole workspace for strangers with tokens, within their share of the connections to GitLab."""

from pydantic import SecretStr

from auth.access import AccessPolicy
from auth.model import GitLabUnavailable, Unavailable, Verdict
from auth.share import Share


class SharedAccess:
    """Says what `AccessPolicy` says, to so many at once."""

    def __init__(self, policy: AccessPolicy, share: Share) -> None:
        self._policy = policy
        self._share = share

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict:
        """Unavailable where there is no room in time."""
        try:
            async with self._share.slot():
                return await self._policy.decide_workspace(token, workspace_id)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
