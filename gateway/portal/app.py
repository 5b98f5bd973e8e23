"""The portal: where people sign in, are let into a workspace, see what is theirs, and sign out.

    GET  /                  my workspaces
    GET  /auth/start        sign in if need be, then into the workspace host of the sealed target
    GET  /auth/callback     back from GitLab
    POST /auth/sign-out     end the session
    POST /workspaces/<name>/ports/<port>    change how open a port of mine is
    POST /workspaces/<name>/start           have GitLab run a workspace of mine
    POST /workspaces/<name>/keep            let a workspace of mine run on that nobody uses
    and what `api` lists

An ordinary aiohttp application behind the edge, which has checked the framing, set X-Request-Id and removed what
clients must not say. A handler asks `auth` for a value and says what it comes to; it decides nothing itself.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aiohttp import web

from auth.login import THEN_MAX
from auth.model import GitLabFault, Target, TokenRefused
from auth.share import PORTAL_TOKENS, Share
from gateway.answers import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    SIGN_IN_DENIED,
    SIGN_IN_FAILED,
    Answer,
    answer_fault,
)
from gateway.pages import home_page
from gateway.portal.api import TOKEN_SHARE, list_workspaces, put_port
from gateway.portal.csrf import form_token
from gateway.portal.entry import enter, origin_of
from gateway.portal.home import workspace_views
from gateway.portal.owner_forms import change_visibility, keep_workspace, start_workspace
from gateway.portal.parts import PARTS, PortalParts, get_session, learn_owner
from gateway.portal.replies import page, redirect, reply, request_id
from gateway.portal.sign_in import HOME, begin, callback, sign_out, start_over
from gateway.portal.sign_in_limit import SIGN_IN_LIMIT, SignInLimit
from gateway.telemetry.trace_context import current_trace, read_trace_context

BODY_MAX = 16 * 1024  # bytes; no form has more than two short fields

_SILENT = logging.Logger("aiohttp of the portal", logging.CRITICAL + 1)  # noqa: LOG001 - one that nobody else can configure
"""aiohttp's own complaints quote requests, codes included; what matters is logged by the edge and by us."""

PORTAL_RUNNER_LIMITS: Mapping[str, Any] = MappingProxyType(
    {
        # The edge has bounded the head already (`http.head_bytes` and `http.head_fields`, of which these are the
        # largest it may be set to): a long sealed target and many cookies that it let through must be readable here.
        "max_line_size": 1 << 20,
        "max_field_size": 1 << 20,
        "max_headers": 10_000,
        "logger": _SILENT,
        "access_log": None,  # the edge logs each request once, without its query
        "auto_decompress": False,  # no browser compresses a form
    }
)
"""Keyword arguments for the `aiohttp.web.AppRunner` that runs the portal."""

NO_PAGE = Answer(404, "no_page", "There is no such page", "The portal has nothing under this address.", action=HOME)
BAD_METHOD = Answer(405, "bad_method", "Not this way", "This address does not take requests of this method.")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_portal(parts: PortalParts) -> web.Application:
    """The application; `parts` belongs to the caller, who closes what needs closing."""
    app = web.Application(middlewares=[_answer_failures], client_max_size=BODY_MAX)
    app[PARTS] = parts
    app[SIGN_IN_LIMIT] = SignInLimit(parts)
    app[TOKEN_SHARE] = Share(PORTAL_TOKENS)
    # No HEAD: a look at the headers must not use up a code or begin a sign-in.
    app.router.add_get("/", home, allow_head=False)
    app.router.add_get("/auth/start", start, allow_head=False)
    app.router.add_get("/auth/callback", callback, allow_head=False)
    app.router.add_post("/auth/sign-out", sign_out)
    app.router.add_post("/workspaces/{name}/ports/{port}", change_visibility)
    app.router.add_post("/workspaces/{name}/start", start_workspace)
    app.router.add_post("/workspaces/{name}/keep", keep_workspace)
    app.router.add_get("/api/v1/workspaces", list_workspaces, allow_head=False)
    app.router.add_put("/api/v1/workspaces/{name}/ports/{port}", put_port)
    return app


async def start(request: web.Request) -> web.Response:
    """GET /auth/start."""
    parts = request.app[PARTS]
    to = request.query.get("to", "")
    target = parts.grants.get_target(to)
    if to and target is None:
        return reply(request, SIGN_IN_FAILED)
    session = await get_session(request)
    if session is None:
        return await begin(request, to if target is None else _fitting(parts, target, to))
    if target is None:
        return redirect(request, "/")
    return await enter(request, session, target, to)


async def home(request: web.Request) -> web.Response:
    """GET /."""
    parts = request.app[PARTS]
    session = await get_session(request)
    if session is None:
        return redirect(request, "/auth/start")
    try:
        records = await parts.gitlab.find_workspaces(await parts.login.fresh_token(session))
    except TokenRefused:
        return await start_over(request, session, "", SIGN_IN_DENIED)
    learn_owner(parts, session, records)
    html = home_page(
        username=session.user.username,
        workspaces=workspace_views(records, parts.directory, parts.access, parts.settings, parts.idle.get_standing),
        form_token=form_token(parts, session),
        request_id=request_id(request),
    )
    return page(request, html)


def _fitting(parts: PortalParts, target: Target, to: str) -> str:
    """The target as sealed, or the front page of its host where a long address would not fit through GitLab."""
    if len(to) <= THEN_MAX:
        return to
    return parts.grants.seal_target(replace(target, url=f"{origin_of(target.url)}/"))


@web.middleware
async def _answer_failures(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Whatever went wrong, the person gets one of our own answers."""
    told = request.headers.get("traceparent", "").encode()  # of the edge, which lets no other one pass
    current_trace.set(read_trace_context({b"traceparent": told}))
    try:
        return await handler(request)
    except GitLabFault as fault:
        request.app[PARTS].log.warning("portal.gitlab_failed", request_id=request_id(request), error=fault.operator)
        answer = answer_fault(fault)
        # What came of a form must not load itself again.
        return reply(request, replace(answer, refresh=answer.retry_after if request.method == "GET" else None))
    except web.HTTPMethodNotAllowed as refusal:
        response = reply(request, BAD_METHOD)
        response.headers["Allow"] = ", ".join(sorted(refusal.allowed_methods))
        return response
    except web.HTTPNotFound:
        return reply(request, NO_PAGE)
    except web.HTTPException:
        return reply(request, BAD_REQUEST)
    except Exception:  # noqa: BLE001 - the last resort, and it is logged whole
        request.app[PARTS].log.exception("portal.failed", request_id=request_id(request), path=request.path)
        return reply(request, INTERNAL_ERROR)
