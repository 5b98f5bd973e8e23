"""How a leg ends: what is said, made safe for a terminal, and how the last bytes still arrive."""

import asyncio
from dataclasses import dataclass

from asyncssh.packet import Boolean, String

from gateway.ssh import limits


@dataclass(frozen=True, slots=True)
class Parting:
    """Why a leg ended, as a DISCONNECT says it (RFC 4253 section 11.1)."""

    code: int
    text: str


_MSG_DEBUG = 4


def make_printable(text: str) -> str:
    """`text` without anything a terminal would act on, and of a length that a person would read."""
    return "".join(char if char.isprintable() else " " for char in text[: limits.PARTING_TEXT]).strip()


def make_note(text: str) -> bytes:
    """A packet with a text for the person at the other end, to be shown always (RFC 4253 section 11.3)."""
    return bytes((_MSG_DEBUG,)) + Boolean(True) + String(text) + String("")  # noqa: FBT003 - the field of that name


class Linger(asyncio.Protocol):
    """Takes over a transport and lets its peer take our last bytes, dropping what it still sends.

    A socket closed with unread input resets the connection, and the reset overtakes the end of the output
    (RFC 1122 section 4.2.2.13), so we close our direction only, and the rest once the peer has closed its own.
    """

    def __init__(self, transport: asyncio.Transport, gone: "asyncio.Future[None]") -> None:
        self._gone = gone
        self._deadline = asyncio.get_running_loop().call_later(limits.LINGER, transport.abort)
        transport.pause_reading()  # uvloop keeps to the kind of protocol that it began to read for
        transport.set_protocol(self)
        transport.resume_reading()
        transport.write_eof()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._deadline.cancel()
        if not self._gone.done():
            self._gone.set_result(None)
