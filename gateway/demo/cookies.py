"""The cookies of one browser, kept the way RFC 6265bis says but stricter: only for the host that set them.

A cookie with a Domain is not kept at all, since no page of the gateway may set one: whoever relied on it is found out.
Lifetimes are not timed; a cookie lives until it is expired on purpose or the browser is closed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a cookie is kept. Ports do not separate cookies (RFC 6265, section 8.5)."""

    host: str
    path: str
    name: str


class CookieJar:
    """What a browser remembers between two requests."""

    def __init__(self) -> None:
        self._values: dict[_Place, str] = {}

    def __repr__(self) -> str:
        return f"<CookieJar {sorted((place.host, place.path, place.name) for place in self._values)}>"

    def header(self, url: str) -> str:
        """The Cookie header of a request for `url`; empty when there is none to send."""
        return "; ".join(f"{place.name}={self._values[place]}" for place in self._find_places(url))

    def store(self, url: str, line: str) -> None:
        """Do what one Set-Cookie line of the answer for `url` says."""
        pair, *parts = line.split(";")
        name, _, value = (text.strip() for text in pair.partition("="))
        attributes = _parse_attributes(parts)
        if not name or "domain" in attributes or _is_too_weak(name, attributes, url):
            return
        place = _Place(_host(url), attributes.get("path") or _default_path(url), name)
        if _is_expired(attributes):
            self._values.pop(place, None)
        else:
            self._values[place] = value

    def _find_places(self, url: str) -> list[_Place]:
        """Longest path first (RFC 6265, section 5.4)."""
        host, path = _host(url), urlsplit(url).path or "/"
        places = [place for place in self._values if place.host == host and _is_under(path, place.path)]
        return sorted(places, key=lambda place: -len(place.path))


def _parse_attributes(parts: list[str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in parts)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _is_too_weak(name: str, attributes: dict[str, str], url: str) -> bool:
    """Secure needs https, and the prefixes need what they promise (RFC 6265bis, section 4.1.3)."""
    is_secure = "secure" in attributes
    if is_secure and urlsplit(url).scheme != "https":
        return True
    if name.lower().startswith("__host-"):
        return not is_secure or attributes.get("path") != "/"
    return name.lower().startswith("__secure-") and not is_secure


def _is_expired(attributes: dict[str, str]) -> bool:
    """Max-Age wins over Expires (RFC 6265, section 5.3)."""
    if "max-age" in attributes:
        return attributes["max-age"].startswith("-") or not attributes["max-age"].strip("0")
    try:
        expires = parsedate_to_datetime(attributes["expires"])
    except (KeyError, ValueError):
        return False
    return expires.replace(tzinfo=expires.tzinfo or UTC) <= datetime.now(UTC)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _default_path(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[0] or "/"


def _is_under(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent if parent.endswith("/") else f"{parent}/")
