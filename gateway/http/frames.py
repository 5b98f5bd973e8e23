"""Where one direction of a WebSocket stands in its frames (RFC 6455, section 5.2): lengths only, no payload is read."""

_CLOSE = 0x8  # the opcode
_LENGTH_BYTES = {126: 2, 127: 8}
_MASK_BYTES = 4
_FRAMES_MAX = 1024  # in one read; following so many tiny ones would cost more than the parting word is worth


class FrameTrack:
    """Follows frames from the first byte after the handshake on."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._has_closed = False
        self._is_lost = False

    @property
    def is_between(self) -> bool:
        """Whether another frame may be put in here: no frame is under way, and none was the last."""
        return not (self._left or self._head or self._has_closed or self._is_lost)

    def feed(self, data: bytes) -> None:
        if self._is_lost:
            return
        if self._left >= len(data):
            self._left -= len(data)
            return
        data, position = self._head + data, self._left
        self._head, self._left = b"", 0
        for _ in range(_FRAMES_MAX):
            if position >= len(data):
                break
            end = self._end_of_frame(data, position)
            if end is None:
                self._head = data[position:]
                return
            self._has_closed = self._has_closed or data[position] & 0x0F == _CLOSE
            position = end
        else:
            self._is_lost = True
        self._left = position - len(data)

    def _end_of_frame(self, data: bytes, start: int) -> int | None:
        """Where the frame that begins at `start` ends, or None where its head is not whole."""
        if len(data) < start + 2:
            return None
        length, masked = data[start + 1] & 0x7F, data[start + 1] & 0x80
        extra = _LENGTH_BYTES.get(length, 0)
        body = start + 2 + extra + (_MASK_BYTES if masked else 0)
        if len(data) < body:
            return None
        if extra:
            length = int.from_bytes(data[start + 2 : start + 2 + extra])
        return body + length
