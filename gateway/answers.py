"""Everything the gateway itself answers over HTTP: which failure becomes which status and which words.

The only place that turns a fault into an answer. An `Answer` is a value; `render` writes it as HTML, JSON or text
by the Accept header. Nothing of the request is reflected, so nothing of it can be injected.
"""

import json
import re
from dataclasses import dataclass, replace

from auth.model import Denied, GitLabFault, GitLabUnavailable, SessionsUnavailable, TokenRefused, Unavailable
from auth.wishes import NotTold
from gateway.pages import CONTENT_SECURITY_POLICY, FOLLOW_POLICY, Link, message_page
from routing.model import WorkspaceState

_FORMS = ("application/json", "text/html", "text/plain")  # the first of equals is chosen
_RANGES_MAX = 20  # of an Accept header; browsers send eight
_QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing the gateway has to say, whatever the form in which it is said."""

    status: int
    code: str
    """Stable name, for programs and the log."""
    title: str
    text: str
    hint: str = ""
    action: Link | None = None
    submit: Link | None = None
    """The same as a button that changes something."""
    refresh: int | None = None
    """Seconds after which a page asks again by itself."""
    retry_after: int | None = None
    """Seconds, as a Retry-After header (RFC 9110, section 10.2.3)."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer in one form, ready for the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


PROBED = Answer(200, "alive", "Alive", "The gateway answers.")
SEE_OTHER = Answer(303, "see_other", "This way", "Your browser is taken to sign in, or back to where you were.")
BAD_REQUEST = Answer(
    400, "bad_request", "This request is not valid", "It does not follow HTTP/1.1, so it was not passed on."
)
BAD_HOST = Answer(400, "bad_host", "This host name is not valid", "The Host header of the request is no DNS name.")
SIGN_IN_NEEDED = Answer(401, "sign_in_needed", "Please sign in", "This port is open only to people who signed in.")
TOKEN_REFUSED = Answer(
    401,
    "token_refused",
    "The token is not valid",
    "GitLab does not accept the token in X-Workspaces-Token, or it has neither of the scopes api and read_api.",
)
CROSS_SITE = Answer(
    403,
    "cross_site",
    "Another site asked for this",
    "A page of another site sent this request. What changes something is taken only from pages of the same workspace.",
    hint="Nothing was changed. If you meant to do it, open the address yourself and do it there.",
)
UNKNOWN_WORKSPACE = Answer(
    404,
    "unknown_workspace",
    "Nothing to see here",
    "There is no such workspace, or it is not open to you.",
    hint="Check the address, and which GitLab account you are signed in with.",
)
UNKNOWN_HOST = Answer(404, "unknown_host", "Unknown host", "No workspace lives under this host name.")
REQUEST_TIMEOUT = Answer(408, "request_timeout", "Too slow", "The request did not arrive in time.")
EXPECTATION_FAILED = Answer(
    417, "expectation_failed", "This expectation is not understood", "The only one there is, is 100-continue."
)
MISDIRECTED = Answer(
    421,
    "misdirected",
    "Wrong connection",
    "This connection was made for another host name.",
)
TOO_MANY_REQUESTS = Answer(
    429, "too_many_requests", "Too many requests at once", "Wait for the answers to some of them.", retry_after=1
)
TOO_MANY_SIGN_INS = Answer(
    429,
    "too_many_sign_ins",
    "Too many sign-ins at once",
    "Many sign-ins were begun from your network in the last minutes, and not finished.",
    hint="You need not do anything: yours goes on in a moment.",
)
NOT_READY = Answer(
    503,
    "not_ready",
    "The gateway is starting",
    "It does not know the workspaces yet, and will in a moment.",
    refresh=5,
    retry_after=5,
)
NOT_IMPLEMENTED = Answer(501, "not_implemented", "Not supported", "The gateway does not know this request method.")
INTERNAL_ERROR = Answer(500, "internal_error", "The gateway failed", "This is a fault of the gateway, not yours.")
NOTHING_LISTENS = Answer(
    502,
    "nothing_listens",
    "Nothing listens on this port",
    "The workspace runs, but no server in it accepts connections on this port.",
    hint="A server that listens on 127.0.0.1 only is not reachable: let it listen on 0.0.0.0.",
    refresh=5,
)
BROKEN_UPSTREAM = Answer(
    502, "broken_upstream", "The workspace's answer was not valid", "Its server broke off or did not speak HTTP."
)
STOPPED = Answer(
    503,
    "workspace_stopped",
    "This workspace is stopped",
    "Its owner can start it in GitLab, or on the front page of this gateway.",
    retry_after=30,
)
NOT_STARTED = Answer(
    502,
    "workspace_not_started",
    "GitLab could not start this workspace",
    "Look at it in GitLab: it may have failed, or have been terminated.",
)
STARTING = Answer(
    503,
    "workspace_starting",
    "This workspace is starting",
    "It will be here in a minute or two.",
    refresh=3,
    retry_after=3,
)
GITLAB_UNAVAILABLE = Answer(
    503,
    "gitlab_unavailable",
    "GitLab is not reachable",
    "The gateway could not ask GitLab whether you may enter. Please try again.",
    retry_after=5,
)
SESSIONS_UNAVAILABLE = Answer(
    503,
    "sessions_unavailable",
    "Signing in is not possible at the moment",
    "The gateway cannot reach its session store. What you have open goes on for some minutes.",
    retry_after=5,
)
UPSTREAM_TIMEOUT = Answer(
    504,
    "upstream_timeout",
    "The workspace does not answer",
    "Its address did not accept a connection in time.",
    refresh=5,
    retry_after=5,
)
FULL = Answer(
    503,
    "full",
    "The gateway is full",
    "It has as many connections as it can hold. Please try again in a moment.",
    refresh=5,
    retry_after=5,
)
TOO_MANY_CONNECTIONS = Answer(
    429,
    "too_many_connections",
    "Too many connections",
    "As many are open from your network address as one address may have.",
    retry_after=5,
)
WORKSPACE_BUSY = Answer(
    503,
    "workspace_busy",
    "This workspace is busy",
    "It has as many connections as one workspace may have. Please try again in a moment.",
    refresh=5,
    retry_after=5,
)
LOOP_DETECTED = Answer(
    508,
    "loop_detected",
    "This request goes in circles",
    "It came through this gateway several times: a server in a workspace forwards to the address it was reached by.",
)
SIGN_IN_FAILED = Answer(
    400,
    "sign_in_failed",
    "Signing in did not work",
    "The sign-in was started too long ago, in another browser, or was used already.",
    hint="Open the workspace's address again to start over.",
)
SIGN_IN_LOOP = Answer(
    400,
    "sign_in_loop",
    "Signing in leads back here again and again",
    "You were let in more than once in the last seconds, but your browser came back without the cookie that says so.",
    hint="Allow this site to keep cookies, or delete those it has, and open the address again.",
)
SIGN_IN_DENIED = Answer(
    403,
    "sign_in_denied",
    "GitLab did not let you in",
    "You declined, or your GitLab account may not use this application.",
)


def head_too_large(size: int, fields: int) -> Answer:
    """431 that says how much would be accepted."""
    return Answer(
        431,
        "head_too_large",
        "The request head is too large",
        f"Its address and header fields may have {size // 1024} KiB together, in {fields} lines at most.",
        hint="Deleting this site's cookies usually helps.",
    )


def interstitial(url: str) -> Answer:
    """What a stranger reads before the first visit of a public port."""
    return Answer(
        200,
        "interstitial",
        "You are about to visit somebody's development server",
        "What comes next runs in the cloud workspace of a developer. It is theirs alone, and nobody has checked it.",
        hint="Enter no password, and nothing else of value, unless you trust whoever gave you the address.",
        action=Link("Visit the page", url),
    )


def ending(url: str, idle: str, left: str) -> Answer:
    """What its owner reads who opens a page of a workspace that is about to be stopped."""
    return Answer(
        200,
        "workspace_ending",
        "This workspace is about to be stopped",
        f"Nobody has used it for {idle}, so it stops in {left}. Nothing is lost that was saved.",
        submit=Link("Keep it running", url),
    )


def sign_in_needed(url: str) -> Answer:
    """401 for a program or a script on a page, which must not be redirected; names where a person signs in."""
    return replace(SIGN_IN_NEEDED, action=Link("Sign in", url))


def answer_fault(fault: GitLabFault) -> Answer:
    """What a person is told when GitLab or a token failed."""
    if isinstance(fault, SessionsUnavailable):
        return SESSIONS_UNAVAILABLE
    if isinstance(fault, GitLabUnavailable):
        return replace(GITLAB_UNAVAILABLE, retry_after=fault.retry_after)
    if isinstance(fault, TokenRefused):
        return SIGN_IN_DENIED
    return INTERNAL_ERROR


def answer_not_started(failure: NotTold | Denied | Unavailable) -> Answer:
    """What an owner is told when GitLab did not start their workspace, or not say how far it is.

    It may answer a form, so it does not load itself again.
    """
    match failure:
        case NotTold():
            return NOT_STARTED
        case Unavailable(_, retry_after):
            return replace(GITLAB_UNAVAILABLE, retry_after=retry_after)
        case Denied():
            return UNKNOWN_WORKSPACE


def answer_unreachable(state: WorkspaceState, *, timed_out: bool) -> Answer:
    """What a person is told when no connection to a workspace's port could be made."""
    match state:
        case WorkspaceState.STOPPED:
            return STOPPED
        case WorkspaceState.STARTING:
            return STARTING
        case _:
            return UPSTREAM_TIMEOUT if timed_out else NOTHING_LISTENS


def render(answer: Answer, accept: str, request_id: str) -> Rendered:
    """Write the answer in the form that `accept` prefers: HTML for browsers, JSON for scripts, else text."""
    # Nobody reads what stands behind a redirect.
    kind = "text/plain" if answer.status == 303 else _preferred(accept)
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8" if kind != "application/json" else kind),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Workspaces-Gateway", answer.code),
        ("X-Request-Id", request_id),
    ]
    if answer.retry_after is not None:
        headers.append(("Retry-After", str(answer.retry_after)))
    if answer.status == 401:
        headers.append(("WWW-Authenticate", 'Workspaces realm="workspaces"'))
    if kind == "text/html":
        policy = CONTENT_SECURITY_POLICY if answer.refresh is None else FOLLOW_POLICY
        headers.append(("Content-Security-Policy", policy))
    return Rendered(answer.status, tuple(headers), _body(answer, kind, request_id).encode())


def _preferred(accept: str) -> str:
    """The form that an Accept value likes best (RFC 9110, section 12.5.1); JSON where it likes all of them alike."""
    ranges = [_media_range(item) for item in accept.lower().split(",")[:_RANGES_MAX]]
    return max(_FORMS, key=lambda form: _liking(form, ranges))


def _media_range(item: str) -> tuple[str, float]:
    media, *parameters = (part.strip() for part in item.split(";"))
    for parameter in parameters:
        if match := _QUALITY.match(parameter):
            return media, float(match[1])
    return media, 1.0


def _liking(form: str, ranges: list[tuple[str, float]]) -> float:
    """The quality that the most specific matching range gives to a form."""
    suffix = form.partition("/")[2]
    for wanted in (form, f"+{suffix}", f"{form.partition('/')[0]}/*", "*/*"):
        for media, quality in ranges:
            if media == wanted or (wanted.startswith("+") and media.endswith(wanted)):
                return quality
    return -1.0


def _body(answer: Answer, kind: str, request_id: str) -> str:
    if kind == "text/html":
        return message_page(
            title=answer.title,
            text=answer.text,
            code=answer.code,
            request_id=request_id,
            hint=answer.hint,
            action=answer.action,
            submit=answer.submit,
            refresh=answer.refresh,
        )
    if kind == "application/json":
        body = {"error": answer.code, "message": answer.text, "request_id": request_id}
        if answer.hint:
            body["hint"] = answer.hint
        if answer.action:
            body["sign_in_url" if answer.status == 401 else "url"] = answer.action.url
        return json.dumps(body) + "\n"
    lines = [answer.title, "", answer.text, answer.hint, answer.action.url if answer.action else ""]
    return "\n".join([line for line in lines if line]) + f"\nRequest {request_id}\n"
