"""Lets the owner of a stopped workspace start it where they stand, and brings them to the address they wanted.

    the stopped page      has a button for whoever is in as the owner; with `http.wake: auto` it needs no press by who
                          opened the page by hand, unless somebody has only just stopped the workspace
    POST …/start?to=      asks GitLab to run it
    GET  …/starting?to=   asks GitLab again and again how far it is, without a script, then leads to the address

The address is sealed for this browser; another page of the same origin could at most start what is stopped.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from auth.mandates import Mandate
from auth.model import Grant, User, Visibility, WorkspaceRecord
from auth.wishes import COMING, Told
from config.settings import HttpSettings
from gateway.answers import (
    CROSS_SITE,
    NOT_STARTED,
    SIGN_IN_FAILED,
    STARTING,
    STOPPED,
    UNKNOWN_WORKSPACE,
    answer_not_started,
)
from gateway.http.decision import Ask, Decision, Forward, Outcome, Redirect, Reply
from gateway.http.entrance import RESERVED, Entrance
from gateway.http.headers import RequestHead
from gateway.http.origins import CrossSiteRule, is_navigation, is_opened_by_hand
from gateway.http.rights import Rights
from gateway.pages import Link
from gateway.waking import Waker, Way
from routing.model import Route

START = RESERVED + b"start"
FOLLOW = RESERVED + b"starting"
_REST = 60
"""Seconds for which a workspace that somebody stopped is started by the button alone. GitLab keeps the time, so that it
counts for all replicas: whatever reloads by itself, in any browser, starts nothing again that was stopped under it."""
_YOURS = "It is yours, so you can start it here. That may take some minutes."


class StartPages:
    """The button, and what happens after it is pressed."""

    def __init__(
        self,
        rights: Rights,
        entrance: Entrance,
        origins: CrossSiteRule,
        waker: Waker,
        *,
        mandate_of: Callable[[str], Mandate],
        settings: HttpSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`mandate_of` a session, by its reference."""
        self.adopt(settings)
        self._clock = clock
        self._rights = rights
        self._entrance = entrance
        self._origins = origins
        self._waker = waker
        self._mandate_of = mandate_of

    def adopt(self, settings: HttpSettings) -> None:
        """Start workspaces as these settings say from now on."""
        self._is_auto = settings.wake == "auto"

    def offer(self, head: RequestHead, forward: Forward) -> Decision:
        """The page of a stopped workspace; for its owner with the button, or already with what follows the start."""
        grant, route = forward.grant, forward.route
        is_owner = grant is not None and grant.visibility is Visibility.PRIVATE and forward.token is None
        if grant is None or route is None or not is_owner or not is_navigation(head):
            return Reply(STOPPED)
        if self._is_auto and is_opened_by_hand(head):
            return Ask(lambda: self._wake(head, route, grant))
        return self._offer_button(head)

    def _offer_button(self, head: RequestHead) -> Reply:
        way, cookie = self._entrance.way_back(head)
        button = Link("Start the workspace", f"{START.decode()}?to={way}")
        return Reply(replace(STOPPED, text=_YOURS, submit=button), (cookie,))

    async def _wake(self, head: RequestHead, route: Route, grant: Grant) -> Outcome:
        owner, mandates = _owner(grant), (self._mandate_of(grant.session_ref),)
        record = await self._waker.find_record(route.workspace, owner, mandates)
        if not isinstance(record, WorkspaceRecord):
            return self._offer_button(head)  # which says what is the matter once it is pressed
        if record.goal != "Running":
            if self._clock() - record.desired_since < _REST:
                return self._offer_button(head)
            outcome = await self._waker.start(route.workspace, owner, mandates, Way.NAVIGATION)
            if not isinstance(outcome, Told):
                return Reply(answer_not_started(outcome))
        way, cookie = self._entrance.way_back(head)
        return Redirect(f"{FOLLOW.decode()}?to={way}", (cookie,))

    def decide(self, head: RequestHead, route: Route | None) -> Decision:
        """A request to one of the two paths."""
        grant = self._rights.get_grant(head, route, self._rights.level(route)) if route else None
        if route is None or grant is None:
            return self._entrance.challenge(head)
        url = self._entrance.get_way_back(head)
        if grant.visibility is not Visibility.PRIVATE:
            return Reply(UNKNOWN_WORKSPACE)
        if url is None:
            return Reply(SIGN_IN_FAILED)
        if head.path == START and head.method == b"POST":
            if self._origins.is_cross_site(head, route):
                return Reply(CROSS_SITE)
            return Ask(lambda: self._start(head, route, grant, url))
        if head.path == FOLLOW and head.method == b"GET":
            return Ask(lambda: self._follow(route, grant, url))
        return Reply(UNKNOWN_WORKSPACE)

    async def _start(self, head: RequestHead, route: Route, grant: Grant, url: str) -> Outcome:
        owner, mandate = _owner(grant), self._mandate_of(grant.session_ref)
        outcome = await self._waker.start(route.workspace, owner, (mandate,), Way.BUTTON)
        if not isinstance(outcome, Told):
            return Reply(replace(answer_not_started(outcome), action=Link("Try again", url)))
        return Redirect(f"{FOLLOW.decode()}?{head.target.partition(b'?')[2].decode('latin-1')}")

    async def _follow(self, route: Route, grant: Grant, url: str) -> Outcome:
        mandate = self._mandate_of(grant.session_ref)
        record = await self._waker.find_record(route.workspace, _owner(grant), (mandate,))
        if not isinstance(record, WorkspaceRecord):
            answer = answer_not_started(record)
            return Reply(replace(answer, refresh=answer.retry_after))
        if record.actual_state not in COMING:
            return Reply(NOT_STARTED)
        if record.actual_state == "Running" and route.workspace.state.may_answer:
            self._waker.arrived(route.workspace)
            return Redirect(url)
        return Reply(replace(STARTING, hint=f"GitLab says: {record.actual_state}."))


def _owner(grant: Grant) -> User:
    return User(grant.user_id, grant.username)
