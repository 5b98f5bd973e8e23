"""Lets a signed-in person into a workspace host: asks for the verdict, and hands over an entry code or a 404."""

from dataclasses import replace
from urllib.parse import urlsplit

from aiohttp import web

from auth.grants import new_nonce
from auth.model import (
    NOBODYS_WORKSPACE,
    Denied,
    EntryCode,
    GitLabUnavailable,
    Granted,
    Session,
    Target,
    TokenRefused,
    Unavailable,
    Verdict,
    Visibility,
    refused,
)
from auth.sessions import session_ref
from gateway.answers import GITLAB_UNAVAILABLE, UNKNOWN_WORKSPACE
from gateway.portal.parts import PARTS, PortalParts, learn_owner
from gateway.portal.replies import redirect, reply, request_id
from gateway.portal.sign_in import HOME, start_over
from routing.model import Route

_ENTER = "/.workspaces-gateway/enter?code="
_NOTHING_HERE = replace(UNKNOWN_WORKSPACE, action=HOME)


async def enter(request: web.Request, session: Session, target: Target, to: str) -> web.Response:
    """Where the person wanted to go, if they may; `to` is the target as sealed, for another try."""
    parts = request.app[PARTS]
    route = parts.directory.get_route(target.host)
    level = Visibility.PRIVATE if route is None else parts.access.visibility(route)
    verdict = await _decide(parts, session, route)
    _record(request, session, target.host, route, verdict)
    match verdict:
        case Granted() if route is not None:
            learn_owner(parts, session, [verdict.workspace] if verdict.workspace else [])
            # An owner's way in does not depend on how open the port is.
            code = _entry_code(session, target, route, Visibility.PRIVATE if verdict.workspace else level)
            return redirect(request, origin_of(target.url) + _ENTER + parts.grants.seal_code(code))
        case Unavailable(_, retry_after):
            return reply(request, replace(GITLAB_UNAVAILABLE, retry_after=retry_after, refresh=retry_after))
        case Denied(is_token_refused=True):
            return await start_over(request, session, to, _NOTHING_HERE)
        case _:
            return reply(request, _NOTHING_HERE)


def origin_of(url: str) -> str:
    """Scheme and authority; the edge took both from the request that it sealed."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _decide(parts: PortalParts, session: Session, route: Route | None) -> Verdict:
    """For a host nobody knows GitLab is asked as for any other, so that the two take equally long to refuse."""
    try:
        token = await parts.login.fresh_token(session)
        if route is None:
            return await parts.access.decide_workspace(token, NOBODYS_WORKSPACE)
        return await parts.access.decide_port(token, route)
    except TokenRefused as fault:
        return refused(fault)
    except GitLabUnavailable as fault:
        return Unavailable(fault.operator, fault.retry_after)


def _entry_code(session: Session, target: Target, route: Route, level: Visibility) -> EntryCode:
    return EntryCode(
        id=new_nonce(),
        host=target.host,
        url=target.url,
        nonce_hash=target.nonce_hash,
        workspace_id=route.workspace.id,
        workspace_uid=route.workspace.uid,
        user_id=session.user.id,
        username=session.user.username,
        session_ref=session_ref(session.id),
        visibility=level,
    )


def _record(request: web.Request, session: Session, host: str, route: Route | None, verdict: Verdict) -> None:
    parts = request.app[PARTS]
    facts: dict[str, object] = {
        "request_id": request_id(request),
        "host": host,
        "user_id": session.user.id,
        "user": session.user.username,
    }
    if route is not None:
        facts |= {"workspace": route.workspace.name, "workspace_id": route.workspace.id, "port": route.port}
    match verdict:
        case Granted():
            parts.metrics.entries.labels("granted").inc()
            parts.log.info("entry.granted", **facts)
        case Denied(reason):
            parts.metrics.entries.labels("denied").inc()
            parts.log.info("audit.entry_denied", **facts, reason=reason)
        case Unavailable(reason):
            parts.metrics.entries.labels("unavailable").inc()
            parts.log.warning("entry.unavailable", **facts, reason=reason)
