"""A Host header, read by `routing.hostname`.

- It is one canonical host, or refused as `InvalidHost`.
- A canonical host is its own canonical form, and holds nothing that has a meaning in a URL, a path, a log or a cookie.
- Who reads the same bytes as the authority of a URL finds the same host.
"""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from routing.hostname import InvalidHost, is_within, parse_host, zone_of

CANONICAL = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9-]+(\.[a-z0-9-]+)*")


def check(data: bytes) -> None:
    try:
        host = parse_host(data)
    except InvalidHost:
        return
    assert CANONICAL.fullmatch(host)
    assert parse_host(host.encode()) == host
    theirs = urlsplit(f"//{data.decode('ascii')}")
    assert theirs.hostname is not None
    assert theirs.port is None or 0 <= theirs.port <= 65535
    if host.startswith("["):
        assert IPv6Address(host[1:-1]) == IPv6Address(theirs.hostname)
    else:
        assert theirs.hostname.rstrip(".") == host
        assert not zone_of(host) or is_within(host, zone_of(host))
