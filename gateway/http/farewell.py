"""The last moments of a client that was told why it is closed: it is listened to, and not heard, until it leaves.

Bytes that nobody reads would have the kernel reset the connection, and what was said last be thrown away with it
(RFC 9112, section 9.6; RFC 6455, section 7.1.1, has the server close only after the client).
"""

import asyncio
from collections.abc import Callable

SECONDS = 5  # for a client to leave by itself; who hears "going away" does so in a round trip
_TLS_SECONDS = 1  # where our end of writing cannot be told without closing, so that some wait for us


class Farewell(asyncio.Protocol):
    """Takes over a client's transport, whose last words are written."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[], None]) -> None:
        """`lost` is called when the client is no more."""
        self._transport = transport
        self._lost = lost
        transport.set_protocol(self)
        transport.resume_reading()
        has_end = transport.can_write_eof()
        if has_end:
            transport.write_eof()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(SECONDS if has_end else _TLS_SECONDS, self._end)

    def data_received(self, data: bytes) -> None:
        """Nobody is there for it."""

    def connection_lost(self, _exc: Exception | None) -> None:
        self._deadline.cancel()
        self._lost()
        del self._lost, self._transport  # of which the first leads to the tunnel, and from there to the second

    def _end(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # whoever has taken nothing until now would be waited for as long as they like
        else:
            self._transport.close()
