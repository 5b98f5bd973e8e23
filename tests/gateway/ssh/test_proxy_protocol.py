"""A load balancer's word about where a connection comes from is taken from listed ones only, and to the letter."""

import asyncio
import struct
from ipaddress import ip_address
from typing import Any

import pytest

from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.proxy_protocol import NoProxyHeader, ProxyHeader, parse_proxy_header
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, Bench, Gateway

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LISTED = "127.0.0.0/8"


def v2(source: str = "192.0.2.7", command: int = 0x21, family: int | None = None, notes: bytes = b"") -> bytes:
    packed = ip_address(source).packed
    family = family if family is not None else 0x11 if len(packed) == 4 else 0x21
    body = packed + bytes(len(packed)) + struct.pack("!HH", 4711, 22) + notes
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 22\r\n"
V1_LONGEST = b"PROXY TCP6 " + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2) + b" 65535 65535\r\n"
KNOWN = {
    "version 1": (V1, "192.0.2.7", 4711),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 22\r\n", "2001:db8::7", 4711),
    "version 1, longest": (V1_LONGEST, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", "", 0),
    "version 1, unknown with addresses": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", 0),
    "version 2": (v2(), "192.0.2.7", 4711),
    "version 2, IPv6": (v2("2001:db8::7"), "2001:db8::7", 4711),
    "version 2, with notes": (v2(notes=b"\x04\x00\x02ab"), "192.0.2.7", 4711),
    "version 2, local": (v2(command=0x20), "", 0),
    "version 2, local without addresses": (SIGNATURE + b"\x20\x00\x00\x00", "", 0),
    "version 2, a UNIX socket": (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), "", 0),
    "version 2, unspecified": (v2(family=0x00), "", 0),
}
REFUSED = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "a line too long": b"PROXY TCP4 " + b"1" * 200,
    "another family": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 22\r\n",
    "small letters": b"proxy TCP4 192.0.2.7 198.51.100.1 4711 22\r\n",
    "two blanks": b"PROXY  TCP4 192.0.2.7 198.51.100.1 4711 22\r\n",
    "an address of the other family": b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 22\r\n",
    "an address with a network interface": b"PROXY TCP6 fe80::1%x\x1b[2J fe80::2 4711 22\r\n",
    "no address": b"PROXY TCP4 example.dev 198.51.100.1 4711 22\r\n",
    "no port": b"PROXY TCP4 192.0.2.7 198.51.100.1 x 22\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 22\r\n",
    "a line cut short": b"PROXY TCP4 192.0.2.7\r\n",
    "version 3": SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    "another command": SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    "addresses cut short": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "endless notes": SIGNATURE + b"\x21\x11\xff\xff",
}


@pytest.mark.parametrize(("header", "address", "port"), KNOWN.values(), ids=KNOWN)
def test_a_header_is_read_and_what_follows_is_left(header: bytes, address: str, port: int) -> None:
    assert parse_proxy_header(header + b"SSH-2.0-x\r\n") == ProxyHeader(address, port, len(header))


@pytest.mark.parametrize("header", [header for header, _, _ in KNOWN.values()], ids=KNOWN)
def test_a_part_of_a_header_is_waited_for(header: bytes) -> None:
    assert [parse_proxy_header(header[:length]) for length in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(header: bytes) -> None:
    with pytest.raises(NoProxyHeader):
        parse_proxy_header(header)


@pytest.mark.parametrize("header", [V1, v2()], ids=["version 1", "version 2"])
async def test_the_named_address_is_the_clients(bench: Bench, sshd: WorkspaceSshd, header: bytes) -> None:
    gateway = await behind_balancer(bench, sshd)
    said = await exchange(gateway, header + b"GET / HTTP/1.1\r\n\r\n")
    await gateway.door.drain(PATIENCE)

    assert said.endswith(b"Invalid SSH identification string.\r\n")
    assert [(event["client"], event["client_port"]) for event in gateway.events("ssh.connected")] == [
        ("192.0.2.7", 4711)
    ]


async def test_a_header_that_comes_byte_by_byte_is_read(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await behind_balancer(bench, sshd)
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    for byte in V1:
        writer.write(bytes((byte,)))
        await writer.drain()
    async with asyncio.timeout(PATIENCE):
        greeting = await reader.readline()
    writer.close()

    assert greeting.startswith(b"SSH-2.0-")


async def test_a_balancer_that_speaks_for_itself_is_greeted(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await behind_balancer(bench, sshd)
    said = await exchange(gateway, v2(command=0x20) + b"x\r\n")
    await gateway.door.drain(PATIENCE)

    assert said.startswith(b"SSH-2.0-")
    assert gateway.events("ssh.connected")[0]["client"].startswith(LOOPBACK)


@pytest.mark.parametrize("said_first", [b"SSH-2.0-x\r\n", b"PROXY TCP4 nonsense\r\n"], ids=["SSH", "nonsense"])
async def test_without_its_header_nobody_gets_in_from_a_balancer(
    bench: Bench, sshd: WorkspaceSshd, said_first: bytes
) -> None:
    gateway = await behind_balancer(bench, sshd)

    assert await exchange(gateway, said_first) == b""
    assert gateway.events("ssh.connected") == []


async def test_a_header_that_does_not_come_is_not_waited_for(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await behind_balancer(bench, sshd, proxy_timeout=0.05)

    assert await exchange(gateway, b"PROXY ") == b""


async def test_from_anywhere_else_a_header_is_no_ssh(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol="192.0.2.0/24")
    said = await exchange(gateway, V1)
    await gateway.door.drain(PATIENCE)

    assert said.endswith(b"Invalid SSH identification string.\r\n")
    assert gateway.events("ssh.connected")[0]["client"].startswith(LOOPBACK)


@pytest.mark.parametrize("first", [V1, v2()], ids=["version 1", "version 2"])
@pytest.mark.parametrize(
    "second", [V1.replace(b"192.0.2.7", b"203.0.113.9"), v2("203.0.113.9")], ids=["then 1", "then 2"]
)
async def test_a_second_header_is_what_the_client_said_and_no_ssh(
    bench: Bench, sshd: WorkspaceSshd, first: bytes, second: bytes
) -> None:
    """A balancer puts its own in front; whatever the client sends after that names nobody."""
    gateway = await behind_balancer(bench, sshd)
    said = await exchange(gateway, first + second)
    await gateway.door.drain(PATIENCE)

    assert said.endswith(b"Invalid SSH identification string.\r\n")
    assert [(event["client"], event["client_port"]) for event in gateway.events("ssh.connected")] == [
        ("192.0.2.7", 4711)
    ]
    assert "203.0.113.9" not in gateway.log.getvalue()


async def test_limits_count_the_named_address(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await behind_balancer(bench, sshd, max_connections_per_ip=1)
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.write(v2("192.0.2.7"))
    await reader.readline()
    again, other = await exchange(gateway, v2("192.0.2.7")), await exchange(gateway, v2("192.0.2.8") + b"x\r\n")
    writer.close()

    assert again == b"Too many connections\r\n"
    assert other.startswith(b"SSH-2.0-")


async def behind_balancer(bench: Bench, sshd: WorkspaceSshd, **settings: Any) -> Gateway:
    return await bench.open_door(Endpoint(LOOPBACK, sshd.port), proxy_protocol=LISTED, **settings)


async def exchange(gateway: Gateway, text: bytes) -> bytes:
    """Everything the door says to this until it closes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.write(text)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()
