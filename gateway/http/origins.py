"""Whether a page of another site made a request that could change or read something. Pure but for the table it reads.

SameSite cookies do not help: sibling workspaces are the same site, and a WebSocket is readable across origins.
"""

import re

from config.settings import OriginSettings, Settings
from gateway.http.headers import RequestHead
from routing.hostname import InvalidHost, parse_host
from routing.model import Route
from routing.table import RouteTable

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))  # RFC 9110, section 9.2.1
# The browser's own word, which no page can change; a page without referrers sends `Origin: null` to its own host too
_SAME_SITES = frozenset((b"same-origin", b"none"))
_PORT = re.compile(r":([0-9]{1,5})\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class CrossSiteRule:
    """Lets requests pass that come from the same workspace, or from an origin the operator allows."""

    def __init__(self, settings: Settings, table: RouteTable) -> None:
        self._protocol = settings.auth.protocol
        self._allowed = frozenset(settings.origins.allowed)
        self._table = table

    def adopt(self, settings: OriginSettings) -> None:
        """Accept these origins and no others from now on."""
        self._allowed = frozenset(settings.allowed)

    def is_cross_site(self, head: RequestHead, route: Route) -> bool:
        if not head.upgrade and (head.method in SAFE_METHODS or head.get(b"sec-fetch-site") in _SAME_SITES):
            return False
        origin = head.get(b"origin").decode("latin-1")
        if origin:
            return not self._is_friendly(origin, head, route)
        return head.upgrade or head.get(b"sec-fetch-site") != b""

    def _is_friendly(self, origin: str, head: RequestHead, route: Route) -> bool:
        if origin in self._allowed:
            return True
        scheme, _, authority = origin.partition("://")
        if scheme != self._protocol or _port(authority, scheme) != _port(head.get(b"host").decode(), scheme):
            return False
        try:
            host = parse_host(authority.encode("latin-1"))
        except InvalidHost:
            return False
        other = self._table.get_route(host)
        return other is not None and other.workspace.uid == route.workspace.uid


def is_navigation(head: RequestHead) -> bool:
    """Whether a person is opening a page: only then may a redirect take them to sign in (Fetch Metadata, section 2)."""
    if head.method != b"GET" or head.upgrade:
        return False
    if head.get(b"sec-fetch-dest") not in (b"document", b""):
        return False  # a frame: nobody could sign in inside it
    mode = head.get(b"sec-fetch-mode")
    return mode == b"navigate" if mode else b"text/html" in head.get(b"accept")


def is_opened_by_hand(head: RequestHead) -> bool:
    """Whether a person has just done something to open this page, by the browser's own word, which no page can write.

    Sec-Fetch-User stands at navigations that follow a click, a key or an address (Fetch Metadata, section 2.4): not at
    those of a page that loads itself anew, of a tab that a browser restores, of a script or a worker. Sec-Purpose and
    its predecessors stand at what is fetched before anybody asks for it.
    """
    return (
        is_navigation(head)
        and head.get(b"sec-fetch-user") == b"?1"
        and head.get(b"sec-fetch-mode") == b"navigate"
        and head.get(b"sec-fetch-dest") == b"document"
        and not any(head.get(name) for name in (b"sec-purpose", b"purpose", b"x-moz"))
    )


def _port(authority: str, scheme: str) -> int:
    match = _PORT.search(authority)
    return int(match[1]) if match else _DEFAULT_PORTS.get(scheme, 0)
