"""The stand-in GitLab's authorisation endpoint: check the request, ask a person, send the browser back.

What a request comes to is decided first (`AuthorizeRequest.read`), then answered.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from gateway.demo import gitlab_pages as pages
from gateway.demo.gitlab_grants import INVALID_CLIENT, Application, AuthorizationServer, OAuthFault, Permission
from gateway.demo.gitlab_state import GitLabState

SESSION_COOKIE = "_gitlab_session"
DEFAULT_SCOPE = "api"  # what GitLab grants when a request names no scope

_PARAMETERS = (
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)

INVALID_REDIRECT_URI = OAuthFault("invalid_redirect_uri", "The redirect URI included is not valid.")
UNSUPPORTED_RESPONSE_TYPE = OAuthFault(
    "unsupported_response_type", "The authorization server does not support this response type."
)
INVALID_SCOPE = OAuthFault("invalid_scope", "The requested scope is invalid, unknown, or malformed.")
INVALID_CHALLENGE_METHOD = OAuthFault(
    "invalid_code_challenge_method", "The code_challenge_method must be one of plain, S256."
)
ACCESS_DENIED = OAuthFault("access_denied", "The resource owner or authorization server denied the request.")


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """A request whose application and redirect URI are known, so that the browser may be sent back."""

    application: Application
    fields: dict[str, str]
    fault: OAuthFault | None
    """What to tell the application instead of asking anybody."""

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.fields["scope"].split()) or (DEFAULT_SCOPE,)

    @classmethod
    def read(cls, server: AuthorizationServer, values: Mapping[str, str]) -> "AuthorizeRequest | OAuthFault":
        """A fault by itself is for the person: the application is unknown, or the address not its own."""
        fields = {name: values.get(name, "") for name in _PARAMETERS}
        application = server.get_application(fields["client_id"])
        if application is None:
            return INVALID_CLIENT
        if fields["redirect_uri"] not in application.redirect_uris:
            return INVALID_REDIRECT_URI
        return cls(application, fields, _fault(application, fields))

    def permission(self, user_id: int) -> Permission:
        return Permission(
            user_id=user_id,
            client_id=self.application.client_id,
            redirect_uri=self.fields["redirect_uri"],
            scopes=self.scopes,
            nonce=self.fields["nonce"],
            challenge=self.fields["code_challenge"],
            challenge_method=self.fields["code_challenge_method"],
        )

    def answer(self, values: dict[str, str]) -> web.Response:
        """Back to the application, in the response mode it asked for."""
        target = self.fields["redirect_uri"]
        if self.fields["state"]:
            values = values | {"state": self.fields["state"]}
        match self.fields["response_mode"]:
            case "form_post":
                return pages.posting_page(target, values)
            case "fragment":
                location = f"{target}#{urlencode(values)}"
            case _:
                joint = "&" if urlsplit(target).query else "?"
                location = f"{target}{joint}{urlencode(values)}"
        return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})

    def refuse(self, fault: OAuthFault) -> web.Response:
        return self.answer({"error": fault.error, "error_description": fault.description})


def _fault(application: Application, fields: dict[str, str]) -> OAuthFault | None:
    if fields["response_type"] != "code":
        return UNSUPPORTED_RESPONSE_TYPE
    if not set(fields["scope"].split()) <= set(application.scopes):
        return INVALID_SCOPE
    if fields["code_challenge"] and fields["code_challenge_method"] not in ("plain", "S256"):
        return INVALID_CHALLENGE_METHOD
    return None


class AuthorizeEndpoint:
    """GET shows the accounts, POST is a person's decision."""

    def __init__(self, state: GitLabState, base: Callable[[], str]) -> None:
        self._state = state
        self._base = base
        self._signed_in: dict[str, int] = {}

    async def ask(self, request: web.Request) -> web.Response:
        asked = AuthorizeRequest.read(self._state.oauth, request.query)
        if isinstance(asked, OAuthFault):
            return pages.error_page(asked.description, asked.status)
        if asked.fault is not None:
            return asked.refuse(asked.fault)
        user_id = self._signed_in.get(request.cookies.get(SESSION_COOKIE, ""))
        if asked.application.is_trusted and user_id is not None and self._state.users[user_id].is_active:
            return self._grant(asked, user_id)
        people = [user for user in self._state.users.values() if not user.bot]
        return pages.account_page(people, asked.fields, f"{self._base()}/oauth/authorize")

    async def decide(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        asked = AuthorizeRequest.read(self._state.oauth, form)
        if isinstance(asked, OAuthFault):
            return pages.error_page(asked.description, asked.status)
        if asked.fault is not None:
            return asked.refuse(asked.fault)
        if form.get("decision") == "deny":
            return asked.refuse(ACCESS_DENIED)
        user = self._state.get_user(form.get("user_id", ""))
        if user is None or user.bot:
            return pages.error_page("There is no such account.", 422)
        if not user.is_active:
            return web.Response(status=302, headers={"Location": f"{self._base()}/users/sign_in"})
        response = self._grant(asked, user.id)
        session = secrets.token_hex(16)
        self._signed_in[session] = user.id
        response.set_cookie(SESSION_COOKIE, session, httponly=True, samesite="Lax")
        return response

    def sign_everybody_out(self) -> None:
        self._signed_in.clear()

    def _grant(self, asked: AuthorizeRequest, user_id: int) -> web.Response:
        return asked.answer({"code": self._state.oauth.issue_code(asked.permission(user_id))})
