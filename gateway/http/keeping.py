"""Asks its owner whether a workspace that is about to be stopped is to run on, and brings them to where they wanted.

    any page they open    is this one, with a button, in the last minutes before a stop
    POST …/keep?to=       has the workspace run on, and leads to the address

The address is sealed for this browser. Whoever else is let in meets no such page: what they do is use.
"""

from collections.abc import Set as AbstractSet
from typing import Protocol

from auth.model import Grant, Visibility
from gateway.answers import CROSS_SITE, SIGN_IN_FAILED, UNKNOWN_WORKSPACE, ending
from gateway.http.decision import Decision, Outcome, Redirect, Reply
from gateway.http.entrance import RESERVED, Entrance
from gateway.http.headers import RequestHead
from gateway.http.origins import CrossSiteRule, is_navigation
from gateway.http.rights import Rights
from gateway.http.token_gate import TOKEN
from gateway.idle.standing import Standing, describe
from routing.model import Route, Workspace
from routing.table import RouteTable

KEEP = RESERVED + b"keep"


class Keeper(Protocol):
    """Knows which workspaces are about to be stopped."""

    @property
    def ending(self) -> AbstractSet[str]:
        """Numbers of those, as of now and later; hardly ever any."""

    def get_standing(self, workspace: Workspace) -> Standing | None: ...
    def keep(self, workspace: Workspace, user_id: int) -> None: ...


class KeepPages:
    """The page, and what happens after its button is pressed."""

    def __init__(
        self, rights: Rights, entrance: Entrance, origins: CrossSiteRule, table: RouteTable, keeper: Keeper
    ) -> None:
        self._rights = rights
        self._entrance = entrance
        self._origins = origins
        self._table = table
        self._keeper = keeper

    def meet(self, head: RequestHead) -> Reply | None:
        """The page, for an owner who opens another one."""
        route = self._table.get_route(head.host)
        if route is None or route.workspace.id not in self._keeper.ending or head.target.startswith(RESERVED):
            return None
        if not is_navigation(head) or head.get(TOKEN) or self._get_grant(head, route) is None:
            return None
        standing = self._keeper.get_standing(route.workspace)
        if standing is None or standing.left is None:
            return None
        way, cookie = self._entrance.way_back(head)
        answer = ending(f"{KEEP.decode()}?to={way}", describe(standing.idle), describe(standing.left))
        return Reply(answer, (cookie,))

    def decide(self, head: RequestHead, route: Route | None) -> Decision:
        """The button was pressed."""
        grant = self._get_grant(head, route) if route else None
        if route is None or grant is None:
            return self._entrance.challenge(head)
        if head.method != b"POST":
            return Reply(UNKNOWN_WORKSPACE)
        if self._origins.is_cross_site(head, route):
            return Reply(CROSS_SITE)
        return self._keep(head, route, grant)

    def _keep(self, head: RequestHead, route: Route, grant: Grant) -> Outcome:
        url = self._entrance.get_way_back(head)
        if url is None:
            return Reply(SIGN_IN_FAILED)
        self._keeper.keep(route.workspace, grant.user_id)
        return Redirect(url)

    def _get_grant(self, head: RequestHead, route: Route) -> Grant | None:
        """Of its owner."""
        grant = self._rights.get_grant(head, route, self._rights.level(route))
        return grant if grant is not None and grant.visibility is Visibility.PRIVATE else None
