"""AES-CTR with encrypt-then-MAC (OpenSSH's PROTOCOL file, section 1.5), what OpenSSH before 10.0 chooses by itself.

The key stream goes on from packet to packet, so a packet is opened once: what asyncssh is then to handle, it gets from
here as it was opened.
"""

from typing import cast

from asyncssh.crypto import BasicCipher
from asyncssh.mac import MAC

from gateway.ssh.cipher import HEADER, PacketCipher


class EtmCipher(PacketCipher):
    """Goes on with asyncssh's cipher and MAC of one direction where those are."""

    def __init__(self, cipher: BasicCipher, mac: MAC, number: int) -> None:
        """`number` is that of the next packet (RFC 4253 section 6.4)."""
        self._cipher = cipher
        self._mac = mac
        self._number = number
        self._opened: bytes | None = None
        self.tag = len(mac.sign(0, b""))

    def __repr__(self) -> str:
        return f"EtmCipher(number={self._number})"

    @property
    def invocation(self) -> int:
        """Grows by one with each packet."""
        return self._number

    def open(self, packet: memoryview) -> bytes | None:
        sealed = cast("bytes", packet[: -self.tag])  # both take any buffer
        if not self._mac.verify(self._number, sealed, bytes(packet[-self.tag :])):
            return None
        self._opened = self._cipher.decrypt(sealed[HEADER:])
        return self._opened

    def advance(self) -> None:
        self._opened = None
        self._number = (self._number + 1) & 0xFFFFFFFF

    def seal(self, plain: bytes | memoryview, packet: memoryview) -> None:
        packet[:HEADER] = len(plain).to_bytes(HEADER, "big")
        packet[HEADER : -self.tag] = self._cipher.encrypt(cast("bytes", plain))
        packet[-self.tag :] = self._mac.sign(self._number, cast("bytes", packet[: -self.tag]))
        self.advance()

    def encrypt_packet(self, _seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        sealed = header + self._cipher.encrypt(packet)
        mac = self._mac.sign(self._number, sealed)
        self.advance()
        return sealed, mac

    def decrypt_packet(self, _seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        if self._opened is None and self._mac.verify(self._number, first + rest, mac):
            self._opened = self._cipher.decrypt(first[header_len:] + rest)
        plain = self._opened
        self.advance()
        return plain
