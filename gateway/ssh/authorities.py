"""The certificate authorities of users: what their certificates allow, and to whom (OpenSSH's PROTOCOL.certkeys)."""

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import asyncssh
from asyncssh.packet import String
from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificate, decode_ssh_certificate
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from config.settings import SshSettings
from gateway.ssh.credentials import Credential

_RSA = b"ssh-rsa"
_DAMAGED = (asyncssh.KeyImportError, ValueError, OverflowError)  # the last for an RSA modulus below zero


class AuthorityUnreadable(Exception):
    """A file of `ssh.user_ca_files` cannot be used. The text names it."""


class Authorities:
    """The certificate authorities of users."""

    def __init__(self, keys: Iterable[asyncssh.SSHKey]) -> None:
        self._keys = frozenset(key.public_data for key in keys)

    def __repr__(self) -> str:
        return f"Authorities({len(self._keys)})"

    def __len__(self) -> int:
        return len(self._keys)

    def get_credential(self, blob: bytes, address: str) -> Credential | None:
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
