"""What is written in one turn of the event loop goes out at the end of the turn, connection after connection.

Many small writes in a row cost the kernel, and whoever it wakes, less than the same writes between other work; and the
head of an answer leaves together with the body that came right behind it. Without load nothing waits for anything.
"""

import asyncio

_TURN_MAX = 64 * 1024  # bytes of one connection; whoever reads on for more has to hear that the other side is full


class Outbox:
    """All that one door has to write in this turn."""

    def __init__(self) -> None:
        self._waiting: list[Outlet] = []

    def __repr__(self) -> str:
        return f"<Outbox waiting={len(self._waiting)}>"

    def add(self, outlet: "Outlet") -> None:
        """Flush an outlet when this turn ends."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(outlet)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for outlet in waiting:
            try:
                outlet.flush()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the others of this turn are to go out
                asyncio.get_running_loop().call_exception_handler({"message": f"{outlet!r}", "exception": exc})


class Outlet:
    """The writing side of a connection; whoever also closes the transport by other means flushes it first."""

    def __init__(self, outbox: Outbox, transport: asyncio.Transport) -> None:
        self._outbox = outbox
        self._transport = transport
        self._parts: list[bytes] = []
        self._size = 0
        self.flushes = 0
        """How often something was handed to the transport."""

    def __repr__(self) -> str:
        return f"<Outlet parts={len(self._parts)}>"

    @property
    def is_flushed(self) -> bool:
        """Whether the other side took all that was written, as far as its socket tells."""
        return not self._parts and self._transport.get_write_buffer_size() == 0

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._outbox.add(self)
            self._size = 0
        self._parts.append(data)
        self._size += len(data)
        if self._size > _TURN_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the transport now; what is for a connection that ended meanwhile is dropped."""
        parts = self._parts
        if not parts:
            return
        self._parts = []
        self.flushes += 1
        if self._transport.is_closing():
            return
        if len(parts) == 1:
            self._transport.write(parts[0])
        else:
            self._transport.writelines(parts)

    def write_eof(self) -> None:
        """Write no more, after what is written (RFC 9293, section 3.6)."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection, after what is written."""
        self.flush()
        self._transport.close()
