"""`/.workspaces-gateway/ports/<port>/…` on any host of a workspace: another port of it under the same origin.

Open to whoever is in on this host, and may be in on the other port by that port's own visibility. The editor shares its
origin with no page: it is not reached on this way, and on its own host the way leads to data alone.
"""

import re
from dataclasses import dataclass, replace

from auth.model import Denied, Grant, Unavailable, Visibility
from auth.visibility import is_locked
from gateway.answers import CROSS_SITE, GITLAB_UNAVAILABLE, UNKNOWN_WORKSPACE
from gateway.http.decision import Ask, Decision, Forward, Outcome, Reply
from gateway.http.entrance import RESERVED, Entrance
from gateway.http.headers import RequestHead
from gateway.http.interstitial import Interstitial
from gateway.http.origins import CrossSiteRule
from gateway.http.rights import Rights, forward_to
from routing.model import Route
from routing.table import RouteTable

PORTS = RESERVED + b"ports/"
_PATH = re.compile(rb"/\.workspaces-gateway/ports/([1-9][0-9]{0,4})(/[^?]*)?(\?.*)?\Z", re.DOTALL)
_DATA = frozenset((b"empty", b"websocket"))  # what a script reads (Fetch, section 2.2.5); a browser runs none of it


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another port of the workspace, and the request as it sees it."""

    route: Route
    target: bytes
    prefix: bytes
    """What was cut off, for an application that writes addresses of its own."""

    def forward(self, head: RequestHead, grant: Grant | None, cookies: tuple[str, ...] = ()) -> Forward:
        return replace(forward_to(head, self.route, grant, cookies), target=self.target, prefix=self.prefix)


def get_sibling(table: RouteTable, own: Route | None, target: bytes) -> Sibling | None:
    """The port that the target names; never the editor, which would be of one origin with what asks for it."""
    match = _PATH.match(target)
    if match is None or own is None:
        return None
    port = int(match[1])
    route = next((route for route in table.routes_of(own.workspace) if route.port == port), None)
    if route is None or is_locked(route):
        return None
    return Sibling(route, (match[2] or b"/") + (match[3] or b""), PORTS + match[1])


class SiblingPorts:
    """Decides for requests to another port under this one's origin."""

    def __init__(self, rights: Rights, entrance: Entrance, origins: CrossSiteRule, interstitial: Interstitial) -> None:
        self._rights = rights
        self._entrance = entrance
        self._interstitial = interstitial
        self._origins = origins

    def decide(self, head: RequestHead, own: Route | None, sibling: Sibling | None) -> Decision:
        if own is not None and is_locked(own) and head.get(b"sec-fetch-dest") not in _DATA:
            sibling = None  # a page or a script of the other port would have the editor in its hands
        grant = self._rights.get_grant(head, own, self._rights.level(own)) if own else None
        level = self._rights.level(sibling.route) if sibling else Visibility.PRIVATE
        if own is None or grant is None:
            if sibling is None or level is not Visibility.PUBLIC:
                return self._entrance.challenge(head)
            return self._interstitial.get_warning(head, sibling.route) or sibling.forward(head, None)
        if sibling is None:
            return Reply(UNKNOWN_WORKSPACE)
        if level is not Visibility.PUBLIC and self._origins.is_cross_site(head, own):
            return Reply(CROSS_SITE)
        if self._rights.is_due(grant):
            return Ask(lambda: self._renew(head, own, sibling, grant))
        if grant.visibility > level:
            return Ask(lambda: self._ask(head, sibling, grant, ()))
        return sibling.forward(head, grant)

    async def _renew(self, head: RequestHead, own: Route, sibling: Sibling, grant: Grant) -> Outcome:
        """The cookie is of this host, so it is this port that it is renewed for."""
        match await self._rights.recheck(forward_to(head, own, grant)):
            case Grant() as fresh:
                return await self._ask(head, sibling, fresh, (self._entrance.grant_cookie(fresh),))
            case Unavailable():
                return await self._ask(head, sibling, grant, ())
            case Denied():
                return self._entrance.challenge(head)

    async def _ask(self, head: RequestHead, sibling: Sibling, grant: Grant, cookies: tuple[str, ...]) -> Outcome:
        """Somebody who is in here because this port is more open than the other one may be a member, or nobody."""
        if grant.visibility <= self._rights.level(sibling.route):
            return sibling.forward(head, grant, cookies)
        match await self._rights.recheck(forward_to(head, sibling.route, grant)):
            case Grant() as narrower:
                return sibling.forward(head, narrower, cookies)
            case Unavailable(_, retry_after):
                return Reply(replace(GITLAB_UNAVAILABLE, retry_after=retry_after), cookies)
            case Denied():
                return Reply(UNKNOWN_WORKSPACE, cookies)
