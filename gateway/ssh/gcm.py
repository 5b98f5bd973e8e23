"""AES-GCM for the packets of one direction of a leg (RFC 5647): the key is scheduled once, and packets stay in place.

The packet length is sent in the clear and authenticated with the rest; the 12-byte nonce is 4 fixed bytes and a number
that counts the packets, so whoever opens or seals out of order fails.
"""

from asyncssh.encryption import Encryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.utils import Buffer

HEADER = 4
"""Bytes of the packet length in front of a packet."""
BLOCK = 16
TAG = 16


class GcmCipher(Encryption):
    """Opens or seals, never both: each direction has its own key.

    `encrypt_packet`, `decrypt_header` and `decrypt_packet` are what asyncssh calls for every packet it handles itself.
    """

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

    def open_into(self, sealed: Buffer, header: Buffer, plain: Buffer) -> bool:
        """Opens the next packet without using its number up; False if it is not authentic."""
        try:
            self._aead.decrypt_into(self._nonce(), sealed, header, plain)
        except InvalidTag:
            return False
        return True

    def advance(self) -> None:
        """The packet that was opened is dealt with."""
        self._invocation = (self._invocation + 1) & 0xFFFFFFFFFFFFFFFF

    def seal_into(self, plain: Buffer, header: Buffer, sealed: Buffer) -> None:
        """Seals the next packet; `sealed` has room for the tag."""
        self._aead.encrypt_into(self._nonce(), plain, header, sealed)
        self.advance()

    def encrypt_packet(self, _seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        sealed = self._aead.encrypt(self._nonce(), packet, header)
        self.advance()
        return header + sealed, b""

    def decrypt_header(self, _seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]

    def decrypt_packet(self, _seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        try:
            plain = self._aead.decrypt(self._nonce(), first[header_len:] + rest + mac, first[:header_len])
        except InvalidTag:
            return None
        self.advance()
        return plain

    def _nonce(self) -> bytes:
        return self._fixed + self._invocation.to_bytes(8, "big")
