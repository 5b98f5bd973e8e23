"""What a request may do: pass to an origin, be answered by the gateway, or wait for a question to be answered.

The decision itself is synchronous and looks only at the head, the table and the grant in its cookie; what needs
GitLab or the session store is returned as a question for the caller to await. Every method, upgrade and HTTP version
takes the same way through here.
"""

import time
from collections.abc import Callable
from functools import partial

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import Cookies
from auth.grants import Grants
from auth.login import Login
from auth.mandates import mandate_of_session
from auth.model import Denied, Grant, Unavailable, Visibility
from auth.programs import Programs
from auth.sessions import SessionStore
from config.settings import Settings
from gateway.answers import BAD_REQUEST, CROSS_SITE, LOOP_DETECTED, NOT_READY, PROBED, UNKNOWN_HOST, UNKNOWN_WORKSPACE
from gateway.http.decision import Ask, Decision, Forward, Outcome, Reply
from gateway.http.entrance import ENTER, RESERVED, Entrance
from gateway.http.headers import RequestHead
from gateway.http.interstitial import CONTINUE, Interstitial
from gateway.http.keeping import KEEP, Keeper, KeepPages
from gateway.http.origins import CrossSiteRule
from gateway.http.recall import Recall
from gateway.http.rights import Rights, forward_to
from gateway.http.rounds import Rounds
from gateway.http.siblings import PORTS, SiblingPorts, get_sibling
from gateway.http.starting import FOLLOW, START, StartPages
from gateway.http.streams import Streams
from gateway.http.token_gate import TOKEN, TokenGate
from gateway.http.upstream import Origin
from gateway.telemetry.metrics import Metrics
from gateway.waking import Waker
from routing.hostname import is_within
from routing.model import Route
from routing.table import RouteTable

_RENEWAL = {Grant: "renewed", Denied: "denied", Unavailable: "unavailable"}


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
        login: Login,
        portal: Origin,
        waker: Waker,
        idle: Keeper,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._portal_host = settings.auth.portal_host
        self._zones = settings.routing.zones
        self._metrics_path = settings.metrics_path.encode()
        self._portal = Forward(portal, None)
        self._table = table
        self.cookies = cookies
        programs = Programs(policy, clock)
        self._rights = Rights(
            table=table,
            policy=policy,
            keeper=keeper,
            programs=programs,
            grants=grants,
            sessions=sessions,
            cookies=cookies,
            clock=clock,
        )
        self._origins = CrossSiteRule(settings, table)
        self._entrance = Entrance(settings.auth, grants, sessions, cookies)
        self._interstitial = Interstitial(settings.visibility, self._entrance, cookies)
        self._siblings = SiblingPorts(self._rights, self._entrance, self._origins, self._interstitial)
        self.start_pages = StartPages(
            self._rights,
            self._entrance,
            self._origins,
            waker,
            mandate_of=partial(mandate_of_session, login, sessions),
            settings=settings.http,
            clock=clock,
        )
        self._ending = idle.ending
        self.keep_pages = KeepPages(self._rights, self._entrance, self._origins, table, idle)
        self._tokens = TokenGate(self._rights, programs, metrics)
        self._recall = Recall(clock, metrics)
        self._renewals = metrics.http_grant_renewals
        self.rounds = Rounds(settings.auth.portal_host)
        self.streams = Streams(self._rights, clock)
        for source in (table, sessions, keeper):
            source.subscribe(self._recall.forget)
            source.subscribe(self.streams.stir)

    def adopt(self, settings: Settings) -> None:
        """Decide by these settings from now on, about open streams too."""
        self._interstitial.adopt(settings.visibility)
        self._origins.adopt(settings.origins)
        self.start_pages.adopt(settings.http)
        self._recall.forget()
        self.streams.stir()

    def decide(self, head: RequestHead) -> Decision:
        """What happens to this request."""
        if self.rounds.is_loop(head):
            return Reply(LOOP_DETECTED)
        if self._ending and (asked := self.keep_pages.meet(head)) is not None:
            return asked
        if (recalled := self._recall.get(head)) is not None:
            return recalled
        if head.host == self._portal_host:
            # Nothing of ours has such an address, and aiohttp would complain of it on standard error, query and all.
            return self._portal if head.target.isascii() else Reply(BAD_REQUEST)
        route = self._table.get_route(head.host)
        if route is None and not self._table.synced:
            return Reply(PROBED if head.path == self._metrics_path else NOT_READY)
        if head.target.startswith(RESERVED):
            return self._decide_reserved(head, route)
        if route is None and not self._is_in_zone(head.host):
            return Reply(PROBED if head.path == self._metrics_path else UNKNOWN_HOST)
        if head.get(TOKEN):
            return self._tokens.decide(head, route)
        if route is None:
            return self._entrance.challenge(head)  # as for a private one, so that nobody learns which ones exist
        return self._decide_route(head, route)

    def _decide_route(self, head: RequestHead, route: Route) -> Decision:
        level = self._rights.level(route)
        grant = self._rights.get_grant(head, route, level)
        if grant is None:
            return self._meet_stranger(head, route, level)
        if level is not Visibility.PUBLIC and self._origins.is_cross_site(head, route):
            return Reply(CROSS_SITE)
        if self._rights.is_due(grant):
            return Ask(lambda: self._renew(head, route, grant))
        forward = forward_to(head, route, grant)
        self._recall.put(head, forward)
        return forward

    def _meet_stranger(self, head: RequestHead, route: Route, level: Visibility) -> Outcome:
        if level is not Visibility.PUBLIC:
            return self._entrance.challenge(head)
        return self._interstitial.get_warning(head, route) or forward_to(head, route, None)

    async def _renew(self, head: RequestHead, route: Route, grant: Grant) -> Decision:
        answer = await self._rights.recheck(forward_to(head, route, grant))
        if self._table.get_route(head.host) != route:
            return self.decide(head)  # it changed while we asked
        self._renewals.labels(_RENEWAL[type(answer)]).inc()
        match answer:
            case Grant() as fresh:
                return forward_to(head, route, fresh, (self._entrance.grant_cookie(fresh),))
            case Unavailable():
                return forward_to(head, route, grant)  # good until it ends, and not a second longer
            case Denied() if self._rights.level(route) is Visibility.PUBLIC:
                return forward_to(head, route, None, (self.cookies.expire(self.cookies.grant),))
            case Denied():
                return self._entrance.challenge(head)

    def _decide_reserved(self, head: RequestHead, route: Route | None) -> Decision:
        """The one path on workspace hosts that is the gateway's own."""
        if not self._is_in_zone(head.host):
            return Reply(UNKNOWN_HOST)
        # A service worker fetches its script with this header; a workspace's worker has no business on these paths.
        if head.get(b"service-worker"):
            return Reply(UNKNOWN_WORKSPACE)
        if head.target.startswith(PORTS):
            sibling = get_sibling(self._table, route, head.target)
            if head.get(TOKEN):
                return self._tokens.decide(head, sibling.route if sibling else None, sibling)
            return self._siblings.decide(head, route, sibling)
        if head.path == KEEP:
            return self.keep_pages.decide(head, route)
        if head.path in (START, FOLLOW):
            return self.start_pages.decide(head, route)
        if head.method != b"GET":
            return Reply(UNKNOWN_WORKSPACE)
        if head.path == ENTER:
            return self._entrance.enter(head, route, self._rights.level(route) if route else Visibility.PRIVATE)
        if head.path == CONTINUE:
            return self._interstitial.go_on(head, route)
        return Reply(UNKNOWN_WORKSPACE)

    def _is_in_zone(self, host: str) -> bool:
        return self._table.is_in_zone(host) or any(is_within(host, zone) for zone in self._zones)
