"""A public key that would be accepted, and whether it has signed what a client asks for (RFC 4252 section 7)."""

from collections.abc import Callable
from dataclasses import dataclass

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket, String

from auth.owners import Owner
from gateway.ssh.options import USER_SIGNATURES

_RSA = b"ssh-rsa"


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
