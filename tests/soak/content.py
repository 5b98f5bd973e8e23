"""Bytes that tell where they belong: those of a stream are like no other stream's, and no position is like another.

Whoever sends generates them, whoever receives checks each at its position. A byte that is lost, repeated, changed or
another stream's is a `Corrupt` that says where.
"""

import hashlib
from collections.abc import Iterator

BLOCK = 16 * 1024


class Corrupt(Exception):
    """A byte that is not the one that was sent there."""


def block(seed: str, index: int) -> bytes:
    """The bytes of a stream from `index * BLOCK` on."""
    return hashlib.shake_128(f"{seed}/{index}".encode()).digest(BLOCK)


def generate(seed: str, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a stream."""
    for index in range(-(-size // BLOCK)):
        yield block(seed, index)[: size - index * BLOCK]


def content(seed: str, size: int) -> bytes:
    return b"".join(generate(seed, size))


class Checker:
    """Checks the bytes of one stream as they come, in whatever pieces."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._block = b""
        self.position = 0

    def feed(self, data: bytes) -> None:
        """The next bytes.

        Raises:
            Corrupt: at the first that is wrong.
        """
        start = 0
        while start < len(data):
            offset = self.position % BLOCK
            if not offset:
                self._block = block(self._seed, self.position // BLOCK)
            expected, got = self._block[offset:], data[start : start + BLOCK - offset]
            if expected[: len(got)] != got:
                wrong = next(at for at, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other)
                raise Corrupt(f"{self._seed}: byte {self.position + wrong} is wrong")
            start += len(got)
            self.position += len(got)

    def end(self, size: int) -> None:
        """Nothing more comes.

        Raises:
            Corrupt: if more or fewer bytes have come.
        """
        if self.position != size:
            raise Corrupt(f"{self._seed}: {self.position} bytes instead of {size}")
