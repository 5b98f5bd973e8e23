"""Who may be where: the grant in a request, whether it holds, and asking again about whoever is in.

One set of rules for new requests and for open streams; `is_allowed` and `get_grant` never wait.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from pydantic import SecretStr

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import Cookies, values
from auth.grants import GRANT_LIFETIME, Grants
from auth.model import Denied, Grant, Granted, Unavailable, User, Verdict, Visibility
from auth.programs import Programs
from auth.sessions import SessionStore
from gateway.http.decision import Forward
from gateway.http.entrance import expired_cookies
from gateway.http.headers import RequestHead
from gateway.http.upstream import Origin
from routing.model import Route
from routing.table import RouteTable

_TRIED_MAX = 8  # cookies of one name that are opened: a browser has one, a sibling may have set a few beside it


class Rights:
    """What visitors hold, measured against the table and the policy of this moment."""

    def __init__(
        self,
        *,
        table: RouteTable,
        policy: AccessPolicy,
        keeper: GrantKeeper,
        programs: Programs,
        grants: Grants,
        sessions: SessionStore,
        cookies: Cookies,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._policy = policy
        self._keeper = keeper
        self._programs = programs
        self._grants = grants
        self._sessions = sessions
        self._cookies = cookies
        self._clock = clock

    def level(self, route: Route) -> Visibility:
        """How open a port is now."""
        return self._policy.visibility(route)

    def get_grant(self, head: RequestHead, route: Route, level: Visibility) -> Grant | None:
        """The grant for this host that the browser holds, if it holds."""
        for value in values(head.get(b"cookie"), self._cookies.grant)[:_TRIED_MAX]:
            grant = self._grants.get_grant(value)
            if grant is not None and grant.host == head.host and self._is_valid(grant, route, level):
                return grant
        return None

    def is_due(self, grant: Grant) -> bool:
        return grant.is_due(self._clock())

    def note(self, route: Route, user: User, level: Visibility, ref: str) -> Grant:
        """A grant that no cookie carries, for a program that was let in by its token."""
        now = self._clock()
        return Grant(
            host=route.host,
            workspace_id=route.workspace.id,
            workspace_uid=route.workspace.uid,
            user_id=user.id,
            username=user.username,
            session_ref=ref,
            visibility=level,
            issued=now,
            expires=now + GRANT_LIFETIME,
        )

    def is_allowed(self, forward: Forward) -> bool:
        """Whether a request that was let in like this would be let in now, by what is known here."""
        opened, grant = forward.route, forward.grant
        if opened is None:
            return True
        route = self._table.get_route(opened.host)
        if route is None or (route.workspace.uid, route.port) != (opened.workspace.uid, opened.port):
            return False
        level = self.level(route)
        return level is Visibility.PUBLIC if grant is None else self._is_valid(grant, route, level)

    async def recheck(self, forward: Forward) -> Grant | Denied | Unavailable:
        """The visitor's grant renewed, as of now or of the last five minutes, or why it cannot be."""
        route, grant = forward.route and self._table.get_route(forward.route.host), forward.grant
        if route is None or grant is None:
            return Denied("the route is gone")
        match await self._ask(route, grant, forward.token):
            case Granted(_, workspace, asked):
                # At today's openness: who was let in as the owner may by now be let in as a member only.
                level = Visibility.PRIVATE if workspace else self.level(route)
                return self._grants.renewed(replace(grant, visibility=level), asked)
            case verdict:
                return verdict

    async def _ask(self, route: Route, grant: Grant, token: SecretStr | None) -> Verdict:
        if token is None:
            return await self._keeper.recheck(grant, route)
        return await self._programs.decide(token, route.workspace.uid, route)

    def _is_valid(self, grant: Grant, route: Route, level: Visibility) -> bool:
        return (
            grant.workspace_uid == route.workspace.uid
            and grant.visibility <= level  # given when the port was more open than it is now: no longer
            and not self._sessions.is_ended(grant.session_ref)
            and not self._keeper.is_denied(grant, route)
        )


def forward_to(head: RequestHead, route: Route, grant: Grant | None, cookies: tuple[str, ...] = ()) -> Forward:
    """Pass the request on to the port of this route."""
    upstream = route.upstream
    origin = Origin(route.workspace.uid, upstream.address, upstream.port)
    return Forward(origin, route, grant, cookies + expired_cookies(head))
