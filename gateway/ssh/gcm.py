"""AES-GCM for the packets of one direction of a leg (RFC 5647): the key is scheduled once, and packets stay in place.

The packet length is sent in the clear and authenticated with the rest; the 12-byte nonce is 4 fixed bytes and a number
that counts the packets, so whoever opens or seals out of order fails.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.ssh import limits
from gateway.ssh.cipher import HEADER, PacketCipher

_TAG = 16
# Holds one plain text until it is sealed again, which is before the next: the loop has one thread.
_PLAIN = memoryview(bytearray(limits.PACKET_MAX))


class GcmCipher(PacketCipher):
    """Opens or seals, never both: each direction has its own key."""

    tag = _TAG

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = nonce[:4]
        self._invocation = int.from_bytes(nonce[4:], "big")

    def __repr__(self) -> str:
        return f"GcmCipher(invocation={self._invocation})"

    @property
    def invocation(self) -> int:
        """Grows by one with each packet."""
        return self._invocation

    def open(self, packet: memoryview) -> memoryview | None:
        plain = _PLAIN[: len(packet) - HEADER - _TAG]
        try:
            self._aead.decrypt_into(self._nonce(), packet[HEADER:], packet[:HEADER], plain)
        except InvalidTag:
            return None
        return plain

    def advance(self) -> None:
        self._invocation = (self._invocation + 1) & 0xFFFFFFFFFFFFFFFF

    def seal(self, plain: bytes | memoryview, packet: memoryview) -> None:
        header = len(plain).to_bytes(HEADER, "big")
        packet[:HEADER] = header
        self._aead.encrypt_into(self._nonce(), plain, header, packet[HEADER:])
        self.advance()

    def encrypt_packet(self, _seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        sealed = self._aead.encrypt(self._nonce(), packet, header)
        self.advance()
        return header + sealed, b""

    def decrypt_packet(self, _seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        try:
            plain = self._aead.decrypt(self._nonce(), first[header_len:] + rest + mac, first[:header_len])
        except InvalidTag:
            return None
        self.advance()
        return plain

    def _nonce(self) -> bytes:
        return self._fixed + self._invocation.to_bytes(8, "big")
