"""The way into a workspace host and back to where somebody wanted to be: targets, entry codes, and their cookies.

Whatever leaves the host (to the portal, or into a link on a page of ours) is sealed, and bound by a nonce cookie to the
browser that asked, so that nobody can send somebody else along it.
"""

import hmac
import re
from urllib.parse import quote, urlsplit

from auth.cookies import OLD_NAMES, Cookies, expire_old, values
from auth.grants import CODE_LIFETIME, GRANT_LIFETIME, TARGET_LIFETIME, Grants, new_nonce, nonce_hash
from auth.model import EntryCode, GitLabUnavailable, Grant, Target, Visibility
from auth.sessions import SessionStore
from config.settings import AuthSettings
from gateway.answers import SIGN_IN_FAILED, SIGN_IN_LOOP, answer_fault, sign_in_needed
from gateway.http.decision import Ask, Decision, Outcome, Redirect, Reply
from gateway.http.headers import RequestHead
from gateway.http.origins import is_navigation
from routing.model import Route

RESERVED = b"/.workspaces-gateway/"
ENTER = RESERVED + b"enter"
_URL_SAFE = "".join(map(chr, range(0x21, 0x7F)))  # what stands in a Location as it is; the rest becomes %XX
_OLD_MARKS = tuple(name.encode() for name in OLD_NAMES)
_COUNT = re.compile(rb"[0-9]\Z")
LOOP_ENTRIES = 2  # somebody who was let in twice and is a stranger again would be let in for ever
LOOP_SECONDS = 10  # a round takes a second or two
_NONCE = re.compile(rb"[A-Za-z0-9_-]{43}\Z")  # what `new_nonce` gives; anything else in the cookie is replaced


class Entrance:
    """Sends visitors to sign in, and lets those in whom the portal sends back."""

    def __init__(self, settings: AuthSettings, grants: Grants, sessions: SessionStore, cookies: Cookies) -> None:
        self._protocol, self._portal_url = settings.protocol, settings.portal_url
        self._grants = grants
        self._sessions = sessions
        self._cookies = cookies
        port = urlsplit(self._portal_url).port
        self._port = f":{port}" if port else ""

    def challenge(self, head: RequestHead) -> Outcome:
        """What somebody meets whom nothing lets in: the way to sign in, or 401 for anything but a navigation."""
        expired = expired_cookies(head)
        start = f"{self._portal_url}/auth/start"
        if not is_navigation(head):
            return Reply(sign_in_needed(start), expired)
        if self._entries(head) >= LOOP_ENTRIES:
            return Reply(SIGN_IN_LOOP, (self._cookies.expire(self._cookies.entered), *expired))
        way, cookie = self.way_back(head)
        return Redirect(f"{start}?to={quote(way)}", (cookie, *expired))

    def way_back(self, head: RequestHead) -> tuple[str, str]:
        """The sealed address of this request, and the cookie without which it leads nowhere."""
        nonce = self._nonce(head)
        # The name as the browser spells it, whose cookies depend on a trailing dot; the port is the portal's, because
        # both are reached the same way, and what a Host header says of it anybody may say.
        name = head.get(b"host").partition(b":")[0].decode()
        url = f"{self._protocol}://{name}{self._port}{quote(head.target, safe=_URL_SAFE)}"
        sealed = self._grants.seal_target(Target(head.host, url, nonce_hash(nonce)))
        return sealed, self._cookies.issue(self._cookies.entry, nonce, TARGET_LIFETIME)

    def get_way_back(self, head: RequestHead) -> str | None:
        """The address that this host sealed for this browser into `?to=`."""
        target = self._grants.get_target(head.target.partition(b"?to=")[2].decode("latin-1"))
        if target is None or target.host != head.host or not self._is_bound(head, target.nonce_hash):
            return None
        return target.url

    def enter(self, head: RequestHead, route: Route | None, level: Visibility) -> Decision:
        """Exchange the portal's code for a grant."""
        code = self._grants.get_code(head.target.removeprefix(ENTER + b"?code=").decode("latin-1"))
        if code is None or route is None or not self._is_entry(head, route, code, level):
            return Reply(SIGN_IN_FAILED)
        return Ask(lambda: self._enter(code, self._entries(head) + 1))

    def grant_cookie(self, grant: Grant) -> str:
        return self._cookies.issue(self._cookies.grant, self._grants.seal_grant(grant), GRANT_LIFETIME)

    async def _enter(self, code: EntryCode, entries: int) -> Outcome:
        try:
            if not await self._sessions.use_once(code.id, CODE_LIFETIME):
                return Reply(SIGN_IN_FAILED)
        except GitLabUnavailable as fault:
            return Reply(answer_fault(fault))
        counted = self._cookies.issue(self._cookies.entered, str(entries), LOOP_SECONDS)
        return Redirect(code.url, (self.grant_cookie(self._grants.grant_for(code)), counted))

    def _entries(self, head: RequestHead) -> int:
        """How often this browser was let in during the last seconds, by its own word; it can only stop itself."""
        counts = values(head.get(b"cookie"), self._cookies.entered)
        return max((int(count) for count in counts if _COUNT.match(count)), default=0)

    def _is_entry(self, head: RequestHead, route: Route, code: EntryCode, level: Visibility) -> bool:
        return (
            code.host == route.host
            and code.workspace_uid == route.workspace.uid
            and code.visibility <= level
            and self._is_bound(head, code.nonce_hash)
        )

    def _is_bound(self, head: RequestHead, expected: str) -> bool:
        nonces = values(head.get(b"cookie"), self._cookies.entry)
        return any(hmac.compare_digest(nonce_hash(nonce.decode("latin-1")), expected) for nonce in nonces)

    def _nonce(self, head: RequestHead) -> str:
        # One nonce serves all tabs of a browser on this host, so that each of them can end where it wanted to be.
        for value in values(head.get(b"cookie"), self._cookies.entry):
            if _NONCE.match(value):
                return value.decode()
        return new_nonce()


def expired_cookies(head: RequestHead) -> tuple[str, ...]:
    """Set-Cookie values that end what the old proxy left in this browser."""
    cookies = head.get(b"cookie")
    return expire_old(head.host) if any(mark in cookies for mark in _OLD_MARKS) else ()
