"""The tokens of the stand-in GitLab: who they belong to, what they may do, and when they die.

Tokens are kept as hashes only, as GitLab keeps them, so nothing here can show one. No I/O; the clock is given.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from itertools import count
from typing import Literal

from gateway.demo.gitlab_model import start_of

OAUTH_LIFETIME = 7200.0  # GitLab fixes the life of an OAuth access token to two hours

Kind = Literal["personal", "oauth"]
Clock = Callable[[], float]


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


class Refusal(Enum):
    """Why a token is not accepted."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Token:
    """What GitLab records about a token; the token itself is not in it."""

    id: int
    user_id: int
    kind: Kind
    scopes: tuple[str, ...]
    created: float
    family: int
    """Tokens that came from one sign-in, or from rotating one personal access token."""
    name: str = ""
    expires: float | None = None
    expires_on: date | None = None
    client_id: str = ""
    supersedes: str | None = None
    """Hash of the refresh token that dies when this access token is first used."""
    is_revoked: bool = False
    is_rotated: bool = False
    last_used: float | None = None

    def has_scope(self, *accepted: str) -> bool:
        return not set(self.scopes).isdisjoint(accepted)

    def is_expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


class TokenStore:
    """Every access token: personal, of projects (a bot's), and of OAuth applications."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._ids = count(1)
        self._families = count(1)

    def __repr__(self) -> str:
        return f"<TokenStore of {len(self._tokens)} tokens>"

    def new_family(self) -> int:
        return next(self._families)

    def issue_personal(
        self, user_id: int, scopes: tuple[str, ...], *, prefix: str, name: str, expires_on: date | None
    ) -> str:
        secret = prefix + secrets.token_urlsafe(15)
        self._tokens[digest(secret)] = Token(
            id=next(self._ids),
            user_id=user_id,
            kind="personal",
            scopes=scopes,
            created=self._clock(),
            family=self.new_family(),
            name=name,
            expires=start_of(expires_on) if expires_on is not None else None,
            expires_on=expires_on,
        )
        return secret

    def issue_oauth(
        self,
        user_id: int,
        scopes: tuple[str, ...],
        *,
        client_id: str,
        family: int,
        supersedes: str | None = None,
        lifetime: float = OAUTH_LIFETIME,
    ) -> str:
        secret = secrets.token_hex(32)
        now = self._clock()
        self._tokens[digest(secret)] = Token(
            id=next(self._ids),
            user_id=user_id,
            kind="oauth",
            scopes=scopes,
            created=now,
            family=family,
            expires=now + lifetime,
            client_id=client_id,
            supersedes=supersedes,
        )
        return secret

    def rotate(self, secret: str) -> str:
        """A new personal access token in the place of `secret`, whose reuse then revokes the whole family."""
        key = digest(secret)
        old = self._tokens[key]
        fresh = "glpat-" + secrets.token_urlsafe(15)
        self._tokens[key] = replace(old, is_revoked=True, is_rotated=True)
        self._tokens[digest(fresh)] = replace(old, id=next(self._ids), created=self._clock())
        return fresh

    def look_up(self, secret: str) -> Token | Refusal:
        """What the token is now, without using it."""
        token = self._tokens.get(digest(secret))
        if token is None:
            return Refusal.UNKNOWN
        if token.is_revoked:
            return Refusal.REVOKED
        return Refusal.EXPIRED if token.is_expired(self._clock()) else token

    def use(self, secret: str) -> Token | Refusal:
        """Present the token. A rotated personal token that is presented again takes its family with it."""
        key = digest(secret)
        token = self._tokens.get(key)
        if token is not None and token.is_rotated:
            self.revoke_family(token.family)
        found = self.look_up(secret)
        if isinstance(found, Token):
            self._tokens[key] = replace(found, last_used=self._clock(), supersedes=None)
        return found

    def revoke(self, key: str) -> None:
        """Revoke the token with this hash, if there is one."""
        if key in self._tokens:
            self._tokens[key] = replace(self._tokens[key], is_revoked=True)

    def revoke_family(self, family: int) -> None:
        for key, _token in list(self._of_family(family)):
            self.revoke(key)

    def _of_family(self, family: int) -> Iterator[tuple[str, Token]]:
        return ((key, token) for key, token in self._tokens.items() if token.family == family)
