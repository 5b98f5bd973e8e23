"""Says whose a workspace is without a token of its owner: what an SSH key or certificate has to be measured against.

GitLab is asked with the gateway's own service token or, where there is none, with the token of an owner who signed in
on the portal and has not signed out since. Either way it is asked every time; nothing here remembers a yes.
"""

from dataclasses import dataclass

from cachetools import LRUCache
from pydantic import SecretStr

from auth.gitlab import GitLab
from auth.mandates import Mandate, TokenSource
from auth.model import Denied, GitLabUnavailable, TokenRefused, Unavailable, User, WorkspaceRecord
from auth.profiles import Profiles

WITNESSES_MAX = 10_000  # about 500 B each; beyond it the longest unused is forgotten, and a new sign-in teaches it


@dataclass(frozen=True, slots=True)
class Owner:
    """An active person, the workspace that is theirs, and the keys they log in with."""

    user: User
    workspace: WorkspaceRecord
    keys: frozenset[bytes]
    """Fingerprints."""


class WorkspaceOwners:
    """Asks GitLab for owners."""

    def __init__(self, gitlab: GitLab, profiles: Profiles, service_token: SecretStr) -> None:
        self._gitlab = gitlab
        self._profiles = profiles
        self._service_token = service_token
        self._witnesses: LRUCache[str, TokenSource] = LRUCache(WITNESSES_MAX)

    def __repr__(self) -> str:
        how = "by the service token" if self.has_service_token else f"by {len(self._witnesses)} sign-ins"
        return f"<WorkspaceOwners {how}>"

    def adopt(self, service_token: SecretStr) -> None:
        """Ask with this token from now on; with the owners' own where it is empty."""
        self._service_token = service_token

    @property
    def has_service_token(self) -> bool:
        """Whether owners are known without anybody having signed in."""
        return bool(self._service_token.get_secret_value().strip())

    @property
    def can_tell(self) -> bool:
        """Whether there is any workspace whose owner could be known."""
        return self.has_service_token or bool(self._witnesses)

    def learn(self, workspace_id: str, token: TokenSource) -> None:
        """Somebody whom GitLab just called the owner is signed in."""
        self._witnesses[workspace_id] = token

    def mandates(self, workspace_id: str) -> tuple[Mandate, ...]:
        """The tokens by which to act for the workspace's owner, who need not be there."""
        service = (Mandate("service", self._find_service_token),) if self.has_service_token else ()
        witness = self._witnesses.get(workspace_id)
        return (*service, Mandate("session", witness)) if witness else service

    async def find_owner(self, workspace_id: str) -> Owner | Denied | Unavailable:
        """Denied where there is no such workspace, its owner is nobody who may work now, or nobody can tell."""
        try:
            if self.has_service_token:
                return await self._ask_as_service(workspace_id)
            return await self._ask_as_owner(workspace_id)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)

    async def _find_service_token(self) -> SecretStr:
        return self._service_token

    async def _ask_as_service(self, workspace_id: str) -> Owner | Denied | Unavailable:
        try:
            workspace = (await self._gitlab.find_ownership(self._service_token, workspace_id)).workspace
            if workspace is None:
                return Denied("no workspace that auth.service_token may read")
            user = await self._profiles.get_profile(self._service_token, workspace.owner_id)
            return await self._describe(self._service_token, user, workspace)
        except TokenRefused as fault:  # says nothing about the owner, so nobody is thrown out for it
            return Unavailable(f"auth.service_token: {fault.operator}")

    async def _ask_as_owner(self, workspace_id: str) -> Owner | Denied:
        find_token = self._witnesses.get(workspace_id)
        if find_token is None:
            return Denied("its owner has not signed in here")
        try:
            token = await find_token()
            ownership = await self._gitlab.find_ownership(token, workspace_id)
            if ownership.workspace is None or not ownership.is_owner:
                self._witnesses.pop(workspace_id, None)
                return Denied("whoever signed in is no longer its owner")
            return await self._describe(token, await self._gitlab.find_user(token), ownership.workspace)
        except TokenRefused as fault:
            self._witnesses.pop(workspace_id, None)
            return Denied(f"the sign-in of its owner: {fault.operator}")

    async def _describe(self, token: SecretStr, user: User | None, workspace: WorkspaceRecord) -> Owner | Denied:
        if user is None or user.id != workspace.owner_id or not user.is_active_human:
            return Denied("its owner is no active person")
        return Owner(user, workspace, await self._profiles.find_keys(token, user.id))
