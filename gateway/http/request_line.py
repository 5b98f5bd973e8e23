"""Request targets with bytes beyond ASCII: refused by llhttp, understood by servers, sent by real clients.

llhttp is shown `~` in their place, which changes neither a length nor a boundary, and the target that goes on is taken
from the bytes as they came. Only a request line at the start of a read is looked at: where a pipelined one begins
inside a read only llhttp knows, and it answers such a target with 400.
"""

_MASK = bytes(range(128)) + b"~" * 128


class RequestLine:
    """The line that begins a request, as it came."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._is_open = False
        self.is_masked = False
        """Whether llhttp was shown anything else than what came."""

    def mask(self, data: bytes, *, begins: bool) -> bytes:
        """A read as llhttp may see it. `begins` is true for a read with which a request may begin."""
        if begins:
            self._parts, self._is_open, self.is_masked = [], True, False
        if not self._is_open:
            return data
        if begins and b"\n" in data and data.isascii():  # as nearly all are: whole, and nothing to mask
            self._is_open = False
            return data
        end = data.find(b"\n") + 1
        self._is_open = not end
        line = data[:end] if end else data
        self._parts.append(line)
        if line.isascii():
            return data
        self.is_masked = True
        return line.translate(_MASK) + data[len(line) :]

    def unmask(self, target: bytes) -> bytes:
        """The target as it came, given what llhttp took for it in its place; once, as the next one was not masked."""
        self.is_masked = False
        line = b"".join(self._parts)
        start = line.translate(_MASK).find(b" " + target) + 1
        return line[start : start + len(target)]
