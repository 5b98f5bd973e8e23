"""The PROXY header of a load balancer before the SSH door (`gateway.ssh.proxy_protocol`).

- It is a header, the beginning of one, or refused as `NoProxyHeader`.
- A header is complete at its last byte and not before; what follows it changes nothing.
- Its address is one that `ipaddress` writes, or none, and its size lies within the bytes and the limits.
- HAProxy's document, read once more here, gives the same address and port.
"""

import socket
from ipaddress import ip_address

from gateway.ssh.proxy_protocol import NoProxyHeader, ProxyHeader, parse_proxy_header

V2 = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
LARGEST = 16 + 4096


def check(data: bytes) -> None:
    try:
        header = parse_proxy_header(data)
    except NoProxyHeader:
        return
    if header is None:
        assert len(data) < LARGEST
        return
    assert 0 < header.size <= len(data)
    for size in {0, 1, 11, 12, 15, 16, header.size - 1}:
        if size < header.size:
            assert parse_proxy_header(data[:size]) is None
    assert parse_proxy_header(data[: header.size]) == header
    assert parse_proxy_header(data[: header.size] + b"SSH-2.0-x\r\n") == header
    assert 0 <= header.port <= 65535
    if header.address:
        assert str(ip_address(header.address)) == header.address
        assert "%" not in header.address
    assert (header.address, header.port) == (read_v2 if data.startswith(V2) else read_v1)(data, header)


def read_v1(data: bytes, header: ProxyHeader) -> tuple[str, int]:
    """Section 2.1, by the system's own reader of addresses."""
    line = data[: header.size]
    assert line.endswith(b"\r\n")
    assert len(line) <= 107
    words = line[:-2].split(b" ")
    if words[1] == b"UNKNOWN":
        return "", 0
    family = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}[words[1]]
    assert len(words) == 6
    packed = socket.inet_pton(family, words[2].decode())
    return str(ip_address(packed)), int(words[4])


def read_v2(data: bytes, header: ProxyHeader) -> tuple[str, int]:
    """Section 2.2."""
    assert data[12] in (0x20, 0x21)
    assert header.size == 16 + int.from_bytes(data[14:16], "big")
    if data[12] == 0x20 or data[13] not in (0x11, 0x21):
        return "", 0
    width = 4 if data[13] == 0x11 else 16
    packed, ports = data[16 : 16 + width], data[16 + 2 * width :]
    return str(ip_address(packed)), int.from_bytes(ports[:2], "big")
