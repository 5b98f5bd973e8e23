"""The gateway's own part of the suite takes every signature that sshd takes."""

from itertools import count

import asyncssh
from asyncssh.packet import SSHPacket, String

from gateway.ssh.credentials import with_whole_signature


def test_an_rsa_signature_without_its_zeros_is_made_whole() -> None:
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    message, whole = next(pair for pair in (sign(key, number) for number in count()) if number_of(pair[1])[0] == 0)
    short = String("rsa-sha2-256") + String(number_of(whole).lstrip(b"\0"))

    public = key.convert_to_public()
    assert not public.verify(message, short)
    assert public.verify(message, with_whole_signature(key.public_data, short))
    assert with_whole_signature(key.public_data, whole) == whole


def test_other_signatures_and_none_are_left_alone() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    signature = key.sign(b"x", b"ssh-ed25519")

    assert [with_whole_signature(key.public_data, each) for each in (signature, b"")] == [signature, b""]


def sign(key: asyncssh.SSHKey, number: int) -> tuple[bytes, bytes]:
    """A message and its signature."""
    message = str(number).encode()
    return message, key.sign(message, b"rsa-sha2-256")


def number_of(signature: bytes) -> bytes:
    packet = SSHPacket(signature)
    packet.get_string()
    return packet.get_string()
