"""How a test or a demo makes the stand-in GitLab slow, broken or silent, per endpoint or everywhere.

    gitlab.switches.everywhere.fault = Fault.RATE_LIMITED
    gitlab.switches[Endpoint.GRAPHQL].latency = 0.2
    gitlab.switches.reset()

A switch may be set at any time and applies from the next request on. What an endpoint has of its own goes before
what is set for everywhere.
"""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from aiohttp import web


class Endpoint(StrEnum):
    """A part of GitLab that can be counted and broken by itself."""

    DISCOVERY = "discovery"
    KEYS = "keys"
    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105 - the name of an endpoint
    REVOKE = "revoke"
    INTROSPECT = "introspect"
    TOKEN_INFO = "token_info"  # noqa: S105 - the name of an endpoint
    USERINFO = "userinfo"
    SIGN_IN = "sign_in"
    USER = "user"
    TOKEN_SELF = "token_self"  # noqa: S105 - the name of an endpoint
    USER_BY_ID = "user_by_id"
    USER_KEYS = "user_keys"
    KEYS_FILE = "keys_file"
    GRAPHQL = "graphql"


class Fault(Enum):
    """Ways in which a GitLab, or what stands before it, fails."""

    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    RATE_LIMITED = "429 with every header"
    RATE_LIMITED_BARE = "429 of the application, without headers"
    UNAVAILABLE = "503"
    ERROR_PAGE = "an HTML error page, 502"
    MAINTENANCE_PAGE = "an HTML page with status 200"
    SILENT = "takes the request and never answers"
    CLOSED = "closes the connection without a byte"


_WORDS = {
    Fault.UNAUTHORIZED: (401, "401 Unauthorized", "Invalid token"),
    Fault.FORBIDDEN: (403, "403 Forbidden", "API not accessible for user"),
    Fault.UNAVAILABLE: (503, "503 Service Unavailable", "Request timed out. Please try a less complex query."),
}
"""Status, and the message of the REST API and of GraphQL."""

_PAGES = {
    Fault.RATE_LIMITED: (429, "text/plain", "Retry later\n"),
    Fault.RATE_LIMITED_BARE: (429, "text/plain", "Retry later\n"),
    Fault.ERROR_PAGE: (502, "text/html", "<!DOCTYPE html><title>502</title><h1>GitLab is not responding.</h1>\n"),
    Fault.MAINTENANCE_PAGE: (200, "text/html", "<!DOCTYPE html><title>Maintenance</title><h1>Back soon.</h1>\n"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A fixed answer, for what no `Fault` covers."""

    status: int
    body: str = ""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Switch:
    """What is wrong with one endpoint now."""

    latency: float = 0.0
    """Seconds before anything is answered."""
    gate: asyncio.Event | None = None
    """Requests wait here until it is set: latency for tests that do not sleep."""
    fault: Fault | Answer | None = None
    times: int | None = None
    """How many more requests the fault is for; None is all."""

    def take_fault(self) -> Fault | Answer | None:
        """The fault for one request."""
        if self.fault is None or self.times is None:
            return self.fault
        if self.times <= 0:
            return None
        self.times -= 1
        return self.fault


@dataclass(slots=True)
class Switches:
    """The switch of every endpoint, and the one for everywhere."""

    everywhere: Switch = field(default_factory=Switch)
    retry_after: int = 30
    """What Retry-After of a 429 or 503 says."""
    _by_endpoint: defaultdict[Endpoint, Switch] = field(default_factory=lambda: defaultdict(Switch))

    def __getitem__(self, endpoint: Endpoint) -> Switch:
        return self._by_endpoint[endpoint]

    def reset(self) -> None:
        """All is well again."""
        self.everywhere = Switch()
        self._by_endpoint.clear()

    async def apply(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse | None:
        """Wait as long as the switches say, then the failing answer, or None to go on as usual."""
        for switch in (self._by_endpoint[endpoint], self.everywhere):
            if switch.latency:
                await asyncio.sleep(switch.latency)
            if switch.gate is not None:
                await switch.gate.wait()
            if (fault := switch.take_fault()) is not None:
                return await self._fail(fault, endpoint, request)
        return None

    async def _fail(self, fault: Fault | Answer, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        if isinstance(fault, Answer):
            return web.Response(
                status=fault.status, text=fault.body, content_type=fault.content_type, headers=fault.headers
            )
        if fault is Fault.CLOSED and request.transport is not None:
            request.transport.abort()
        if fault in (Fault.CLOSED, Fault.SILENT):
            await asyncio.Event().wait()  # until the client or the server goes away
        status, content_type, text = _body(fault, endpoint)
        return web.Response(status=status, content_type=content_type, text=text, headers=self._headers(fault))

    def _headers(self, fault: Fault) -> dict[str, str]:
        retry = {"Retry-After": str(self.retry_after)}
        if fault is Fault.UNAVAILABLE:
            return retry
        if fault is not Fault.RATE_LIMITED:
            return {}
        return retry | {
            "RateLimit-Name": "throttle_authenticated_api",
            "RateLimit-Limit": "60",
            "RateLimit-Observed": "61",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": "1609844400",
            "RateLimit-ResetTime": "Tue, 05 Jan 2021 11:00:00 GMT",
        }


def _body(fault: Fault, endpoint: Endpoint) -> tuple[int, str, str]:
    """Status, content type and body of a failure as this endpoint words it."""
    if fault in _PAGES:
        return _PAGES[fault]
    status, rest, graphql = _WORDS[fault]
    told = {"errors": [{"message": graphql}]} if endpoint is Endpoint.GRAPHQL else {"message": rest}
    return status, "application/json", json.dumps(told)
