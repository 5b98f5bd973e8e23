"""Each cipher seals and opens what asyncssh's own does, with its numbers, and says when something is not authentic."""

import os
from collections.abc import Callable

import pytest
from asyncssh.crypto import BasicCipher
from asyncssh.encryption import Encryption, get_encryption
from asyncssh.mac import get_mac

from gateway.ssh.cipher import PacketCipher
from gateway.ssh.etm import EtmCipher
from gateway.ssh.gcm import GcmCipher

KEY, MAC_KEY = os.urandom(16), os.urandom(32)
NONCE = os.urandom(11) + b"\xff"  # so that the number carries over into a second byte
COUNTER = os.urandom(16)
MAC = b"hmac-sha2-256-etm@openssh.com"
PACKET, HEADER = os.urandom(64), b"\x00\x00\x00\x40"
FIRST = 255  # the number of the first packet

Kind = tuple[Callable[[], PacketCipher], Callable[[], Encryption]]
GCM: Kind = (lambda: GcmCipher(KEY, NONCE), lambda: get_encryption(b"aes128-gcm@openssh.com", KEY, NONCE))
ETM: Kind = (
    lambda: EtmCipher(BasicCipher("aes128-ctr", KEY, COUNTER), get_mac(MAC, MAC_KEY), FIRST),
    lambda: get_encryption(b"aes128-ctr", KEY, COUNTER, MAC, MAC_KEY, etm=True),
)
both = pytest.mark.parametrize("kind", [GCM, ETM], ids=["gcm", "etm"])


def seal(cipher: PacketCipher, plain: bytes) -> bytes:
    packet = bytearray(len(HEADER) + len(plain) + cipher.tag)
    cipher.seal(plain, memoryview(packet))
    return bytes(packet)


def sealed_by(theirs: Encryption, count: int) -> list[bytes]:
    return [b"".join(theirs.encrypt_packet(FIRST + n, HEADER, PACKET)) for n in range(count)]


def ask(cipher: PacketCipher, packet: bytes) -> bytes | None:
    """As asyncssh asks for a packet."""
    first, header = cipher.decrypt_header(FIRST, packet[:16], 4)
    assert (first, header) == (packet[:16], packet[:4])
    return cipher.decrypt_packet(FIRST, first, packet[16 : -cipher.tag], 4, packet[-cipher.tag :])


@both
def test_packets_are_sealed_as_asyncssh_seals_them(kind: Kind) -> None:
    ours, theirs = kind[0](), kind[1]()

    assert [
        seal(ours, PACKET),
        *(b"".join(ours.encrypt_packet(FIRST + n, HEADER, PACKET)) for n in (1, 2)),
        seal(ours, PACKET),
    ] == sealed_by(theirs, 4)


@both
def test_what_asyncssh_sealed_is_opened_here_or_as_asyncssh_asks(kind: Kind) -> None:
    ours = kind[0]()
    for packet, is_asked_for in zip(sealed_by(kind[1](), 4), (False, True, True, False), strict=True):
        if is_asked_for:
            assert ask(ours, packet) == PACKET
        else:
            assert ours.open(memoryview(packet)) == PACKET
            ours.advance()


@both
def test_what_was_opened_may_still_be_left_to_asyncssh(kind: Kind) -> None:
    ours = kind[0]()
    packets = sealed_by(kind[1](), 3)
    for packet in packets[:2]:
        assert ours.open(memoryview(packet)) == PACKET
        assert ask(ours, packet) == PACKET
    assert ours.open(memoryview(packets[2])) == PACKET


@both
@pytest.mark.parametrize("at", [0, 4, 30, -1], ids=["length", "first", "middle", "tag"])
def test_a_changed_byte_is_noticed(kind: Kind, at: int) -> None:
    ours = kind[0]()
    changed = bytearray(sealed_by(kind[1](), 1)[0])
    changed[at] ^= 1
    packet = bytes(changed)

    assert ours.open(memoryview(packet)) is None
    assert ours.decrypt_packet(FIRST, packet[:16], packet[16 : -ours.tag], 4, packet[-ours.tag :]) is None


@pytest.mark.parametrize(
    "cipher",
    [
        GcmCipher(KEY, NONCE[:4] + b"\xff" * 8),
        EtmCipher(BasicCipher("aes128-ctr", KEY, COUNTER), get_mac(MAC, MAC_KEY), 0xFFFFFFFF),
    ],
    ids=["gcm", "etm"],
)
def test_the_number_wraps_and_no_key_is_shown(cipher: GcmCipher | EtmCipher) -> None:
    cipher.advance()

    assert cipher.invocation == 0
    assert not any(repr(key) in repr(cipher) or key.hex() in repr(cipher) for key in (KEY, MAC_KEY))
