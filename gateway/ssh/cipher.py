"""What a cipher must do for packets to pass without asyncssh: open them where they lie, and seal them where they go.

All ciphers here leave the packet length readable and out of the padding, so a plain text of one, with its padding, is a
plain text of any other.
"""

from abc import abstractmethod

from asyncssh.encryption import Encryption

HEADER = 4
"""Bytes of the packet length in front of a packet (RFC 4253 section 6)."""
BLOCK = 16
"""Bytes of which a plain text is a multiple: all ciphers offered are AES."""


class PacketCipher(Encryption):
    """Opens or seals the packets of one direction of a leg, in order.

    `encrypt_packet`, `decrypt_header` and `decrypt_packet` are what asyncssh calls for every packet it handles itself.
    """

    tag: int
    """Bytes behind each packet that authenticate it."""

    @abstractmethod
    def open(self, packet: memoryview) -> bytes | memoryview | None:
        """The plain text of the next packet, to be used at once; None if it is not authentic.

        Next comes either `advance`, or asyncssh asks for the same packet.
        """

    @abstractmethod
    def advance(self) -> None:
        """The packet that was opened is dealt with."""

    @abstractmethod
    def seal(self, plain: bytes | memoryview, packet: memoryview) -> None:
        """Makes the next packet of a plain text; `packet` has the length of all of it."""

    def decrypt_header(self, _seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]
