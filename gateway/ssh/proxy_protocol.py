"""Reads the PROXY protocol's header, by which a load balancer says whose connection it forwards (HAProxy's
proxy-protocol.txt, versions 1 and 2). Pure: bytes in, a header out.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_V1_START = b"PROXY "
_V1_MAX = 107  # bytes of a line with its end, section 2.1
_V2_START = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD = 16
_V2_MAX = 4096  # bytes after the head: addresses take 36, the rest are notes (TLVs) that nobody here reads
_LOCAL, _PROXY = 0x20, 0x21
_STREAM = {0x11: (IPv4Address, 4), 0x21: (IPv6Address, 16)}


class NoProxyHeader(Exception):
    """What came is no PROXY header, and never will be."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Where a connection comes from."""

    address: str
    """Empty where the load balancer speaks for itself, as in its health checks, or does not know."""
    port: int
    size: int
    """Bytes of the header; what follows is the client's."""


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """None while more is needed. Raises `NoProxyHeader`."""
    if data.startswith(_V2_START[: len(data)]):
        return _parse_v2(data) if len(data) >= _V2_HEAD else None
    if data.startswith(_V1_START[: len(data)]):
        return _parse_v1(data)
    raise NoProxyHeader("no PROXY header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_V1_MAX].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_MAX:
            raise NoProxyHeader("a line without an end")
        return None
    size = len(line) + len(end)
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return ProxyHeader("", 0, size)
        case [_, b"TCP4" | b"TCP6" as family, source, _, port, _]:
            kind = IPv4Address if family == b"TCP4" else IPv6Address
            return ProxyHeader(_address(kind, source), _port(port), size)
    raise NoProxyHeader("a line of another form")


def _address(kind: type[IPv4Address] | type[IPv6Address], text: bytes) -> str:
    if b"%" in text:
        raise NoProxyHeader("an address with a network interface, which says nothing on another machine")
    try:
        return str(kind(text.decode("ascii")))
    except ValueError as exc:
        raise NoProxyHeader("a line without an address") from exc


def _port(text: bytes) -> int:
    if not (text.isdigit() and len(text) <= 5 and int(text) <= 0xFFFF):
        raise NoProxyHeader("a line without a port")
    return int(text)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    command, family, length = struct.unpack_from("!BBH", data, len(_V2_START))
    if command not in (_LOCAL, _PROXY) or length > _V2_MAX:
        raise NoProxyHeader("a head of another form")
    size = _V2_HEAD + length
    if len(data) < size:
        return None
    if command == _LOCAL or family not in _STREAM:
        return ProxyHeader("", 0, size)
    kind, width = _STREAM[family]
    if length < 2 * width + 4:
        raise NoProxyHeader("addresses cut short")
    (port,) = struct.unpack_from("!H", data, _V2_HEAD + 2 * width)
    return ProxyHeader(str(kind(data[_V2_HEAD : _V2_HEAD + width])), port, size)
