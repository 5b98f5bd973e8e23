"""Programs that bring a GitLab token along in X-Workspaces-Token instead of a cookie.

No page can send this header to another origin without a preflight, which nobody answers for a private port: so there
is no cross-site rule here, and nobody is ever redirected.
"""

from dataclasses import replace

from pydantic import SecretStr

from auth.model import Denied, Granted, Unavailable, Verdict, Visibility
from auth.programs import Programs
from gateway.answers import GITLAB_UNAVAILABLE, TOKEN_REFUSED, UNKNOWN_WORKSPACE
from gateway.http.decision import Ask, Decision, Forward, Outcome, Reply
from gateway.http.headers import RequestHead
from gateway.http.rights import Rights, forward_to
from gateway.http.siblings import Sibling
from gateway.telemetry.metrics import Metrics
from routing.model import Route

TOKEN = b"x-workspaces-token"


class TokenGate:
    """Decides for requests with a token."""

    def __init__(self, rights: Rights, programs: Programs, metrics: Metrics) -> None:
        self._memory = metrics.http_token_memory
        self._rights = rights
        self._programs = programs

    def decide(self, head: RequestHead, route: Route | None, sibling: Sibling | None = None) -> Decision:
        """`route` is where the request leads, for a host in some zone; with a sibling, that one's."""
        token = SecretStr(head.get(TOKEN).decode("latin-1"))
        if route is None:
            return Ask(lambda: self._ask_unknown(token))
        if self._rights.level(route) is Visibility.PUBLIC:
            return _forward(head, route, sibling)
        verdict = self._programs.get_verdict(token, route.workspace.uid, route)
        self._memory.labels("miss" if verdict is None else "hit").inc()
        if verdict is None:
            return Ask(lambda: self._ask(head, route, sibling, token))
        return self._follow(verdict, head, route, sibling, token)

    async def _ask_unknown(self, token: SecretStr) -> Outcome:
        return _refuse(await self._programs.decide_unknown(token))

    async def _ask(self, head: RequestHead, route: Route, sibling: Sibling | None, token: SecretStr) -> Outcome:
        verdict = await self._programs.decide(token, route.workspace.uid, route)
        return self._follow(verdict, head, route, sibling, token)

    def _follow(
        self, verdict: Verdict, head: RequestHead, route: Route, sibling: Sibling | None, token: SecretStr
    ) -> Outcome:
        if not isinstance(verdict, Granted):
            return _refuse(verdict)
        level = Visibility.PRIVATE if verdict.workspace else self._rights.level(route)
        grant = self._rights.note(route, verdict.user, level, self._programs.ref(token))
        return replace(_forward(head, route, sibling), grant=grant, token=token)


def _forward(head: RequestHead, route: Route, sibling: Sibling | None) -> Forward:
    return sibling.forward(head, None) if sibling else forward_to(head, route, None)


def _refuse(verdict: Verdict) -> Reply:
    match verdict:
        case Unavailable(_, retry_after):
            return Reply(replace(GITLAB_UNAVAILABLE, retry_after=retry_after))
        case Denied(is_token_refused=True):
            return Reply(TOKEN_REFUSED)
        case Denied(reason):
            return Reply(UNKNOWN_WORKSPACE, denied=reason)
        case Granted():
            raise AssertionError("who is granted is not refused")
