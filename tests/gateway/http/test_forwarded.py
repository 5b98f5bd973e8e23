"""Who a request comes from, and what a workspace is told about it."""

from ipaddress import ip_network

import pytest

from gateway.http.forwarded import TrustedProxies
from gateway.http.headers import parse_request

TRUSTED = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("203.0.113.9", b"", "203.0.113.9"),
        ("203.0.113.9", b"1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"1.2.3.4,203.0.113.9 ,10.0.0.7", "203.0.113.9"),
        ("10.0.0.1", b"10.0.0.9, 10.0.0.8", "10.0.0.9"),
        ("10.0.0.1", b"garbage", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4, garbage", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4, garbage, 10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("fd00::1", b"203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"\xff\xfe", "10.0.0.1"),
    ],
)
def test_client_is_the_last_one_nobody_vouches_for(peer: str, chain: bytes, client: str) -> None:
    """X-Forwarded-For is read from the right, as far as the listed proxies reach."""
    assert TRUSTED.find_client(peer, chain) == client


def told(
    peer: str, *fields: tuple[bytes, bytes], host: bytes = b"a.example.dev", user: bytes = b""
) -> dict[bytes, bytes]:
    """The gateway's lines, by name."""
    head = parse_request(b"GET", b"/", "1.1", [(b"Host", host), *fields], keep_alive=True)
    raw = TRUSTED.lines(peer, head, scheme=b"https", request_id=b"r1", user=user)
    pairs = [line.split(b": ", 1) for line in raw.split(b"\r\n")[:-1]]
    assert len(dict(pairs)) == len(pairs), "each line once"
    return {name.lower().removeprefix(b"x-"): value for name, value in pairs}


def test_workspace_is_told_who_asks() -> None:
    """The peer, the scheme people use, the host as they wrote it, its port, the request, and nobody's name."""
    assert told("203.0.113.9", host=b"A.example.dev") == {
        b"forwarded-for": b"203.0.113.9",
        b"forwarded-proto": b"https",
        b"forwarded-host": b"A.example.dev",
        b"forwarded-port": b"443",
        b"request-id": b"r1",
    }


def test_workspace_is_told_who_signed_in() -> None:
    """A signed-in visitor is named."""
    assert told("203.0.113.9", user=b'id=7, username="ada"')[b"workspaces-user"] == b'id=7, username="ada"'


@pytest.mark.parametrize(
    ("peer", "name", "value", "line"),
    [
        ("203.0.113.9", b"X-Forwarded-For", b"1.2.3.4", b"203.0.113.9"),
        ("10.0.0.1", b"X-Forwarded-For", b"1.2.3.4", b"1.2.3.4, 10.0.0.1"),
        ("203.0.113.9", b"X-Forwarded-Proto", b"http", b"https"),
        ("10.0.0.1", b"X-Forwarded-Proto", b"http", b"http"),
        ("10.0.0.1", b"X-Forwarded-Proto", b"HTTPS", b"https"),
        ("10.0.0.1", b"X-Forwarded-Proto", b"gopher", b"https"),
        ("203.0.113.9", b"X-Forwarded-Port", b"8443", b"443"),
        ("10.0.0.1", b"X-Forwarded-Port", b"8443", b"8443"),
        ("10.0.0.1", b"X-Forwarded-Port", b"x", b"443"),
        ("10.0.0.1", b"X-Forwarded-Port", b"443, 80", b"443"),
        ("203.0.113.9", b"X-Forwarded-Host", b"evil.dev", b"a.example.dev"),
        ("10.0.0.1", b"X-Forwarded-Host", b"evil.dev", b"a.example.dev"),
    ],
)
def test_word_of_a_proxy(peer: str, name: bytes, value: bytes, line: bytes) -> None:
    """A listed proxy is believed about address, scheme and port, nobody about the host."""
    assert told(peer, (name, value))[name.lower().removeprefix(b"x-")] == line


@pytest.mark.parametrize(
    ("host", "proto", "port"),
    [
        (b"a.example.dev:8443", b"https", b"8443"),
        (b"a.example.dev", b"https", b"443"),
        (b"a.example.dev", b"http", b"80"),
        (b"[::1]", b"https", b"443"),
        (b"[::1]:9", b"https", b"9"),
    ],
)
def test_port_follows_host_and_scheme(host: bytes, proto: bytes, port: bytes) -> None:
    """The port is the Host header's, or its scheme's own."""
    assert told("10.0.0.1", (b"X-Forwarded-Proto", proto), host=host)[b"forwarded-port"] == port
