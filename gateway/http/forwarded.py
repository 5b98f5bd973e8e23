"""Who a request really comes from, and what the workspace is told about it. Pure.

X-Forwarded-For is believed only from a peer that the operator listed, and then only as far as the listed proxies
reach: the first address from the right that is not one of them is the client.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The load balancers and ingresses in front of the gateway (`http.trusted_proxies`)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def is_trusted(self, address: str) -> bool:
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

    def chain(self, peer: str, forwarded_for: bytes) -> bytes:
        """The X-Forwarded-For that the workspace receives."""
        if forwarded_for and self.is_trusted(peer):
            return forwarded_for + b", " + peer.encode()
        return peer.encode()


def forwarded_lines(*, chain: bytes, scheme: bytes, host_field: bytes, request_id: bytes, user: bytes) -> bytes:
    """The header lines that the gateway, and only the gateway, says to a workspace."""
    _, _, port = host_field.rpartition(b":")
    if not port.isdigit():
        port = b"443" if scheme == b"https" else b"80"
    lines = (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Port: %b\r\n"
        b"X-Request-Id: %b\r\n" % (chain, scheme, host_field, port, request_id)
    )
    return lines + b"X-Workspaces-User: %b\r\n" % user if user else lines


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped  # a dual-stack socket shows IPv4 peers so
    return parsed
