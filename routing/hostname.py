"""Host names: the Host header of a request, and the host template of a workspace. Pure and strict.

A Host header is parsed here and nowhere else, so that routing, authorisation and logs never disagree about it.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

# RFC 952 and RFC 1123: letters, digits, hyphens; RFC 1035, section 2.3.4: 63 bytes a label, 253 a name
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,254})(?::([0-9]{1,5}))?\Z")
# The one action that GitLab writes, with the spaces and trim marks that Go's text/template allows around it. A run of
# spaces is tried from its first one only, or a long one would be looked through as often as it has characters.
_SPACES = " \t\r\n"
_OPENS = rf"(?:(?<![{_SPACES}])[{_SPACES}]+)?\{{\{{-[{_SPACES}]+|\{{\{{[{_SPACES}]*"
_CLOSES = rf"[{_SPACES}]+-\}}\}}[{_SPACES}]*|[{_SPACES}]*\}}\}}"
_ACTION = re.compile(rf"(?:{_OPENS})\.port(?:{_CLOSES})")
_TEMPLATE_MAX = 4096  # a name with room to write it; an annotation may have 256 KiB, which nobody should read per port
_NAME_MAX = 253  # RFC 1035, as above


class InvalidHost(ValueError):
    """The bytes are no host name that a workspace or a portal could have."""


class InvalidTemplate(ValueError):
    """The host template holds another action than `{{.port}}`, or renders to no DNS name."""


@lru_cache(maxsize=8192)  # as many names as a busy gateway sees; a flood of invented ones only evicts
def parse_host(value: bytes) -> str:
    """The canonical host of a Host header (RFC 9110, section 7.2): lower case, without port and trailing dot.

    Raises:
        InvalidHost: for anything but a DNS name or an IPv6 literal, with a port up to 65535.
    """
    return _parse(value)


def _parse(value: bytes) -> str:
    match = _HOST.match(value)
    if not match or int(match[2] or 0) > 65535:
        raise InvalidHost("not a host name")
    name = match[1].decode().lower()
    if name.startswith("["):
        return _ipv6(name)
    return _dns_name(name)


def render_host(template: str, port: int) -> str:
    """The host that a template gives for a port, such as `3000-apple-bear-blue.workspaces.example.dev`.

    Only `{{.port}}` is understood; an annotation is a stranger's text and never executed as a template. An address
    is no name, so that nobody takes the hosts by which probes come.

    Raises:
        InvalidTemplate: for any other action, or when the result is no DNS name.
    """
    if len(template) > _TEMPLATE_MAX:
        raise InvalidTemplate(f"a host template has at most {_TEMPLATE_MAX} characters")
    rendered = _ACTION.sub(str(port), template.strip(_SPACES))
    if "{{" in rendered or "}}" in rendered:
        raise InvalidTemplate("only {{.port}} may stand in a host template")
    try:
        host = _parse(rendered.encode("ascii"))  # 100,000 of them would drive the visitors' out of the cache
    except (InvalidHost, UnicodeEncodeError) as exc:
        raise InvalidTemplate("the host template renders to no DNS name") from exc
    if host.startswith("[") or host.rpartition(".")[2].isdecimal():  # RFC 1123, section 2.1: a top label is no number
        raise InvalidTemplate("the host template renders to an address")
    return host


def zone_of(host: str) -> str:
    """The domain under which a workspace host lies: all but its first label; empty for a single label."""
    return host.partition(".")[2]


def is_within(host: str, zone: str) -> bool:
    """Whether `host` lies below `zone`."""
    return host.endswith(zone) and host[: -len(zone)].endswith(".") if zone else False


def _dns_name(name: str) -> str:
    name = name.removesuffix(".")
    if len(name) > _NAME_MAX or not all(_LABEL.match(label) for label in name.split(".")):
        raise InvalidHost("not a DNS name")
    return name


def _ipv6(literal: str) -> str:
    try:
        return f"[{IPv6Address(literal[1:-1])}]"
    except AddressValueError as exc:
        raise InvalidHost("not an IPv6 address") from exc
