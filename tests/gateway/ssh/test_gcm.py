"""The cipher seals and opens what asyncssh's own does, with its numbers, and says when something is not authentic."""

import os

import pytest
from asyncssh.encryption import GCMEncryption

from gateway.ssh.gcm import TAG, GcmCipher

KEY, NONCE = os.urandom(16), os.urandom(11) + b"\xff"  # so that the number carries over into a second byte
PACKET, HEADER = os.urandom(64), b"\x00\x00\x00\x40"


def asyncsshs() -> GCMEncryption:
    return GCMEncryption.new("aes128-gcm", KEY, NONCE)


def test_packets_are_sealed_as_asyncssh_seals_them() -> None:
    ours, theirs = GcmCipher(KEY, NONCE), asyncsshs()
    expected = [b"".join(theirs.encrypt_packet(0, HEADER, PACKET)) for _ in range(3)]
    sealed = bytearray(len(PACKET) + TAG)
    ours.seal_into(PACKET, HEADER, sealed)

    assert [HEADER + sealed, *(b"".join(ours.encrypt_packet(0, HEADER, PACKET)) for _ in range(2))] == expected


def test_what_asyncssh_sealed_is_opened_in_place_or_as_asyncssh_asks() -> None:
    theirs, ours = asyncsshs(), GcmCipher(KEY, NONCE)
    first, second = (b"".join(theirs.encrypt_packet(0, HEADER, PACKET)) for _ in range(2))
    plain = bytearray(len(PACKET))

    assert ours.open_into(first[4:], HEADER, plain)
    ours.advance()
    assert plain == PACKET
    assert ours.decrypt_header(0, second[:16], 4) == (second[:16], HEADER)
    assert ours.decrypt_packet(0, second[:16], second[16:-TAG], 4, second[-TAG:]) == PACKET


def test_opening_alone_uses_no_number_up() -> None:
    ours = GcmCipher(KEY, NONCE)
    first = b"".join(asyncsshs().encrypt_packet(0, HEADER, PACKET))
    before = ours.invocation

    assert ours.open_into(first[4:], HEADER, bytearray(len(PACKET)))
    assert ours.invocation == before
    assert ours.decrypt_packet(0, first[:16], first[16:-TAG], 4, first[-TAG:]) == PACKET
    assert ours.invocation == before + 1


@pytest.mark.parametrize("at", [0, 4, 30, -1], ids=["length", "first", "middle", "tag"])
def test_a_changed_byte_is_noticed(at: int) -> None:
    ours = GcmCipher(KEY, NONCE)
    packet = bytearray(b"".join(asyncsshs().encrypt_packet(0, HEADER, PACKET)))
    packet[at] ^= 1
    first, rest, tag = bytes(packet[:16]), bytes(packet[16:-TAG]), bytes(packet[-TAG:])

    assert not ours.open_into(packet[4:], packet[:4], bytearray(len(PACKET)))
    assert ours.decrypt_packet(0, first, rest, 4, tag) is None


def test_the_number_wraps_and_the_key_is_not_shown() -> None:
    ours = GcmCipher(KEY, NONCE[:4] + b"\xff" * 8)
    ours.advance()

    assert ours.invocation == 0
    assert KEY.hex() not in repr(ours)
    assert repr(KEY) not in repr(ours)
