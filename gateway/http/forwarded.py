"""Who a request really comes from, and what the workspace is told about it. Pure.

X-Forwarded-For, -Proto and -Port are believed only from a peer that the operator listed, and the first only as far as
the listed proxies reach: the first address from the right that is not one of them is the client. X-Forwarded-Host is
never believed: a name that decides about access is the one the request itself was sent to.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.http.headers import RequestHead

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_PORT = re.compile(rb"[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The load balancers and ingresses in front of the gateway (`http.trusted_proxies`)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def is_trusted(self, address: str) -> bool:
        if not self.networks:
            return False
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self.networks)

    def find_client(self, peer: str, forwarded_for: bytes) -> str:
        """The client's address, given the socket's peer and the X-Forwarded-For that came with the request."""
        if not forwarded_for or not self.is_trusted(peer):
            return peer
        client = peer
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            parsed = _parse(hop.strip())
            if parsed is None:
                break
            client = str(parsed)
            if not self.is_trusted(client):
                break
        return client

    def lines(self, peer: str, head: RequestHead, *, scheme: bytes, request_id: bytes, user: bytes) -> bytes:
        """The header lines that the gateway, and only the gateway, says to a workspace.

        `scheme` is what people use as far as the gateway is set to know; `user` is empty for nobody in particular.
        """
        told = head.get if self.is_trusted(peer) else _nothing
        chain = told(b"x-forwarded-for")
        proto = told(b"x-forwarded-proto").lower()
        proto = proto if proto in _DEFAULT_PORTS else scheme
        host = head.named[b"host"]
        lines = (
            b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Port: %b\r\n"
            b"X-Request-Id: %b\r\n"
            % (
                chain + b", " + peer.encode() if chain else peer.encode(),
                proto,
                host,
                _port(told(b"x-forwarded-port"), host, proto),
                request_id,
            )
        )
        return lines + b"X-Workspaces-User: %b\r\n" % user if user else lines


def _nothing(_name: bytes) -> bytes:
    return b""


def _port(told: bytes, host: bytes, scheme: bytes) -> bytes:
    if _PORT.match(told):
        return told
    _, _, port = host.rpartition(b":")
    return port if port.isdigit() else _DEFAULT_PORTS[scheme]


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped  # a dual-stack socket shows IPv4 peers so
    return parsed
