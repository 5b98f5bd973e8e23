"""The stand-in GitLab as an authorisation server: applications, codes, and refresh tokens that rotate.

The rules are decided here without I/O; what they come to is a value: a `TokenPair` or an `OAuthFault`.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace

from gateway.demo.gitlab_tokens import OAUTH_LIFETIME, Clock, Token, TokenStore, digest

CODE_LIFETIME = 600.0  # Doorkeeper's default, which GitLab keeps
VERIFIER_LENGTH = range(43, 129)  # RFC 7636, section 4.1
APPLICATION_SCOPES = ("api", "read_user", "openid", "profile")  # what GitLab's documentation tells people to register


@dataclass(frozen=True, slots=True)
class OAuthFault:
    """An error of RFC 6749, section 5.2, with GitLab's wording and status."""

    error: str
    description: str
    status: int = 400


INVALID_CLIENT = OAuthFault(
    "invalid_client",
    "Client authentication failed due to unknown client, no client authentication included, "
    "or unsupported authentication method.",
    401,
)
INVALID_GRANT = OAuthFault(
    "invalid_grant",
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI "
    "used in the authorization request, or was issued to another client.",
)
UNAUTHORIZED_CLIENT = OAuthFault("unauthorized_client", "You are not authorized to revoke this token", 403)
UNSUPPORTED_GRANT = OAuthFault(
    "unsupported_grant_type", "The authorization grant type is not supported by the authorization server."
)


def missing(parameter: str) -> OAuthFault:
    return OAuthFault("invalid_request", f"Missing required parameter: {parameter}.")


@dataclass(frozen=True, slots=True)
class Application:
    """A confidential OAuth application of an administrator."""

    client_id: str
    secret_hash: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...] = APPLICATION_SCOPES
    is_trusted: bool = False
    """A trusted application skips the consent page for a browser that is signed in to GitLab."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What somebody agreed to on the consent page."""

    user_id: int
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    nonce: str = ""
    challenge: str = ""
    challenge_method: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """An authorisation code, until it is spent and after."""

    permission: Permission
    issued: float
    family: int
    is_spent: bool = False


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a refresh token stands for, and the access token it came with."""

    permission: Permission
    family: int
    auth_time: float
    access_hash: str
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class TokenPair:
    """One answer of the token endpoint."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    permission: Permission
    created: float
    auth_time: float
    is_first: bool
    """Whether it came from a code; only then the id_token repeats the nonce."""


class AuthorizationServer:
    """Applications and what was granted to them. A token pair dies as a whole, and so does a family."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._applications: dict[str, Application] = {}
        self._codes: dict[str, Code] = {}
        self._refresh: dict[str, RefreshToken] = {}

    def register(self, redirect_uris: tuple[str, ...], *, is_trusted: bool) -> tuple[str, str]:
        client_id, secret = secrets.token_hex(32), f"gloas-{secrets.token_hex(32)}"
        self._applications[client_id] = Application(client_id, digest(secret), redirect_uris, is_trusted=is_trusted)
        return client_id, secret

    def change_secret(self, client_id: str) -> str:
        """Renew the application's secret, as its owner can on GitLab's page; the old one is refused at once."""
        secret = f"gloas-{secrets.token_hex(32)}"
        self._applications[client_id] = replace(self._applications[client_id], secret_hash=digest(secret))
        return secret

    def trust(self, client_id: str) -> None:
        """From now on nobody who is signed in here is asked for consent, as an administrator can decide."""
        self._applications[client_id] = replace(self._applications[client_id], is_trusted=True)

    def get_application(self, client_id: str) -> Application | None:
        return self._applications.get(client_id)

    def authenticate(self, client_id: str, secret: str) -> Application | OAuthFault:
        application = self._applications.get(client_id)
        if application is None or not hmac.compare_digest(application.secret_hash, digest(secret)):
            return INVALID_CLIENT
        return application

    def issue_code(self, permission: Permission) -> str:
        code = secrets.token_hex(32)
        self._codes[digest(code)] = Code(permission, self._clock(), self._tokens.new_family())
        return code

    def peek_user(self, grant_type: str, secret: str) -> int | None:
        """Whose the code or refresh token is, if it is still good: GitLab looks at the user before the grant."""
        if grant_type == "authorization_code":
            code = self._codes.get(digest(secret))
            return code.permission.user_id if code is not None and not code.is_spent else None
        refresh = self._refresh.get(digest(secret))
        return refresh.permission.user_id if refresh is not None and not refresh.is_revoked else None

    def exchange(self, client: Application, secret: str, redirect_uri: str, verifier: str) -> TokenPair | OAuthFault:
        key = digest(secret)
        code = self._codes.get(key)
        if code is None:
            return INVALID_GRANT
        if code.is_spent:
            self.revoke_family(code.family)
            return INVALID_GRANT
        permission = code.permission
        if permission.challenge and not verifier:
            return missing("code_verifier")
        is_expired = self._clock() >= code.issued + CODE_LIFETIME
        is_theirs = (permission.client_id, permission.redirect_uri) == (client.client_id, redirect_uri)
        if is_expired or not is_theirs or not answers_challenge(permission, verifier):
            return INVALID_GRANT
        self._codes[key] = replace(code, is_spent=True)
        return self._issue(permission, code.family, code.issued, supersedes=None)

    def refresh(self, client: Application, secret: str, redirect_uri: str) -> TokenPair | OAuthFault:
        """A new pair. The old access token dies now, the old refresh token when the new pair is first used."""
        key = digest(secret)
        old = self._refresh.get(key)
        if old is None or old.is_revoked:
            return INVALID_GRANT
        if (old.permission.client_id, old.permission.redirect_uri) != (client.client_id, redirect_uri):
            return INVALID_GRANT
        self._tokens.revoke(old.access_hash)
        return self._issue(old.permission, old.family, old.auth_time, supersedes=key)

    def confirm(self, token: Token) -> None:
        """The access token was used, so the refresh token it was made with is no longer needed."""
        if token.supersedes is not None and token.supersedes in self._refresh:
            self._refresh[token.supersedes] = replace(self._refresh[token.supersedes], is_revoked=True)

    def revoke(self, client: Application | None, secret: str) -> OAuthFault | None:
        """Revoke the pair that `secret`, an access or a refresh token, belongs to. Unknown tokens are no fault."""
        for key, pair in list(self._refresh.items()):
            if digest(secret) not in (key, pair.access_hash):
                continue
            if client is None or client.client_id != pair.permission.client_id:
                return UNAUTHORIZED_CLIENT
            self._kill(key)
        return None

    def revoke_family(self, family: int) -> None:
        for key, pair in list(self._refresh.items()):
            if pair.family == family:
                self._kill(key)

    def _kill(self, key: str) -> None:
        self._tokens.revoke(self._refresh[key].access_hash)
        self._refresh[key] = replace(self._refresh[key], is_revoked=True)

    def _issue(self, permission: Permission, family: int, auth_time: float, *, supersedes: str | None) -> TokenPair:
        access = self._tokens.issue_oauth(
            permission.user_id,
            permission.scopes,
            client_id=permission.client_id,
            family=family,
            supersedes=supersedes,
            lifetime=OAUTH_LIFETIME,
        )
        refresh = secrets.token_hex(32)
        self._refresh[digest(refresh)] = RefreshToken(permission, family, auth_time, digest(access))
        return TokenPair(access, refresh, permission, self._clock(), auth_time, is_first=supersedes is None)


def answers_challenge(permission: Permission, verifier: str) -> bool:
    """Whether the verifier fits the challenge (RFC 7636, section 4.6)."""
    if not permission.challenge:
        return not verifier
    if len(verifier) not in VERIFIER_LENGTH:
        return False
    if permission.challenge_method == "plain":
        return hmac.compare_digest(permission.challenge.encode(), verifier.encode())
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(permission.challenge.encode(), hashed)
