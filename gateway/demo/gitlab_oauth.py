"""The stand-in GitLab's OAuth endpoints that programs call: token, revoke, introspect, info, userinfo, discovery."""

import base64
import binascii
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from aiohttp import web

from gateway.demo import gitlab_openid as openid
from gateway.demo import gitlab_pages as pages
from gateway.demo.gitlab_credentials import Caller, bearer
from gateway.demo.gitlab_grants import (
    INVALID_CLIENT,
    UNSUPPORTED_GRANT,
    Application,
    OAuthFault,
    TokenPair,
    missing,
)
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.gitlab_tokens import OAUTH_LIFETIME, Refusal

_NEEDED = {
    "authorization_code": ("code", "redirect_uri"),
    "refresh_token": ("refresh_token", "redirect_uri"),
}
_NO_STORE = {"Cache-Control": "no-store"}
_INVALID_TOKEN = {"error": "invalid_token", "error_description": "The access token is invalid"}
_CHALLENGE = {
    "WWW-Authenticate": 'Bearer realm="Doorkeeper", error="invalid_token", '
    'error_description="The access token is invalid"'
}


class OAuthEndpoints:
    """Handlers that answer from the state; `provider` signs."""

    def __init__(self, state: GitLabState, provider: openid.Provider, base: Callable[[], str]) -> None:
        self._state = state
        self._provider = provider
        self._base = base

    async def discovery(self, _request: web.Request) -> web.Response:
        return web.json_response(openid.discovery(self._base()))

    async def keys(self, _request: web.Request) -> web.Response:
        return web.json_response(self._provider.jwks())

    async def token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        client = self._client(request, form)
        if isinstance(client, OAuthFault):
            return _fault(client)
        grant_type = form.get("grant_type", "")
        if grant_type not in _NEEDED:
            return _fault(UNSUPPORTED_GRANT if grant_type else missing("grant_type"))
        for name in _NEEDED[grant_type]:
            if not form.get(name):
                return _fault(missing(name))
        if self._is_blocked(grant_type, form):
            return web.Response(status=302, headers={"Location": f"{self._base()}/users/sign_in"})
        pair = self._redeem(client, grant_type, form)
        return _fault(pair) if isinstance(pair, OAuthFault) else self._tokens(pair)

    async def revoke(self, request: web.Request) -> web.Response:
        form = await _form(request)
        client = self._client(request, form)
        application = None if isinstance(client, OAuthFault) else client
        fault = self._state.oauth.revoke(application, form.get("token", ""))
        return _fault(fault) if fault is not None else web.json_response({})

    async def introspect(self, request: web.Request) -> web.Response:
        form = await _form(request)
        client = self._client(request, form)
        if isinstance(client, OAuthFault):
            return _fault(client)
        token = self._state.tokens.look_up(form.get("token", ""))
        if isinstance(token, Refusal) or token.client_id != client.client_id:
            return web.json_response({"active": False})
        return web.json_response(
            {
                "active": True,
                "scope": " ".join(token.scopes),
                "client_id": token.client_id,
                "token_type": "Bearer",
                "exp": int(token.expires or 0),
                "iat": int(token.created),
            }
        )

    async def token_info(self, request: web.Request) -> web.Response:
        caller = self._oauth_caller(request)
        if caller is None:
            return web.json_response(_INVALID_TOKEN, status=401, headers=_CHALLENGE)
        token, user = caller
        left = int((token.expires or 0) - self._state.clock())
        return web.json_response(
            {
                "resource_owner_id": user.id,
                "scope": list(token.scopes),
                "expires_in": left,
                "application": {"uid": token.client_id},
                "created_at": int(token.created),
            }
        )

    async def userinfo(self, request: web.Request) -> web.Response:
        caller = self._oauth_caller(request)
        if caller is None:
            return web.Response(status=401, headers=_CHALLENGE)
        token, user = caller
        if not token.has_scope("openid") or not user.is_active:
            return web.Response(status=403)
        return web.json_response(openid.userinfo(self._base(), user))

    async def sign_in(self, _request: web.Request) -> web.Response:
        return pages.sign_in_page()

    def _oauth_caller(self, request: web.Request) -> Caller | None:
        found = self._state.present(bearer(request))
        return None if isinstance(found, Refusal) or found[0].kind != "oauth" else found

    def _client(self, request: web.Request, form: Mapping[str, str]) -> Application | OAuthFault:
        """The application, by client_secret_basic or client_secret_post."""
        named = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        return self._state.oauth.authenticate(*named)

    def _is_blocked(self, grant_type: str, form: Mapping[str, str]) -> bool:
        user_id = self._state.oauth.peek_user(grant_type, form.get("code") or form.get("refresh_token", ""))
        return user_id is not None and not self._state.users[user_id].is_active

    def _redeem(self, client: Application, grant_type: str, form: Mapping[str, str]) -> TokenPair | OAuthFault:
        if grant_type == "refresh_token":
            return self._state.oauth.refresh(client, form["refresh_token"], form["redirect_uri"])
        verifier = form.get("code_verifier", "")
        return self._state.oauth.exchange(client, form["code"], form["redirect_uri"], verifier)

    def _tokens(self, pair: TokenPair) -> web.Response:
        told: dict[str, object] = {
            "access_token": pair.access,
            "token_type": "Bearer",
            "expires_in": int(OAUTH_LIFETIME),
            "refresh_token": pair.refresh,
            "scope": " ".join(pair.permission.scopes),
            "created_at": int(pair.created),
        }
        if "openid" in pair.permission.scopes:
            user = self._state.users[pair.permission.user_id]
            told["id_token"] = self._provider.id_token(self._base(), user, pair)
        return web.json_response(told, headers=_NO_STORE)


async def _form(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _basic(request: web.Request) -> tuple[str, str] | None:
    """client_secret_basic: both halves are form-encoded before they are joined (RFC 6749, section 2.3.1)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)


def _fault(fault: OAuthFault) -> web.Response:
    headers = dict(_NO_STORE)
    if fault is INVALID_CLIENT:
        headers["WWW-Authenticate"] = f'Bearer realm="Doorkeeper", error="{fault.error}"'
    return web.json_response(
        {"error": fault.error, "error_description": fault.description}, status=fault.status, headers=headers
    )
