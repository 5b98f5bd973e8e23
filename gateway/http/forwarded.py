"""Who a request really comes from, and what the workspace is told about it. Pure.

X-Forwarded-For, -Proto and -Port are believed only from a peer that the operator listed, and the first only as far as
the listed proxies reach: the first address from the right that is not one of them is the client. X-Forwarded-Host is
never believed: a name that decides about access is the one the request itself was sent to.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.http.headers import RequestHead

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_PORT = re.compile(rb"[0-9]{1,5}\Z")


class TrustedProxies:
    """The load balancers and ingresses in front of the gateway (`http.trusted_proxies`)."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self.adopt(networks)

    def adopt(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        """Believe these and no others from now on."""
        self._networks = networks
        self.is_trusted = lru_cache(maxsize=4096)(self._is_within)  # few proxies bring many requests

    def __repr__(self) -> str:
        return f"<TrustedProxies {', '.join(map(str, self._networks))}>"

    def _is_within(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def find_client(self, peer: str, forwarded_for: bytes) -> str:
        """The client's address, given the socket's peer and the X-Forwarded-For that came with the request."""
        if not forwarded_for or not self.is_trusted(peer):
            return peer
        client = peer
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            parsed = _parse(hop.strip())
            if parsed is None or "%" in hop:  # a network interface means nothing here, and its name may be any text
                break
            client = str(parsed)
            if not self.is_trusted(client):
                break
        return client

    def lines(self, peer: str, head: RequestHead, *, scheme: bytes, request_id: bytes, user: bytes) -> bytes:
        """The header lines that the gateway, and only the gateway, says to a workspace.

        `scheme` is what people use as far as the gateway is set to know; `user` is empty for nobody in particular.
        """
        host = head.named[b"host"]
        if self.is_trusted(peer):
            chain, proto = head.get(b"x-forwarded-for"), head.get(b"x-forwarded-proto").lower()
            hops = b"%b, %b" % (chain, peer.encode()) if chain else peer.encode()
            proto = proto if proto in _DEFAULT_PORTS else scheme
            lines = _lines(hops, proto, host, head.get(b"x-forwarded-port"), user)
        else:
            lines = _lines(peer.encode(), scheme, host, b"", user)
        return b"%bX-Request-Id: %b\r\n" % (lines, request_id)


@lru_cache(maxsize=4096)  # the clients that are here now, each on a few hosts
def _lines(hops: bytes, proto: bytes, host: bytes, port: bytes, user: bytes) -> bytes:
    told = {b"For": hops, b"Proto": proto, b"Host": host, b"Port": _port(port, host, proto)}
    lines = b"".join(b"X-Forwarded-%b: %b\r\n" % item for item in told.items())
    return lines + b"X-Workspaces-User: %b\r\n" % user if user else lines


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
