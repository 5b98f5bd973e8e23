"""The forms a single setting may take: each function turns what was written into one canonical value.

A ValueError says in one sentence what would be right. It quotes what was written only where that cannot hold a
secret: never a URL, which may carry a password, and never a key.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

AnyNetwork = IPv4Network | IPv6Network

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool, as the original reads them
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123, section 2.1
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")  # the latter is IPv6
SPANS_PATH = "/v1/traces"  # OTLP/HTTP, section Request
IDLE_TIMEOUT_MIN = 60  # s; below it a workspace would be stopped between two looks, or while its page still loads
_NAME_MAX = 253  # characters of a host name, RFC 1035 section 2.3.4 less the root's
_URL_FORM = "must be an http or https URL such as {}"
_GITLAB = "https://gitlab.example.com"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def switch(value: object) -> object:
    """True and False from the texts Go accepts for them."""
    if not isinstance(value, str):
        return value
    if value not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return value in _TRUE


def comma_list(value: object) -> object:
    """The items of a list or of a text such as `a, b`; empty items count for nothing."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        return value
    stripped = [item.strip() if isinstance(item, str) else item for item in items]
    kept = tuple(item for item in stripped if item not in ("", None))
    if items and not kept:
        raise ValueError("is given but names nothing; name something or leave it out")
    return kept


def base_url(value: str, example: str = _GITLAB) -> str:
    """An http or https URL without a trailing slash."""
    parts = split_url(value, example)
    if parts.query or parts.fragment:
        raise ValueError(f"{_URL_FORM.format(example)}, without ? or #")
    return value.rstrip("/")


def collector_url(value: str) -> str:
    """The address of a collector of spans without the path that OTLP adds to it, or nothing."""
    if not value:
        return ""
    address = base_url(value, "http://collector:4318")
    if address.endswith(SPANS_PATH):
        raise ValueError(f"must not end in {SPANS_PATH}, which the gateway adds by itself")
    return address


def share(value: object) -> object:
    """A number from 0 to 1."""
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1, such as 0.05 for one in twenty")
    return number


def split_url(value: str, example: str = _GITLAB) -> SplitResult:
    """The parts of an absolute http or https URL without credentials."""
    parts = _split(value)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or re.search(r"\s", value):
        raise ValueError(_URL_FORM.format(example))
    if parts.username is not None:
        raise ValueError("must not contain a user name or password")
    return parts


def _split(value: str) -> SplitResult | None:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        return None
    return parts


def origin(value: str) -> str:
    """A web origin in the spelling browsers send: lower case, no default port, no path."""
    parts = _split(value.lower())
    if parts is None or not parts.scheme or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be an origin such as https://gitlab.example.com, that is scheme://host[:port]")
    if value.lower() != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("must be an origin, that is scheme://host[:port] without a path or a trailing slash")
    return value.lower().removesuffix(f":{_DEFAULT_PORTS.get(parts.scheme)}")


def session_store(value: str) -> str:
    """`memory`, or the address of a Redis without credentials."""
    if value == "memory":
        return value
    parts = _split(value)
    if parts is None or parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be memory or redis://host[:port][/number], with rediss:// for TLS")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password: see sessions.password")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("must end in the number of a database, such as redis://redis:6379/0")
    return value


def zone(value: str) -> str:
    """A DNS name in lower case and without a trailing dot."""
    name = value.lower().removesuffix(".")
    if name.startswith("*."):
        raise ValueError(f"{value!r} must be written without the leading *.")
    labels = name.split(".")
    if len(name) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(f"{value!r} is not a DNS name such as workspaces.example.dev")
    return name


def host_name(value: str) -> str:
    """A name or an address as it stands in an ssh command, or nothing."""
    if value and not _HOST.fullmatch(value):
        raise ValueError("must be a host name or an address, without a user, a port or a path")
    return value


def namespace(value: str) -> str:
    """The name of a Kubernetes namespace."""
    if not _LABEL.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a Kubernetes namespace (a-z, 0-9 and - only)")
    return value


def network(value: object) -> object:
    """An address or a network in CIDR notation."""
    if not isinstance(value, str):
        return value
    try:
        wide = ip_network(value, strict=False)
    except ValueError:
        wide = None
    if wide is None:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8 or 2001:db8::/32")
    if wide.network_address != ip_network(value.split("/")[0]).network_address:
        raise ValueError(f"{value!r} has address bits beyond its prefix length; write {wide}")
    return wide


def idle_timeout(value: float) -> float:
    """Never, or so long that a page loads and a person reads what follows."""
    if 0 < value < IDLE_TIMEOUT_MIN:
        raise ValueError(f"must be 0 for never, or at least {IDLE_TIMEOUT_MIN}")
    return value


def url_path(value: str) -> str:
    """The path of a URL, without a query."""
    if not value.startswith("/") or re.search(r"[\s?#]", value):
        raise ValueError("must be a path that begins with a slash, such as /metrics")
    return value


def host_key_text(value: SecretStr) -> SecretStr:
    """A private key with the line ends and the final newline that Secrets and editors lose."""
    lines = [line.strip() for line in value.get_secret_value().strip().splitlines()]
    return SecretStr("\n".join([*lines, ""]))
