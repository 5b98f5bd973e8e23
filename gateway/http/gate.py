"""What a request may do: pass to an origin, be answered by the gateway, or wait for a question to be answered.

The decision itself is synchronous and looks only at the head, the table and the grant in its cookie; what needs
GitLab or the session store is returned as a question for the caller to await. Every method, upgrade and HTTP version
takes the same way through here.
"""

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import OLD_NAMES, Cookies, expire_old, values
from auth.grants import CODE_LIFETIME, GRANT_LIFETIME, TARGET_LIFETIME, Grants, new_nonce, nonce_hash
from auth.model import Denied, EntryCode, Grant, Granted, Target, Unavailable, Visibility
from auth.sessions import SessionStore
from config.settings import Settings
from gateway.answers import (
    CROSS_SITE,
    PROBED,
    SIGN_IN_FAILED,
    UNKNOWN_HOST,
    UNKNOWN_WORKSPACE,
    sign_in_needed,
)
from gateway.http.decision import Ask, Decision, Forward, Outcome, Redirect, Reply
from gateway.http.headers import RequestHead
from gateway.http.streams import Streams
from gateway.http.upstream import Origin
from routing.hostname import InvalidHost, is_within, parse_host
from routing.model import Route
from routing.table import RouteTable

RESERVED = b"/.workspaces-gateway/"
ENTER = RESERVED + b"enter"
_SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))  # RFC 9110, section 9.2.1
# The browser's own word, which no page can change; a page without referrers sends `Origin: null` to its own host too
_SAME_SITES = frozenset((b"same-origin", b"none"))
_PORT = re.compile(r":([0-9]{1,5})\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL_SAFE = "".join(map(chr, range(0x21, 0x7F)))  # what stands in a Location as it is; the rest becomes %XX
_OLD_MARKS = tuple(name.encode() for name in OLD_NAMES)
_NONCE = re.compile(rb"[A-Za-z0-9_-]{43}\Z")  # what `new_nonce` gives; anything else in the cookie is replaced


class Gate:
    """Decides for every request of the HTTP door."""

    def __init__(
        self,
        settings: Settings,
        *,
        table: RouteTable,
        policy: AccessPolicy,
        keeper: GrantKeeper,
        grants: Grants,
        sessions: SessionStore,
        cookies: Cookies,
        portal: Origin,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth = settings.auth
        self._portal_host = settings.auth.portal_host
        self._zones = settings.routing.zones
        self._allowed_origins = frozenset(settings.origins.allowed)
        self._metrics_path = settings.metrics_path.encode()
        self._table = table
        self._policy = policy
        self._keeper = keeper
        self._grants = grants
        self._sessions = sessions
        self.cookies = cookies
        self._portal = Forward(portal, None)
        self._clock = clock
        self.streams = Streams(self, clock)
        for source in (table, sessions, keeper):
            source.subscribe(self.streams.stir)

    def decide(self, head: RequestHead) -> Decision:
        """What happens to this request."""
        if head.host == self._portal_host:
            return self._portal
        route = self._table.get_route(head.host)
        if head.target.startswith(RESERVED):
            return self._reserved(head, route)
        if route is None:
            return self._unknown(head)
        level = self._policy.visibility(route)
        grant = self._find_grant(head, route, level)
        if grant is None:
            return self._forward(head, route, None) if level is Visibility.PUBLIC else self._challenge(head)
        if level is not Visibility.PUBLIC and self._is_cross_site(head, route):
            return Reply(CROSS_SITE)
        if grant.is_due(self._clock()):
            return Ask(lambda: self._renew(head, route, grant))
        return self._forward(head, route, grant)

    def is_allowed(self, forward: Forward) -> bool:
        """Whether a request that was let in like this would be let in now, by what is known here."""
        opened, grant = forward.route, forward.grant
        if opened is None:
            return True
        route = self._table.get_route(opened.host)
        if route is None or (route.workspace.uid, route.port) != (opened.workspace.uid, opened.port):
            return False
        level = self._policy.visibility(route)
        return level is Visibility.PUBLIC if grant is None else self._is_valid(grant, route, level)

    async def recheck(self, forward: Forward) -> Grant | Denied | Unavailable:
        """The visitor's grant renewed, as of now or of the last five minutes, or why it cannot be."""
        route, grant = forward.route and self._table.get_route(forward.route.host), forward.grant
        if route is None or grant is None:
            return Denied("the route is gone")
        match await self._keeper.recheck(grant, route):
            case Granted(_, workspace):
                # At today's openness: who was let in as the owner may by now be let in as a member only.
                level = Visibility.PRIVATE if workspace else self._policy.visibility(route)
                return self._grants.renewed(replace(grant, visibility=level))
            case verdict:
                return verdict

    def _forward(self, head: RequestHead, route: Route, grant: Grant | None, cookies: tuple[str, ...] = ()) -> Forward:
        upstream = route.upstream
        origin = Origin(route.workspace.uid, upstream.address, upstream.port)
        return Forward(origin, route, grant, cookies + _expire_old(head))

    def _find_grant(self, head: RequestHead, route: Route, level: Visibility) -> Grant | None:
        for value in values(head.get(b"cookie"), self.cookies.grant):
            grant = self._grants.get_grant(value)
            if grant is not None and self._is_valid(grant, route, level):
                return grant
        return None

    def _is_valid(self, grant: Grant, route: Route, level: Visibility) -> bool:
        return (
            grant.host == route.host
            and grant.workspace_uid == route.workspace.uid
            and grant.visibility <= level  # given when the port was more open than it is now: no longer
            and not self._sessions.is_ended(grant.session_ref)
            and not self._keeper.is_denied(grant, route)
        )

    async def _renew(self, head: RequestHead, route: Route, grant: Grant) -> Decision:
        answer = await self.recheck(self._forward(head, route, grant))
        if self._table.get_route(head.host) != route:
            return self.decide(head)  # it changed while we asked
        match answer:
            case Grant() as fresh:
                return self._forward(head, route, fresh, (self._grant_cookie(fresh),))
            case Unavailable():
                return self._forward(head, route, grant)  # good until it ends, and not a second longer
            case Denied() if self._policy.visibility(route) is Visibility.PUBLIC:
                return self._forward(head, route, None, (self.cookies.expire(self.cookies.grant),))
            case Denied():
                return self._challenge(head)

    def _unknown(self, head: RequestHead) -> Outcome:
        if self._is_in_zone(head.host):
            return self._challenge(head)  # as for a private workspace, so that nobody learns which ones exist
        return Reply(PROBED if head.path == self._metrics_path else UNKNOWN_HOST)

    def _is_in_zone(self, host: str) -> bool:
        return self._table.is_in_zone(host) or any(is_within(host, zone) for zone in self._zones)

    def _challenge(self, head: RequestHead) -> Outcome:
        expired = _expire_old(head)
        if not is_navigation(head):
            return Reply(sign_in_needed(f"{self._auth.portal_url}/auth/start"), expired)
        nonce = self._entry_nonce(head)
        url = f"{self._auth.protocol}://{head.get(b'host').decode()}{quote(head.target, safe=_URL_SAFE)}"
        sealed = self._grants.seal_target(Target(head.host, url, nonce_hash(nonce)))
        entry = self.cookies.issue(self.cookies.entry, nonce, TARGET_LIFETIME)
        return Redirect(f"{self._auth.portal_url}/auth/start?to={quote(sealed)}", (entry, *expired))

    def _entry_nonce(self, head: RequestHead) -> str:
        # One nonce serves all tabs of a browser on this host, so that each of them can end where it wanted to be.
        for value in values(head.get(b"cookie"), self.cookies.entry):
            if _NONCE.match(value):
                return value.decode()
        return new_nonce()

    def _reserved(self, head: RequestHead, route: Route | None) -> Decision:
        # A service worker fetches its script with this header; a workspace's worker has no business on this path.
        if head.path != ENTER or head.method != b"GET" or head.get(b"service-worker"):
            return Reply(UNKNOWN_WORKSPACE if self._is_in_zone(head.host) else UNKNOWN_HOST)
        code = self._grants.get_code(head.target.removeprefix(ENTER + b"?code=").decode("latin-1"))
        if code is None or route is None or not self._is_entry(head, route, code):
            return Reply(SIGN_IN_FAILED)
        return Ask(lambda: self._enter(code))

    def _is_entry(self, head: RequestHead, route: Route, code: EntryCode) -> bool:
        nonces = values(head.get(b"cookie"), self.cookies.entry)
        return (
            code.host == route.host
            and code.workspace_uid == route.workspace.uid
            and code.visibility <= self._policy.visibility(route)
            and any(hmac.compare_digest(nonce_hash(nonce.decode("latin-1")), code.nonce_hash) for nonce in nonces)
        )

    async def _enter(self, code: EntryCode) -> Outcome:
        if not await self._sessions.use_once(code.id, CODE_LIFETIME):
            return Reply(SIGN_IN_FAILED)
        return Redirect(code.url, (self._grant_cookie(self._grants.grant_for(code)),))

    def _grant_cookie(self, grant: Grant) -> str:
        return self.cookies.issue(self.cookies.grant, self._grants.seal_grant(grant), GRANT_LIFETIME)

    def _is_cross_site(self, head: RequestHead, route: Route) -> bool:
        """Whether a page of another site made this request in a way that could change or read something.

        SameSite does not help: sibling workspaces are the same site. A WebSocket is readable across origins.
        """
        if not head.upgrade and (head.method in _SAFE_METHODS or head.get(b"sec-fetch-site") in _SAME_SITES):
            return False
        origin = head.get(b"origin").decode("latin-1")
        if origin:
            return not self._is_friendly(origin, head, route)
        return head.upgrade or head.get(b"sec-fetch-site") != b""

    def _is_friendly(self, origin: str, head: RequestHead, route: Route) -> bool:
        if origin in self._allowed_origins:
            return True
        scheme, _, authority = origin.partition("://")
        if scheme != self._auth.protocol or _port(authority, scheme) != _port(head.get(b"host").decode(), scheme):
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
    mode = head.get(b"sec-fetch-mode")
    return mode == b"navigate" if mode else b"text/html" in head.get(b"accept")


def _expire_old(head: RequestHead) -> tuple[str, ...]:
    cookies = head.get(b"cookie")
    return expire_old(head.host) if any(mark in cookies for mark in _OLD_MARKS) else ()


def _port(authority: str, scheme: str) -> int:
    match = _PORT.search(authority)
    return int(match[1]) if match else _DEFAULT_PORTS.get(scheme, 0)
