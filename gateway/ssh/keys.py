"""Who enters by a public key or a certificate: a key of the owner's GitLab profile, or one that an authority certified.

A key is only parsed after its fingerprint was found in the profile, a certificate only where authorities are
configured. That a key would be accepted is told before it signs, as by every sshd (RFC 4252 section 7): whoever holds a
public key and knows a workspace's name can find out that the two belong together.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket
from asyncssh.public_key import decode_ssh_public_key

from auth.mandates import Mandate
from auth.model import Denied, Granted, Unavailable, Verdict
from auth.owners import Owner
from auth.profiles import fingerprint
from auth.remembered import Remembered
from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.authorities import Authorities
from gateway.ssh.credentials import Credential
from gateway.ssh.options import USER_CERTIFICATES, USER_KEYS
from gateway.ssh.states import is_enterable
from routing.model import Workspace


@runtime_checkable
class JudgesKeys(Protocol):
    """The owner of a client's leg, where it lets in by public keys."""

    async def validate_key(self, blob: bytes, signed: bytes, signature: bytes) -> bool:
        """Whether the key would do or, where something is signed, does. asyncssh would ask before it verifies."""


class Owners(Protocol):
    """Says whose a workspace is."""

    @property
    def can_tell(self) -> bool:
        """Whether that is known of any."""

    async def find_owner(self, workspace_id: str) -> Owner | Denied | Unavailable: ...

    def mandates(self, workspace_id: str) -> tuple[Mandate, ...]:
        """The tokens by which to act for the workspace's owner."""


class KeyAccess:
    """Decides about keys and certificates, and remembers for a while whose a workspace is."""

    def __init__(
        self, owners: Owners, authorities: Authorities, settings: SshSettings, clock: Callable[[], float]
    ) -> None:
        self._owners = owners
        self._authorities = authorities
        self._settings = settings
        self._slots = asyncio.Semaphore(limits.OWNER_QUESTIONS)
        self._known: Remembered[str, Owner | Denied | Unavailable] = Remembered(
            limits.OWNERS_MAX, self._lifetime, clock
        )

    def __repr__(self) -> str:
        return f"KeyAccess(known={len(self._known)}, authorities={self._authorities!r})"

    def adopt(self, settings: SshSettings, authorities: Authorities) -> None:
        """Believe these authorities from now on, and remember for as long as these settings say."""
        self._settings = settings
        self._authorities = authorities

    @property
    def is_offered(self) -> bool:
        """Whether clients hear of keys at all. Of no workspace alone, or that would tell which ones exist."""
        return self._owners.can_tell

    async def get_credential(self, workspace: Workspace | None, blob: bytes, address: str) -> Credential | None:
        """What this key is to the workspace, None where it opens nothing; GitLab is asked once for many keys."""
        algorithm = _algorithm(blob)
        if workspace is None or algorithm not in USER_KEYS | USER_CERTIFICATES:
            return None
        owner = await self._find_owner(workspace)
        if not isinstance(owner, Owner):
            return None
        if algorithm in USER_KEYS:
            return _key_of(owner, blob)
        credential = self._authorities.get_credential(blob, address)
        return credential if credential is not None and credential.belongs_to(owner) else None

    async def decide(self, workspace: Workspace, credential: Credential) -> Verdict:
        """May whoever signed with it enter? From memory, except that a workspace does not run."""
        owner = await self._find_owner(workspace)
        if isinstance(owner, Owner) and not is_enterable(Granted(owner.user, owner.workspace)):
            self._known.forget(workspace.id)
            owner = await self._find_owner(workspace)
        return _verdict(owner, credential)

    async def ask(self, workspace: Workspace, credential: Credential) -> Verdict:
        """The same as GitLab says now."""
        return _verdict(await self._owners.find_owner(workspace.id), credential)

    async def _find_owner(self, workspace: Workspace) -> Owner | Denied | Unavailable:
        return await self._known.find(workspace.id, lambda: self._ask(workspace.id))

    async def _ask(self, workspace_id: str) -> Owner | Denied | Unavailable:
        async with self._slots:
            return await self._owners.find_owner(workspace_id)

    def _lifetime(self, owner: Owner | Denied | Unavailable) -> float:
        match owner:
            case Owner():
                return self._settings.grant_memory
            case Unavailable():
                return limits.UNAVAILABLE_MEMORY
            case _:
                return self._settings.refusal_memory


def _verdict(owner: Owner | Denied | Unavailable, credential: Credential) -> Verdict:
    if not isinstance(owner, Owner):
        return owner
    if not credential.belongs_to(owner):
        return Denied("not a key of the owner")
    return Granted(owner.user, owner.workspace)


def _key_of(owner: Owner, blob: bytes) -> Credential | None:
    print_ = fingerprint(blob)
    if print_ not in owner.keys:
        return None
    try:
        key = decode_ssh_public_key(blob)
    except (asyncssh.KeyImportError, ValueError, OverflowError):  # an unknown curve, a modulus below zero
        return None
    key.set_touch_required(True)
    return Credential("publickey", key, lambda current: print_ in current.keys)


def _algorithm(blob: bytes) -> bytes:
    try:
        return SSHPacket(blob).get_string()
    except PacketDecodeError:
        return b""
