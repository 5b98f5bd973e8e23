"""How many sign-ins may be begun without being finished: from one address, or by one browser that was here before.

Whoever finishes gets theirs back, so that an office behind one address is limited only in what it gives up on. A
browser that signed in here before is counted by itself (the device cookies of OWASP): a flood from the same address,
or through a load balancer that hides all addresses, keeps nobody out but those who come for the first time.
"""

import math
from dataclasses import replace

from aiohttp import web

from auth.allowance import Allowance
from auth.cookies import values
from auth.login import browser_hash
from auth.model import Session
from config.settings import Settings
from gateway.answers import TOO_MANY_SIGN_INS, Answer
from gateway.http.forwarded import TrustedProxies
from gateway.portal.parts import PortalParts, browser_ids, cookie_header
from gateway.source import find_source

KNOWN_LIFETIME = 30 * 86400  # s; who was not here for a month comes for the first time
_PURPOSE = "known browser"
_TRIED_MAX = 4  # cookies of the name that are opened; a browser has one


class SignInLimit:
    """Of one gateway process."""

    def __init__(self, parts: PortalParts) -> None:
        self._parts = parts
        self._proxies = TrustedProxies()
        self._rate = (0, 0)
        self._allowance: Allowance | None = None
        self.adopt(parts.settings)

    def adopt(self, settings: Settings) -> None:
        """Limit as these settings say from now on; with other numbers everybody begins anew."""
        self._proxies.adopt(settings.http.trusted_proxies)
        rate = (settings.sessions.sign_in_burst, settings.sessions.sign_ins_per_minute)
        if rate != self._rate:
            self._rate = rate
            self._allowance = Allowance(*rate, self._parts.clock) if rate[1] else None

    def look(self, request: web.Request) -> Answer | None:
        """What `take` would say now."""
        return _answer(self._allowance.get_wait(self._counted_as(request))) if self._allowance else None

    def take(self, request: web.Request) -> Answer | None:
        """Count a sign-in that begins, or say that there have been too many."""
        return _answer(self._allowance.take(self._counted_as(request))) if self._allowance else None

    def finish(self, request: web.Request, session: Session) -> str:
        """Give it back; the Set-Cookie value by which this browser is known from now on."""
        if self._allowance:
            self._allowance.give_back(self._counted_as(request))
        cookies = self._parts.cookies
        return cookies.issue(cookies.known, self._parts.sealer.seal(_PURPOSE, session.browser.encode()), KNOWN_LIFETIME)

    def _counted_as(self, request: web.Request) -> str:
        if known := self._get_known_browser(request):
            return f"browser {known}"
        chain, _, peer = request.headers.get("X-Forwarded-For", "").rpartition(",")  # the edge wrote the last one
        return f"address {find_source(self._proxies.find_client(peer.strip(), chain.encode('latin-1', 'replace')))}"

    def _get_known_browser(self, request: web.Request) -> str:
        browsers = {browser_hash(browser) for browser in browser_ids(request)}
        for value in values(cookie_header(request), self._parts.cookies.known)[:_TRIED_MAX]:
            opened = self._parts.sealer.open(_PURPOSE, value.decode("latin-1"))
            if opened is not None and opened.decode() in browsers:
                return opened.decode()
        return ""


SIGN_IN_LIMIT = web.AppKey("sign_in_limit", SignInLimit)


def _answer(wait: float) -> Answer | None:
    seconds = math.ceil(wait)
    return replace(TOO_MANY_SIGN_INS, retry_after=seconds, refresh=seconds) if seconds else None
