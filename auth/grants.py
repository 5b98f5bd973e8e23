"""Makes and reads the sealed values that carry a visitor from anonymous to granted: targets, codes, grants.

Pure but for the clock it is given. There is no server state in any of them: a thousand anonymous visitors cost
nothing, and every replica that holds the signing key reads what another one sealed. What each is bound to is in the
fields of the values themselves (`auth.model`); comparing them with the request is the edge's work.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from auth.model import EntryCode, Grant, Target
from auth.seal import Sealer

TARGET_LIFETIME = 600  # s; as long as GitLab's authorization code, so that typing a password and a second factor fits
CODE_LIFETIME = 30  # s; one redirect of a browser, over a bad mobile connection
GRANT_LIFETIME = 600  # s; the longest that a decision may outlive the facts it was made from
GRANT_CACHE_SIZE = 10_000  # verified grants, about 1.5 KiB each; beyond that a grant is merely opened again


class Grants:
    """Seals and opens targets, entry codes and grants; every verified grant is remembered by its bytes."""

    def __init__(self, sealer: Sealer, clock: Callable[[], float] = time.time) -> None:
        self._sealer = sealer
        self._clock = clock
        # Only what was verified is remembered, so nobody can push a grant out with guesses. A plain dict, in the order
        # of arrival, which is nearly that of expiry: a TTLCache answers in 4 us instead of 0.3, on every request.
        self._verified: dict[bytes, Grant] = {}

    def forget(self) -> None:
        """Open every grant anew: the keys are others now."""
        self._verified.clear()

    def seal_target(self, target: Target) -> str:
        return self._sealer.seal_record("target", target, self._clock() + TARGET_LIFETIME)

    def get_target(self, text: str) -> Target | None:
        return self._sealer.open_record("target", Target, text, self._clock())

    def seal_code(self, code: EntryCode) -> str:
        return self._sealer.seal_record("entry code", code, self._clock() + CODE_LIFETIME)

    def get_code(self, text: str) -> EntryCode | None:
        return self._sealer.open_record("entry code", EntryCode, text, self._clock())

    def grant_for(self, code: EntryCode) -> Grant:
        """What an entry code is exchanged for, once the edge has checked host, workspace, browser and single use."""
        now = self._clock()
        return Grant(
            host=code.host,
            workspace_id=code.workspace_id,
            workspace_uid=code.workspace_uid,
            user_id=code.user_id,
            username=code.username,
            session_ref=code.session_ref,
            visibility=code.visibility,
            issued=now,
            expires=now + GRANT_LIFETIME,
        )

    def renewed(self, grant: Grant, asked: float | None = None) -> Grant:
        """The same grant with a life before it that begins when GitLab was asked, or else now.

        For the edge, after `GrantKeeper.recheck` granted it again. Counted from now, an answer of five minutes ago
        would hold for another five.
        """
        begun = self._clock() if asked is None else asked
        return replace(grant, issued=begun, expires=begun + GRANT_LIFETIME)

    def seal_grant(self, grant: Grant) -> str:
        return self._sealer.seal_record("grant", grant, grant.expires)

    def get_grant(self, cookie: bytes) -> Grant | None:
        """The grant in a cookie, or None; asked for every request, so a known one costs a look-up and a comparison."""
        grant = self._verified.get(cookie)
        if grant is None:
            grant = self._open_grant(cookie)
        return grant if grant is not None and grant.holds(self._clock()) else None

    def _open_grant(self, cookie: bytes) -> Grant | None:
        grant = self._sealer.open_record("grant", Grant, cookie.decode("latin-1"), self._clock())
        if grant is not None:
            self._verified[cookie] = grant
            if len(self._verified) > GRANT_CACHE_SIZE:
                del self._verified[next(iter(self._verified))]
        return grant


def new_nonce() -> str:
    """256 random bits for the entry cookie that ties a target, and later a code, to one browser."""
    return secrets.token_urlsafe(32)


def nonce_hash(nonce: str) -> str:
    """What targets and codes hold instead of the nonce, so that an address alone is no use in another browser."""
    return hashlib.sha256(nonce.encode("utf-8", "surrogateescape")).hexdigest()
