"""Signs people in with GitLab: sends a browser there, and believes what it comes back with only if all of it fits.

The OAuth 2.0 authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636) and an id_token (OpenID Connect Core
1.0). A sign-in under way is no record on the server: all of it is in the sealed `state`, bound to a cookie of the
browser that began it. So anonymous visitors cost nothing, and ten tabs can sign in at once.
"""

import hashlib
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hmac import compare_digest

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]  # ships no types
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # ships no types
from pydantic import SecretStr

from auth.gitlab import GitLabClient
from auth.id_token import Expected, UnknownKey, subject_of
from auth.model import (
    GitLabFault,
    GitLabUnavailable,
    Session,
    SignInDenied,
    SignInElsewhere,
    SignInFailed,
    TokenRefused,
    Tokens,
    User,
)
from auth.oauth import OAuthClient, TokenReply
from auth.seal import Sealer
from auth.sessions import SessionStore, session_ref
from auth.share import SIGN_INS, Share
from config.settings import AuthSettings

SCOPES = ("openid", "profile", "api", "read_user")  # what existing applications have registered, and not one more
STATE_LIFETIME = 600  # s; as long as GitLab's authorization code
REFRESH_MARGIN = 60  # s; so that a token handed out outlives the calls it is used for
THEN_MAX = 5000  # characters; sealed into the state it still fits GitLab's nginx, which takes 8 KiB of request line
_SCOPES_NEEDED = frozenset(SCOPES) - {"profile"}
# RFC 6749, appendix A.11. Anybody can make one up, and what a GitLab fails over would count against it.
_CODE = re.compile(r"[ -~]{1,1024}\Z")
_ERROR_MAX = 64  # characters of an error code from a query in a log line


@dataclass(frozen=True, slots=True)
class _SignIn:
    """A sign-in under way, as it travels in `state`."""

    id: str
    nonce: str
    verifier: str
    then: str
    browser: str


class Login:
    """Begins and finishes sign-ins, and keeps the tokens of sessions fresh."""

    def __init__(
        self,
        settings: AuthSettings,
        client: GitLabClient,
        sealer: Sealer,
        sessions: SessionStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._gitlab = client
        self._oauth = OAuthClient(client.calls, settings, clock)
        self._sealer = sealer
        self._sessions = sessions
        self._clock = clock
        self._share = Share(SIGN_INS)

    def adopt(self, settings: AuthSettings) -> None:
        """Sign in by the application of these settings from now on; what was begun by another one fails at GitLab."""
        self._settings = settings
        self._oauth.adopt(settings)

    async def begin(self, browser: str, then: str) -> str:
        """The URL at GitLab to send this browser to; `then` comes back from `finish`."""
        if len(then) > THEN_MAX:
            raise ValueError(f"`then` is longer than {THEN_MAX} characters")
        metadata = await self._oauth.find_metadata()
        sign_in = _SignIn(
            id=secrets.token_urlsafe(16),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),  # 64 characters; RFC 7636 section 4.1 wants 43 to 128
            then=then,
            browser=browser_hash(browser),
        )
        uri: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            self._settings.client_id,
            "code",
            redirect_uri=self._settings.redirect_uri,
            scope=" ".join(SCOPES),
            state=self._sealer.seal_record("sign-in", sign_in, self._clock() + STATE_LIFETIME),
            nonce=sign_in.nonce,
            code_challenge=create_s256_code_challenge(sign_in.verifier),
            code_challenge_method="S256",
        )
        return uri

    async def finish(self, params: Sequence[tuple[str, str]], browsers: Collection[str]) -> tuple[Session, str]:
        """A new session and the `then` of its beginning, from the query of the callback and the browser's cookies.

        Raises SignInFailed, SignInElsewhere, SignInDenied or GitLabUnavailable.
        """
        answer = _single(params)
        sign_in = self._open_state(answer, browsers)
        try:
            return await self._finish(answer, sign_in), sign_in.then
        except GitLabFault as fault:
            fault.then = sign_in.then
            raise

    async def _finish(self, answer: dict[str, str], sign_in: _SignIn) -> Session:
        if not await self._sessions.use_once(f"sign-in {sign_in.id}", STATE_LIFETIME):
            raise SignInFailed("the state was used before")
        reply = await self._exchange(answer, sign_in)
        try:
            user = await self._find_person(reply, sign_in)
        except (SignInFailed, SignInDenied):
            await self._revoke(reply.tokens)
            raise
        return await self._sessions.create(user, reply.tokens, sign_in.browser)

    async def fresh_token(self, session: Session) -> SecretStr:
        """An access token of the session that is good for a while yet.

        Refreshed by one caller at a time, because GitLab voids a refresh token with its use. Raises TokenRefused,
        and ends the session, when GitLab will not refresh it any more.
        """
        if not self._is_due(session.tokens):
            return session.tokens.access
        ref = session_ref(session.id)
        async with self._sessions.refreshing(ref):
            current = await self._sessions.get(ref)
            if current is None:
                raise TokenRefused("the session ended")
            if not self._is_due(current.tokens):
                return current.tokens.access
            return await self._refresh(ref, current.tokens)

    async def sign_out(self, session: Session, *, everywhere: bool = False) -> None:
        """End the session here, and its tokens at GitLab if GitLab can be reached; or all sessions of its person."""
        await self._sessions.end(session_ref(session.id))
        if everywhere:
            await self._sessions.end_all(session.user.id)
        await self._revoke(session.tokens)

    def _open_state(self, answer: dict[str, str], browsers: Collection[str]) -> _SignIn:
        sign_in = self._sealer.open_record("sign-in", _SignIn, answer.get("state", ""), self._clock())
        if sign_in is None:
            raise SignInFailed("the state is missing, forged or too old")
        if not any(compare_digest(browser_hash(browser), sign_in.browser) for browser in browsers):
            raise SignInElsewhere("the sign-in was begun under another browser cookie", sign_in.then)
        return sign_in

    async def _exchange(self, answer: dict[str, str], sign_in: _SignIn) -> TokenReply:
        if error := answer.get("error", ""):
            raise _answered_error(error)
        metadata = await self._oauth.find_metadata()
        if answer.get("iss", metadata.issuer) != metadata.issuer:  # RFC 9207 section 2.4
            raise SignInFailed("the answer comes from another issuer")
        if not (code := answer.get("code", "")):
            raise SignInFailed("the answer has no code")
        if not _CODE.match(code):
            raise SignInFailed("the answer's code cannot be one")
        async with self._share.slot():  # anybody can begin a sign-in and come back with a made-up code
            return await self._oauth.exchange_code(code, sign_in.verifier)

    async def _find_person(self, reply: TokenReply, sign_in: _SignIn) -> User:
        if reply.scopes and not reply.scopes >= _SCOPES_NEEDED:
            raise SignInDenied("GitLab granted fewer scopes than asked for")
        subject = await self._find_subject(reply.id_token.get_secret_value(), sign_in.nonce)
        try:
            user = await self._gitlab.find_user(reply.tokens.access)
        except TokenRefused as fault:
            raise SignInDenied(f"GitLab does not accept its own token: {fault.operator}") from fault
        if subject != str(user.id):
            raise SignInFailed("id_token and access token are of different people")
        if not user.is_active_human:
            raise SignInDenied(f"user {user.id} is {'a bot' if user.bot else user.state}")
        return user

    async def _find_subject(self, id_token: str, nonce: str) -> str:
        issuer = (await self._oauth.find_metadata()).issuer
        expected = Expected(issuer, self._settings.client_id, nonce, self._clock())
        try:
            return subject_of(id_token, await self._oauth.find_keys(), expected)
        except UnknownKey:
            return subject_of(id_token, await self._oauth.find_keys(fresh=True), expected)

    def _is_due(self, tokens: Tokens) -> bool:
        return self._clock() >= tokens.expires - REFRESH_MARGIN

    async def _refresh(self, ref: str, tokens: Tokens) -> SecretStr:
        try:
            reply = await self._oauth.refresh(tokens.refresh)
        except (SignInFailed, SignInDenied) as refusal:
            await self._sessions.end(ref)
            raise TokenRefused(f"the session cannot go on: {refusal.operator}") from refusal
        except GitLabUnavailable:
            if self._clock() < tokens.expires:
                return tokens.access  # good for some seconds more, which may outlast a hiccup
            raise
        await self._sessions.put_tokens(ref, reply.tokens)
        return reply.tokens.access

    async def _revoke(self, tokens: Tokens) -> None:
        try:
            await self._oauth.revoke(tokens)
        except GitLabUnavailable:
            return  # nobody holds the token any more, and GitLab ends it within two hours


def browser_hash(browser: str) -> str:
    """What states and sessions hold instead of the browser's cookie."""
    return hashlib.sha256(browser.encode("utf-8", "surrogateescape")).hexdigest()


def _single(params: Sequence[tuple[str, str]]) -> dict[str, str]:
    """RFC 6749 section 3.1: a parameter comes once. Two states, and two readers might each believe another one."""
    counts = Counter(name for name, _ in params)
    if any(count > 1 for count in counts.values()):
        raise SignInFailed("the answer has a parameter twice")
    return dict(params)


def _answered_error(error: str) -> SignInFailed | SignInDenied:
    """RFC 6749 section 4.1.2.1. The description is never read: anybody can write one into a link."""
    if error == "access_denied":
        return SignInDenied("the person or GitLab declined")
    return SignInFailed(f"GitLab answered with the error {error[:_ERROR_MAX]!r}")
