"""Where a client stands between the accept and the first word: whoever finds no place leaves without a word of SSH.

asyncssh would greet before anything could be asked about the address, so the transport is handed to it only then.
Behind a load balancer that is listed, the address is the one that its PROXY header names, and without such a header
nobody gets in; from anywhere else a header is what it looks like, no SSH.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

from config.settings import SshSettings
from gateway.ssh.internals.ends import ClientLeg
from gateway.ssh.proxy_protocol import NoProxyHeader, ProxyHeader, parse_proxy_header

FULL = b"Too many connections\r\n"  # a line before the version, which clients may show (RFC 4253 section 4.2)
BANNED = b""  # whoever guesses learns nothing of it


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end."""

    address: str
    """Empty where a socket has none."""
    port: int


Enter = Callable[[Peer], ClientLeg | bytes]
"""Makes the leg for a client, or says with which words it is turned away."""


class Doorstep(asyncio.Protocol):
    """Lets one client in, or not."""

    def __init__(self, settings: SshSettings, enter: Enter) -> None:
        self._settings = settings
        self._enter = enter
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address, port, *_ = transport.get_extra_info("peername") or ("", 0)
        peer = Peer(address, port)
        if self._is_balancer(peer):
            self._deadline = asyncio.get_running_loop().call_later(self._settings.proxy_timeout, transport.close)
        else:
            self._let_in(self._transport, peer)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - asyncio's order of calls
        self._received += data
        try:
            header = parse_proxy_header(self._received)
        except NoProxyHeader:
            self._transport.close()
            return
        if header is not None:
            self._let_in_for(self._transport, header)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _let_in_for(self, transport: asyncio.Transport, header: ProxyHeader) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not header.address:  # the balancer's own health check, which wants to see the gateway's greeting
            address, port, *_ = transport.get_extra_info("peername")
            header = ProxyHeader(address, port, header.size)
        leg = self._let_in(transport, Peer(header.address, header.port))
        if leg is not None and (rest := self._received[header.size :]):
            leg.data_received(rest)

    def _let_in(self, transport: asyncio.Transport, peer: Peer) -> ClientLeg | None:
        leg = self._enter(peer)
        if isinstance(leg, bytes):
            transport.write(leg)
            transport.close()
            return None
        leg.set_extra_info(peername=(peer.address, peer.port))
        transport.set_protocol(leg)
        leg.connection_made(transport)
        return leg

    def _is_balancer(self, peer: Peer) -> bool:
        if not self._settings.proxy_protocol:
            return False
        try:
            address = ip_address(peer.address.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._settings.proxy_protocol)
