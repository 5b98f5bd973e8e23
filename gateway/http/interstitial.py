"""The one page before the first visit of a public port: whose server this is not. Sealed ways on, one cookie a host."""

import hashlib

from auth.cookies import Cookies, values
from config.settings import VisibilitySettings
from gateway.answers import SIGN_IN_FAILED, interstitial
from gateway.http.decision import Outcome, Redirect, Reply
from gateway.http.entrance import RESERVED, Entrance
from gateway.http.headers import RequestHead
from gateway.http.origins import is_navigation
from routing.model import Route

CONTINUE = RESERVED + b"continue"
SEEN_LIFETIME = 30 * 86400  # s; a person need not be told more than once a month


class Interstitial:
    """Warns every browser once before each public host, and again when another workspace lives there."""

    def __init__(self, settings: VisibilitySettings, entrance: Entrance, cookies: Cookies) -> None:
        self._is_on = settings.interstitial
        self._entrance = entrance
        self._cookies = cookies

    def adopt(self, settings: VisibilitySettings) -> None:
        """Warn, or not, as these settings say from now on."""
        self._is_on = settings.interstitial

    def get_warning(self, head: RequestHead, route: Route) -> Reply | None:
        """The page, for a person who has not seen it; nothing but a navigation ever meets it."""
        if not self._is_on or not _is_visit(head) or _mark(route) in self._marks(head):
            return None
        way, cookie = self._entrance.way_back(head)
        return Reply(interstitial(f"{CONTINUE.decode()}?to={way}"), (cookie,))

    def go_on(self, head: RequestHead, route: Route | None) -> Outcome:
        """From the page to where the person wanted to be; only for the browser that the page was shown to."""
        url = self._entrance.get_way_back(head)
        if url is None or route is None:
            return Reply(SIGN_IN_FAILED)
        return Redirect(url, (self._cookies.issue(self._cookies.seen, _mark(route).decode(), SEEN_LIFETIME),))

    def _marks(self, head: RequestHead) -> list[bytes]:
        return values(head.get(b"cookie"), self._cookies.seen)


def _is_visit(head: RequestHead) -> bool:
    """A frame is no visit: whoever embeds the port answers for it, and no page of ours would show in it."""
    return is_navigation(head) and head.get(b"sec-fetch-dest") in (b"", b"document")


def _mark(route: Route) -> bytes:
    return hashlib.sha256(route.workspace.uid.encode()).hexdigest()[:16].encode()
