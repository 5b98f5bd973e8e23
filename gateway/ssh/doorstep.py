"""Where a client stands between the accept and the first word: whoever finds no place leaves without a word of SSH.

asyncssh would greet before anything could be asked about the address, so the transport is handed to it only then.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.ssh.internals import ClientLeg

FULL = b"Too many connections\r\n"  # a line before the version, which clients may show (RFC 4253 section 4.2)
BANNED = b""  # whoever guesses learns nothing of it


class Doorstep(asyncio.Protocol):
    """Lets one client in, or not."""

    def __init__(self, enter: Callable[[str], ClientLeg | bytes]) -> None:
        """`enter` makes the leg for a client from this address, or says with which words it is turned away."""
        self._enter = enter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        host, *_ = stream.get_extra_info("peername") or ("",)
        leg = self._enter(host)
        if isinstance(leg, bytes):
            stream.write(leg)
            stream.close()
            return
        stream.set_protocol(leg)
        leg.connection_made(stream)
