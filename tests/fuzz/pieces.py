"""Cuts the bytes of a fuzzer into what a target needs; when they are used up, everything is empty or 0."""


class Pieces:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def has_more(self) -> bool:
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        """As many, or what is left."""
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken

    def number(self, below: int) -> int:
        """A number below 256, of one byte."""
        return (self.take(1) or b"\0")[0] % below

    def string(self) -> bytes:
        """A byte that says how many follow, and these."""
        return self.take(self.number(256))

    def rest(self) -> bytes:
        return self.take(len(self._data))
