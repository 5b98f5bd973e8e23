"""The portal's handlers for signing in and out."""

from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from auth.grants import new_nonce
from auth.model import (
    GitLabFault,
    Session,
    SignInDenied,
    SignInElsewhere,
    SignInFailed,
)
from auth.sessions import session_ref
from gateway.answers import (
    BAD_REQUEST,
    CROSS_SITE,
    SIGN_IN_DENIED,
    SIGN_IN_FAILED,
    Answer,
    answer_fault,
    sign_in_needed,
)
from gateway.pages import Link
from gateway.portal.csrf import is_form_token, is_same_origin, read_form
from gateway.portal.parts import PARTS, browser_ids, get_session
from gateway.portal.replies import redirect, reply, request_id
from gateway.portal.sign_in_limit import SIGN_IN_LIMIT

# A month: long enough that tabs restored at once find one cookie and need not agree on a new one.
BROWSER_LIFETIME = 30 * 86400
RESTART_AFTER = 60  # s; a session younger than this that GitLab refuses would only be made, and refused, again

HOME = Link("My workspaces", "/")
SIGNED_OUT = Answer(
    200,
    "signed_out",
    "You are signed out",
    "The workspaces that you had open in this browser are closed to it.",
    action=Link("Sign in again", "/"),
)
SIGNED_OUT_EVERYWHERE = replace(SIGNED_OUT, text="The workspaces that you had open are closed to all your browsers.")


async def begin(request: web.Request, then: str) -> web.Response:
    """Send the browser to GitLab, to come back to `then`."""
    parts, limit = request.app[PARTS], request.app[SIGN_IN_LIMIT]
    if not _is_person(request):
        return reply(request, limit.look(request) or sign_in_needed(f"{parts.settings.auth.portal_url}/auth/start"))
    if answer := limit.take(request):
        parts.metrics.sign_ins.labels("limited").inc()
        return reply(request, answer)
    known = browser_ids(request)
    browser = known[0] if known else new_nonce()
    location = await parts.login.begin(browser, then)
    return redirect(request, location, [parts.cookies.issue(parts.cookies.browser, browser, BROWSER_LIFETIME)])


async def start_over(request: web.Request, session: Session, then: str, otherwise: Answer) -> web.Response:
    """A new sign-in for a session whose token GitLab refuses, unless that session has only just been made."""
    parts = request.app[PARTS]
    await parts.sessions.end(session_ref(session.id))
    if parts.clock() - session.created < RESTART_AFTER:
        return reply(request, otherwise)
    return await begin(request, then)


async def callback(request: web.Request) -> web.Response:
    """GET /auth/callback. Always leads on with 303, so that a reload repeats nothing."""
    parts = request.app[PARTS]
    browsers = browser_ids(request)
    try:
        session, then = await parts.login.finish(list(request.query.items()), browsers)
    except GitLabFault as fault:
        return _sign_in_refused(request, fault, is_restartable=bool(browsers))
    _record(request, "ok", user_id=session.user.id, user=session.user.username)
    lifetime = int(parts.settings.sessions.absolute_timeout)
    cookie = parts.cookies.issue(parts.cookies.session, session.id.get_secret_value(), lifetime)
    return redirect(request, _onward(then), [cookie, request.app[SIGN_IN_LIMIT].finish(request, session)])


async def sign_out(request: web.Request) -> web.Response:
    """POST /auth/sign-out."""
    parts = request.app[PARTS]
    if not is_same_origin(request):
        return reply(request, CROSS_SITE)
    session = await get_session(request)
    if session is None:
        return reply(request, SIGNED_OUT)
    form = await read_form(request)
    if form is None:
        return reply(request, BAD_REQUEST)
    if not is_form_token(parts, session, form.get("csrf")):
        return reply(request, CROSS_SITE)
    everywhere = form.get("everywhere") is not None
    await parts.login.sign_out(session, everywhere=everywhere)
    facts = {"request_id": request_id(request), "user_id": session.user.id, "user": session.user.username}
    parts.log.info("sign_out.finished", **facts, everywhere=everywhere)
    answer = SIGNED_OUT_EVERYWHERE if everywhere else SIGNED_OUT
    return reply(request, answer, [parts.cookies.expire(parts.cookies.session)])


def _is_person(request: web.Request) -> bool:
    """Whether somebody can follow to GitLab: no script can, and no frame, which any page could have full of these."""
    told = request.headers.get
    return told("Sec-Fetch-Mode", "navigate") == "navigate" and told("Sec-Fetch-Dest", "document") == "document"


def _sign_in_refused(request: web.Request, fault: GitLabFault, *, is_restartable: bool) -> web.Response:
    result, answer = _explain(fault)
    _record(request, result, error=fault.operator)
    again = _onward(fault.then) if fault.then else "/auth/start"
    if isinstance(fault, SignInElsewhere) and is_restartable:
        # Tabs opened at once, before this browser had a cookie, each began under another one, and only the last
        # counts. Starting over is safe: nothing was exchanged, and the sealed way on is bound to its own browser.
        return redirect(request, again)
    return reply(request, replace(answer, action=Link("Sign in again", again)))


def _explain(fault: GitLabFault) -> tuple[str, Answer]:
    match fault:
        case SignInDenied():
            return "denied", SIGN_IN_DENIED
        case SignInFailed():
            return "failed", SIGN_IN_FAILED
        case _:
            return "unavailable", answer_fault(fault)


def _record(request: web.Request, result: str, **facts: object) -> None:
    parts = request.app[PARTS]
    parts.metrics.sign_ins.labels(result).inc()
    parts.log.info("sign_in.finished", request_id=request_id(request), result=result, **facts)


def _onward(then: str) -> str:
    return f"/auth/start?to={quote(then)}" if then else "/"
