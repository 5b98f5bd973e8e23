"""Who enters by a public key or a certificate: a key of the owner's GitLab profile, or one that an authority certified.

A key is only parsed after its fingerprint was found in the profile, a certificate
only where authorities are configured. That a key would be accepted is told before it signs, as by every sshd
(RFC 4252 section 7): whoever holds a public key and knows a workspace's name can find out that the two belong together.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, runtime_checkable

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket, String
from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from auth.model import Denied, Granted, Unavailable, Verdict
from auth.owners import Owner
from auth.profiles import fingerprint
from auth.remembered import Remembered
from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.options import USER_CERTIFICATES, USER_KEYS, USER_SIGNATURES
from gateway.ssh.states import is_enterable
from routing.model import Workspace

_RSA = b"ssh-rsa"
_DAMAGED = (
    asyncssh.KeyImportError,
    ValueError,
    OverflowError,
)  # ValueError: an unknown curve; OverflowError: below zero


class AuthorityUnreadable(Exception):
    """A file of `ssh.user_ca_files` cannot be used. The text names it."""


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


@dataclass(frozen=True, slots=True)
class Credential:
    """A key that would be accepted once it has signed."""

    method: str
    """For log and metrics: publickey or certificate."""
    key: asyncssh.SSHKey
    belongs_to: Callable[[Owner], bool]

    def has_signed(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, by an algorithm that is not weak."""
        try:
            parts = SSHPacket(signature)
            algorithm = parts.get_string()
            parts.get_string()
        except PacketDecodeError:
            return False
        whole = with_whole_signature(self.key.public_data, signature)
        return algorithm in USER_SIGNATURES and self.key.verify(signed, whole)


def with_whole_signature(key: bytes, signature: bytes) -> bytes:
    """An RSA signature with the zeros that PuTTY leaves out at its front, once in 256 times, and OpenSSH puts back."""
    packet = SSHPacket(key)
    if not signature or packet.get_string() != _RSA:
        return signature
    packet.get_mpint()
    modulus = packet.get_mpint()
    parts = SSHPacket(signature)
    algorithm, number = parts.get_string(), parts.get_string()
    return String(algorithm) + String(number.rjust((modulus.bit_length() + 7) // 8, b"\0"))


class Authorities:
    """The certificate authorities of users."""

    def __init__(self, keys: Iterable[asyncssh.SSHKey]) -> None:
        self._keys = frozenset(key.public_data for key in keys)

    def __repr__(self) -> str:
        return f"Authorities({len(self._keys)})"

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find_credential(self, blob: bytes, address: str) -> Credential | None:
        """What a certificate allows a client at this address; None where it allows nothing."""
        if not self._keys:
            return None
        certificate = _parse_certificate(blob)
        if certificate is None or certificate.signing_key.public_data not in self._keys:
            return None
        if _is_signed_with_sha1(blob, certificate.signing_key):
            return None
        # Without a principal it would be everybody's, and a relay cannot keep anybody to a forced command.
        if not certificate.principals or certificate.options.get("force-command") is not None:
            return None
        try:
            certificate.validate(CERT_TYPE_USER, None)
        except ValueError:
            return None
        sources = certificate.options.get("source-address")
        if sources is not None and not _is_within(address, sources):
            return None
        principals = frozenset(certificate.principals)
        certificate.key.set_touch_required("no-touch-required" not in certificate.options)
        return Credential("certificate", certificate.key, lambda owner: owner.user.username in principals)


def load_authorities(settings: SshSettings) -> Authorities:
    """The keys of every file. Raises `AuthorityUnreadable`."""
    return Authorities(key for path in settings.user_ca_files for key in _read_authorities(path))


def _read_authorities(path: Path) -> list[asyncssh.SSHKey]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return [asyncssh.import_public_key(line) for line in lines if line.strip() and not line.startswith("#")]
    except OSError as exc:
        raise AuthorityUnreadable(f"{path}: {exc.strerror}") from exc
    except (ValueError, asyncssh.KeyImportError) as exc:
        raise AuthorityUnreadable(f"{path}: every line must be a public key such as ssh-ed25519 AAAA…") from exc


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

    @property
    def is_offered(self) -> bool:
        """Whether clients hear of keys at all. Of no workspace alone, or that would tell which ones exist."""
        return self._owners.can_tell

    async def find_credential(self, workspace: Workspace | None, blob: bytes, address: str) -> Credential | None:
        """What this key is to the workspace, None where it opens nothing; GitLab is asked once for many keys."""
        algorithm = _algorithm(blob)
        if workspace is None or algorithm not in USER_KEYS | USER_CERTIFICATES:
            return None
        owner = await self._find_owner(workspace)
        if not isinstance(owner, Owner):
            return None
        if algorithm in USER_KEYS:
            return _key_of(owner, blob)
        credential = self._authorities.find_credential(blob, address)
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
    except _DAMAGED:
        return None
    key.set_touch_required(True)
    return Credential("publickey", key, lambda current: print_ in current.keys)


def _algorithm(blob: bytes) -> bytes:
    try:
        return SSHPacket(blob).get_string()
    except PacketDecodeError:
        return b""


def _parse_certificate(blob: bytes) -> SSHOpenSSHCertificate | None:
    """None for what is damaged, is not signed by the authority it names, or has conditions nobody here knows."""
    try:
        certificate = decode_ssh_certificate(blob)
    except _DAMAGED:
        return None
    return certificate if isinstance(certificate, SSHOpenSSHCertificate) else None


def _is_signed_with_sha1(blob: bytes, authority: asyncssh.SSHKey) -> bool:
    """As RSA authorities signed before OpenSSH 8.2; a certificate ends with its signature, as long as the modulus."""
    if not isinstance(authority.pyca_key, RSAPublicKey):
        return False
    size = (authority.pyca_key.key_size + 7) // 8
    return blob[: -size - 4].endswith(String(_RSA))


def _is_within(address: str, networks: object) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return isinstance(networks, list | tuple) and any(parsed in network for network in networks)
