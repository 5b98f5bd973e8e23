"""The gateway's private host keys and their certificates: read from the settings, and proved to clients that ask.

Nothing here ever shows what a key consists of.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncssh
from asyncssh.packet import SSHPacket, String
from asyncssh.public_key import CERT_TYPE_HOST, SSHOpenSSHCertificate

from config.settings import SshSettings

_REQUEST_SUCCESS, _REQUEST_FAILURE = bytes((81,)), bytes((82,))  # RFC 4254 section 4
_RSA = b"ssh-rsa"
_FOREVER = 2**64 - 1  # OpenSSH's PROTOCOL.certkeys

HostKey = asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]
"""A key, alone or with a certificate of it."""


class HostKeyUnreadable(Exception):
    """A host key cannot be used. The text names where it came from, and never its content."""


def load_host_keys(settings: SshSettings) -> list[HostKey]:
    """Every configured key, the one of `ssh.host_key` first, then those that are certified."""
    keys = _load_keys(settings)
    by_public = {key.public_data: key for key in keys}
    certified: list[HostKey] = []
    for path in settings.host_certificate_files:
        certificate = _parse_certificate(_read(path), path)
        key = by_public.get(certificate.key.public_data)
        if key is None:
            raise HostKeyUnreadable(f"{path} certifies none of the host keys")
        certified.append((key, certificate))
    return [*certified, *keys]


def _load_keys(settings: SshSettings) -> list[asyncssh.SSHKey]:
    keys = []
    if settings.host_key.get_secret_value():
        keys.append(_parse(settings.host_key.get_secret_value(), "ssh.host_key"))
    keys.extend(_parse(_read(path), str(path)) for path in settings.host_key_files)
    if not keys:
        raise HostKeyUnreadable("no SSH host key: set ssh.host_key or ssh.host_key_files")
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as exc:
        raise HostKeyUnreadable(f"{path}: {exc.strerror}") from exc


def _parse(text: str, source: str) -> asyncssh.SSHKey:
    lines = text.replace("\r\n", "\n").strip() + "\n"  # Windows, and shells that drop the last newline of $(cat key)
    try:
        return asyncssh.import_private_key(lines)
    except asyncssh.KeyEncryptionError:
        problem = "is encrypted; use a key without a passphrase"
    except asyncssh.KeyImportError as exc:
        encrypted = "Passphrase" in str(exc)
        problem = (
            "is encrypted; use a key without a passphrase"
            if encrypted
            else "is no private key in PEM or OpenSSH format"
        )
    except Exception:  # noqa: BLE001 - whatever a parser thinks of a damaged key, it may quote it
        problem = "is damaged"
    raise HostKeyUnreadable(f"{source} {problem}")  # outside of the handlers: no cause may carry a piece of the key


def _parse_certificate(text: str, path: Path) -> SSHOpenSSHCertificate:
    try:
        certificate = asyncssh.import_certificate(text)
    except (asyncssh.KeyImportError, ValueError):
        certificate = None
    if not isinstance(certificate, SSHOpenSSHCertificate) or not _is_for_hosts(certificate):
        raise HostKeyUnreadable(f"{path} is no host certificate, as `ssh-keygen -h -s CA -I NAME KEY` makes it")
    return certificate


def find_expiry(keys: Sequence[HostKey]) -> float:
    """The Unix time at which the first of the certificates expires; infinity where none ever does."""
    certificates = [key[1] for key in keys if isinstance(key, tuple)]
    ends = [_read_terms(certificate)[1] for certificate in certificates]
    return min((end for end in ends if end != _FOREVER), default=math.inf)


def _is_for_hosts(certificate: SSHOpenSSHCertificate) -> bool:
    """Also where it has expired: as with sshd, that is for clients to complain about, who then look at the key."""
    return _read_terms(certificate)[0] == CERT_TYPE_HOST


def _read_terms(certificate: asyncssh.SSHCertificate) -> tuple[int, int]:
    """What kind of certificate it is, and until when it is valid."""
    packet = SSHPacket(certificate.public_data)  # its form is in OpenSSH's PROTOCOL.certkeys
    fields = 1 if b"ed25519" in packet.get_string() else 2  # of the public key, after a nonce
    for _ in range(1 + fields):
        packet.get_string()
    packet.get_uint64()  # the serial number
    kind = packet.get_uint32()
    packet.get_string()  # the key id
    packet.get_string()  # the principals
    packet.get_uint64()  # since when
    return kind, packet.get_uint64()


def prove_host_keys(
    blobs: SSHPacket,
    keys: Mapping[bytes, asyncssh.SSHKeyPair],
    session_id: bytes,
    negotiated: asyncssh.SSHKeyPair | None,
) -> bytes:
    """The answer to hostkeys-prove-00@openssh.com (OpenSSH's PROTOCOL file, section 2.5).

    `negotiated` is the key of the key exchange: OpenSSH wants RSA proofs by the algorithm of that, where it was RSA,
    certified or not.
    """
    asked: list[bytes] = []
    while blobs:
        blob = blobs.get_string()
        if blob not in keys or blob in asked:  # a packet holds thousands of one key, and a signature is no small thing
            return _REQUEST_FAILURE
        asked.append(blob)
    proofs = []
    for blob in asked:
        key = copy.copy(keys[blob])
        if key.key_algorithm == _RSA:
            is_rsa = negotiated is not None and negotiated.key_algorithm == _RSA
            key.set_sig_algorithm(negotiated.sig_algorithm if negotiated and is_rsa else b"rsa-sha2-512")
        text = String("hostkeys-prove-00@openssh.com") + String(session_id) + String(blob)
        proofs.append(String(key.sign(text)))
    return _REQUEST_SUCCESS + b"".join(proofs)
