"""The way past asyncssh, for those who open and seal the packets of a leg themselves."""

import time

from asyncssh.encryption import Encryption, ETMEncryption, GCMEncryption

from gateway.ssh.cipher import PacketCipher
from gateway.ssh.etm import EtmCipher
from gateway.ssh.gcm import GcmCipher
from gateway.ssh.internals.leg import Leg

_OPEN_LENGTH = PacketCipher | GCMEncryption | ETMEncryption


class Bypass:
    """What asyncssh knows of a leg's packets, and must be told of those that it does not see."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    @property
    def is_at_packet(self) -> bool:
        """Whether the next byte received is the first of a packet whose length can be read as it is."""
        leg = self._leg
        is_between = leg._transport is not None and leg._recv_handler == leg._recv_pkthdr
        return is_between and isinstance(leg._recv_encryption, _OPEN_LENGTH)

    @property
    def tag(self) -> int:
        """Bytes behind a packet received that authenticate it."""
        return self._leg._recv_macsize

    @property
    def opener(self) -> PacketCipher | None:
        """What opens the packets received, where others than asyncssh may."""
        leg = self._leg
        leg._recv_encryption = _taken_over(leg._recv_encryption, leg._recv_seq)
        is_free = leg._kex is None and leg._sink is not None
        return leg._recv_encryption if is_free and isinstance(leg._recv_encryption, PacketCipher) else None

    @property
    def sealer(self) -> PacketCipher | None:
        """What seals the packets to be sent, where others than asyncssh may."""
        leg = self._leg
        leg._send_encryption = _taken_over(leg._send_encryption, leg._send_seq)
        is_rekey_due = leg._rekey_bytes_sent >= leg._rekey_bytes or time.monotonic() >= leg._rekey_time
        is_free = leg._kex_complete and leg._sink is not None and not is_rekey_due
        return leg._send_encryption if is_free and isinstance(leg._send_encryption, PacketCipher) else None

    def take_unparsed(self) -> bytes:
        """What asyncssh holds of a packet that has not arrived in full."""
        leg = self._leg
        if leg._recv_handler == leg._recv_packet and isinstance(leg._recv_encryption, _OPEN_LENGTH):
            leg._inpbuf, leg._packet = leg._packet + leg._inpbuf, b""  # it has read the length and no more
            leg._recv_handler = leg._recv_pkthdr
        unparsed, leg._inpbuf = leg._inpbuf, b""
        return unparsed

    def keep_unparsed(self, rest: bytes) -> None:
        """Gives asyncssh back what was taken, or what has come since."""
        self._leg._inpbuf = rest

    def note_opened(self, packets: int) -> None:
        """As many packets were received and opened."""
        self._leg._auth_final = True
        self._leg._recv_seq = (self._leg._recv_seq + packets) & 0xFFFFFFFF

    def send_sealed(self, data: memoryview, packets: int) -> None:
        """Sends packets that `sealer` has sealed, in order."""
        leg = self._leg
        if leg.has_room():
            leg._send_seq = (leg._send_seq + packets) & 0xFFFFFFFF
            leg._rekey_bytes_sent += len(data)
            leg._send(data)


def _taken_over(encryption: Encryption | None, number: int) -> Encryption | None:
    """The same cipher, where it can be, for those who open or seal the packet of this number without asyncssh."""
    if type(encryption) is GCMEncryption:
        return GcmCipher(encryption._cipher._key, encryption._cipher._iv)
    if type(encryption) is ETMEncryption:
        return EtmCipher(encryption._cipher, encryption._mac, number)
    return encryption
