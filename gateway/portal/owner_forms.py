"""The forms on the home page: how open a port is, starting a workspace, and keeping one that nobody uses.

Each leads back home, or says why not.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiohttp import web

from auth.mandates import mandate_of_session
from auth.model import NOBODYS_WORKSPACE, Session, TokenRefused
from auth.sessions import session_ref
from auth.wishes import Told
from gateway.answers import (
    BAD_REQUEST,
    CROSS_SITE,
    SIGN_IN_DENIED,
    UNKNOWN_WORKSPACE,
    Answer,
    answer_not_started,
)
from gateway.portal.csrf import is_form_token, is_same_origin, read_form
from gateway.portal.parts import PARTS, get_session
from gateway.portal.replies import redirect, reply, request_id
from gateway.portal.sharing import Wish, share
from gateway.portal.sign_in import HOME, start_over
from gateway.waking import Way

_Form = Mapping[str, object]


async def change_visibility(request: web.Request) -> web.Response:
    """POST /workspaces/<name>/ports/<port>."""
    return await _answer_form(request, _change_visibility)


async def start_workspace(request: web.Request) -> web.Response:
    """POST /workspaces/<name>/start."""
    return await _answer_form(request, _start_workspace)


async def keep_workspace(request: web.Request) -> web.Response:
    """POST /workspaces/<name>/keep."""
    return await _answer_form(request, _keep_workspace)


async def _answer_form(
    request: web.Request, act: Callable[[web.Request, Session, _Form], Awaitable[Answer | None]]
) -> web.Response:
    session = await get_session(request)
    if session is None:
        return redirect(request, "/auth/start")
    form = await read_form(request)
    if form is None:
        return reply(request, BAD_REQUEST)
    if not is_same_origin(request) or not is_form_token(request.app[PARTS], session, form.get("csrf")):
        return reply(request, CROSS_SITE)
    try:
        failure = await act(request, session, form)
    except TokenRefused:
        return await start_over(request, session, "", SIGN_IN_DENIED)
    return redirect(request, "/") if failure is None else reply(request, replace(failure, action=HOME))


async def _change_visibility(request: web.Request, session: Session, form: _Form) -> Answer | None:
    parts, told = request.app[PARTS], request.match_info
    wish = Wish(told["name"], told["port"], str(form.get("visibility")), "portal", request_id(request))
    result = await share(parts, await parts.login.fresh_token(session), wish)
    return result if isinstance(result, Answer) else None


async def _start_workspace(request: web.Request, session: Session, _form: _Form) -> Answer | None:
    parts = request.app[PARTS]
    workspace = parts.directory.get_workspace(request.match_info["name"])
    if workspace is None:  # GitLab is asked all the same, so that time does not tell which names exist
        await parts.gitlab.find_ownership(await parts.login.fresh_token(session), NOBODYS_WORKSPACE)
        return UNKNOWN_WORKSPACE
    mandate = mandate_of_session(parts.login, parts.sessions, session_ref(session.id))
    outcome = await parts.waker.start(workspace, session.user, (mandate,), Way.PORTAL)
    return None if isinstance(outcome, Told) else answer_not_started(outcome)


async def _keep_workspace(request: web.Request, session: Session, _form: _Form) -> Answer | None:
    parts = request.app[PARTS]
    workspace = parts.directory.get_workspace(request.match_info["name"])
    asked = workspace.id if workspace else NOBODYS_WORKSPACE
    ownership = await parts.gitlab.find_ownership(await parts.login.fresh_token(session), asked)
    if workspace is None or not ownership.is_owner:
        return UNKNOWN_WORKSPACE
    parts.idle.keep(workspace, session.user.id)
    return None
