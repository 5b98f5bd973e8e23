"""Speaks to GitLab as an OAuth 2.0 authorization server: where its endpoints are, its keys, its tokens.

Everything is fetched when it is first needed, so a GitLab that is away while the gateway starts does not matter.
Endpoints and shapes: https://docs.gitlab.com/api/oauth2/ and OpenID Connect Discovery 1.0. The client's secret goes
into the form (client_secret_post), as GitLab's own proxy sends it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from joserfc.jwk import KeySet
from pydantic import SecretStr

from auth.calls import Calls, Reply
from auth.id_token import read_keys
from auth.model import GitLabUnavailable, SignInDenied, SignInFailed, Tokens
from config.settings import AuthSettings

FAULT_LIFETIME = 2  # s; those who queued behind a call that timed out do not each wait for a time-out of their own
METADATA_LIFETIME = 3600  # s; endpoints change with an upgrade of GitLab, and an unknown key is looked up at once
EXPIRES_IN_MAX = 30 * 86400  # s; GitLab says 7200, and no answer may make a token eternal

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of the discovery document that a sign-in needs."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class TokenReply:
    """What the token endpoint gave."""

    tokens: Tokens
    scopes: frozenset[str]
    id_token: SecretStr
    """Empty after a refresh without one."""


class OAuthClient:
    """The gateway as a confidential client of one GitLab."""

    def __init__(self, calls: Calls, settings: AuthSettings, clock: Callable[[], float]) -> None:
        self._calls = calls
        self._settings = settings
        self._clock = clock
        self._metadata = _Fetched(self._fetch_metadata, clock)
        self._keys = _Fetched(self._fetch_keys, clock)

    def adopt(self, settings: AuthSettings) -> None:
        """Be the application of these settings from now on, at the same GitLab."""
        self._settings = settings

    async def find_metadata(self) -> Metadata:
        return await self._metadata.find()

    async def find_keys(self, *, fresh: bool = False) -> KeySet:
        """The keys GitLab signs with; `fresh` asks GitLab even if we remember some."""
        return await (self._keys.renew() if fresh else self._keys.find())

    async def exchange_code(self, code: str, verifier: str) -> TokenReply:
        """RFC 6749 section 4.1.3 with the verifier of RFC 7636 section 4.5."""
        return await self._request_tokens(grant_type="authorization_code", code=code, code_verifier=verifier)

    async def refresh(self, refresh_token: SecretStr) -> TokenReply:
        """RFC 6749 section 6; GitLab wants the redirect URI here too."""
        return await self._request_tokens(grant_type="refresh_token", refresh_token=refresh_token.get_secret_value())

    async def revoke(self, tokens: Tokens) -> None:
        """RFC 7009. GitLab revokes the refresh token with the access token it came with."""
        metadata = await self.find_metadata()
        form = {**self._credentials(), "token": tokens.access.get_secret_value()}
        await self._calls.submit("revoke", metadata.revocation_endpoint, form)

    async def _request_tokens(self, **grant: str) -> TokenReply:
        """Raises SignInFailed for a grant that is void, SignInDenied for a person who may not."""
        metadata = await self.find_metadata()
        form = {**self._credentials(), "redirect_uri": self._settings.redirect_uri, **grant}
        reply = await self._calls.submit("token", metadata.token_endpoint, form)
        if reply.is_redirect:
            raise SignInDenied("the token endpoint sends this user to a page: blocked or deactivated")
        if reply.status != 200:
            raise _token_fault(reply)
        return _read_tokens(reply, self._clock())

    def _credentials(self) -> dict[str, str]:
        secret = self._settings.client_secret.get_secret_value()
        return {"client_id": self._settings.client_id, "client_secret": secret}

    async def _fetch_metadata(self) -> Metadata:
        url = f"{self._calls.base}/.well-known/openid-configuration"
        reply = await self._calls.ask("discovery", url)
        if reply.status != 200:
            raise reply.nonsense("no discovery document")
        return _read_metadata(reply, self._calls.base)

    async def _fetch_keys(self) -> KeySet:
        reply = await self._calls.ask("keys", (await self.find_metadata()).jwks_uri)
        if reply.status != 200:
            raise reply.nonsense("no keys")
        return read_keys(reply.find_record())


class _Fetched(Generic[ValueT]):
    """A fetched value, asked for again after an hour, and by one caller at a time."""

    def __init__(self, fetch: Callable[[], Awaitable[ValueT]], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._held: tuple[ValueT, float] | None = None
        self._fault: tuple[GitLabUnavailable, float] | None = None

    async def find(self) -> ValueT:
        async with self._lock:
            if self._held is not None and self._clock() < self._held[1]:
                return self._held[0]
            return await self._renew()

    async def renew(self) -> ValueT:
        async with self._lock:
            return await self._renew()

    async def _renew(self) -> ValueT:
        if self._fault is not None and self._clock() < self._fault[1]:
            raise GitLabUnavailable(self._fault[0].operator, self._fault[0].retry_after)
        try:
            value = await self._fetch()
        except GitLabUnavailable as fault:
            self._fault = (fault, self._clock() + FAULT_LIFETIME)
            raise
        self._held = (value, self._clock() + METADATA_LIFETIME)
        return value


def _read_metadata(reply: Reply, base: str) -> Metadata:
    told = reply.find_record()
    issuer = told.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise reply.nonsense("no issuer")
    names = ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "jwks_uri")
    return Metadata(issuer, *(_endpoint(told, name, base) for name in names))


def _endpoint(told: dict[str, Any], name: str, base: str) -> str:
    url = told.get(name)
    scheme = urlsplit(url).scheme if isinstance(url, str) else ""
    if not isinstance(url, str) or scheme not in ("http", "https"):
        raise GitLabUnavailable(f"GitLab's discovery document has no usable {name}")
    if scheme == "http" and base.startswith("https:"):
        # Our client secret would cross the network in the clear.
        raise GitLabUnavailable(f"GitLab's discovery document names an http {name}: check its external_url")
    return url


def _token_fault(reply: Reply) -> SignInFailed | GitLabUnavailable:
    """RFC 6749, section 5.2: the codes are for programs, the descriptions are never read."""
    error = (reply.get_record() or {}).get("error")
    if error == "invalid_grant":
        return SignInFailed("GitLab refuses the code or refresh token: void, used, or of another application")
    if error == "invalid_client":
        return GitLabUnavailable("GitLab refuses auth.client_id or auth.client_secret")
    return reply.nonsense("no tokens")


def _read_tokens(reply: Reply, now: float) -> TokenReply:
    told = reply.find_record()
    access, expires_in = told.get("access_token"), told.get("expires_in")
    if not isinstance(access, str) or not access or str(told.get("token_type")).lower() != "bearer":
        raise reply.nonsense("no bearer token")
    if type(expires_in) is not int or not 0 < expires_in <= EXPIRES_IN_MAX:
        raise reply.nonsense("a token without a lifetime")
    refresh, id_token, scope = (_text(told, name) for name in ("refresh_token", "id_token", "scope"))
    tokens = Tokens(SecretStr(access), SecretStr(refresh), now + expires_in)
    return TokenReply(tokens, frozenset(scope.split()), SecretStr(id_token))


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
