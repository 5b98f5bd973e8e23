"""How the stand-in GitLab finds the token in a request, and what its REST API says to a bad one.

`PRIVATE-TOKEN` takes personal tokens only, `Authorization: Bearer` takes every kind. Tokens in the query, which
GitLab would take too, are not taken here: they end up in logs, so nobody may rely on them.
"""

from aiohttp import web

from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.gitlab_tokens import Refusal, Token

Caller = tuple[Token, GitLabUser]

UNAUTHORIZED = {"message": "401 Unauthorized"}
REVOKED = {
    "error": "invalid_token",
    "error_description": "Token was revoked. You have to re-authorize from the user.",
}
EXPIRED = {
    "error": "invalid_token",
    "error_description": "Token is expired. You can either do re-authorization or token refresh.",
}
DPOP_NEEDED = {"error": "dpop_error", "error_description": "DPoP validation error: the DPoP header is missing."}
BLOCKED = {"message": "403 Forbidden - Your account has been blocked."}


def bearer(request: web.Request) -> str:
    """The Bearer token, or an empty string."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def present(state: GitLabState, request: web.Request) -> Caller | Refusal | None:
    """Who calls; None when the request carries no token at all."""
    if private := request.headers.get("PRIVATE-TOKEN", "").strip():
        found = state.tokens.look_up(private)
        is_oauth = isinstance(found, Token) and found.kind == "oauth"
        return Refusal.UNKNOWN if is_oauth else state.present(private)
    token = bearer(request)
    return state.present(token) if token else None


def rest_caller(state: GitLabState, request: web.Request) -> Caller | web.Response:
    """Who calls the REST API, or the answer for somebody who may not."""
    match present(state, request):
        case None | Refusal.UNKNOWN:
            return web.json_response(UNAUTHORIZED, status=401)
        case Refusal.REVOKED:
            return web.json_response(REVOKED, status=401)
        case Refusal.EXPIRED:
            return web.json_response(EXPIRED, status=401)
        case (token, user):
            if not user.is_active:
                return web.json_response(BLOCKED, status=403)
            if user.requires_dpop and token.kind == "personal":
                return web.json_response(DPOP_NEEDED, status=401)
            return token, user


def insufficient_scope(*accepted: str) -> web.Response:
    return web.json_response(
        {
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": " ".join(accepted),
        },
        status=403,
    )
