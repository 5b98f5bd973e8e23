"""What an address is counted as, wherever something is limited or remembered by address. Pure."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_IPV6_SITE = 64  # bits of an IPv6 address that tell one customer's line from another's; the rest is theirs to choose


@lru_cache(maxsize=4096)  # addresses that are here now; an address that is forgotten is only parsed again
def find_source(address: str) -> str:
    """What an address is counted as: itself, or the /64 network of an IPv6 address; `address` where it is none."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])  # without a link's name
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((parsed, _IPV6_SITE), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
