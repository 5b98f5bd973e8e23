"""Turns what the portal has to say into aiohttp responses: never stored, never framed, with the edge's request id."""

import json
from collections.abc import Iterable

from aiohttp import web
from multidict import CIMultiDict

from gateway.answers import SEE_OTHER, Answer, render
from gateway.pages import CONTENT_SECURITY_POLICY, HOME_POLICY

_POLICY = ("Content-Security-Policy", CONTENT_SECURITY_POLICY)
_PRIVATE_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
_PAGE_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", HOME_POLICY),
    *_PRIVATE_HEADERS,
)


def request_id(request: web.Request) -> str:
    """The id under which the edge logged this request; it sets the header itself and believes nobody else's."""
    return request.headers.get("X-Request-Id", "")


def reply(request: web.Request, answer: Answer, cookies: Iterable[str] = ()) -> web.Response:
    """The answer in the form the client accepts."""
    rendered = render(answer, request.headers.get("Accept", ""), request_id(request))
    return _response(rendered.status, rendered.headers, rendered.body, cookies)


def redirect(request: web.Request, location: str, cookies: Iterable[str] = ()) -> web.Response:
    """303, so that no method and no body ever follows it (RFC 9110, section 15.4.4)."""
    rendered = render(SEE_OTHER, request.headers.get("Accept", ""), request_id(request))
    return _response(rendered.status, (*rendered.headers, _POLICY, ("Location", location)), rendered.body, cookies)


def page(request: web.Request, html: str) -> web.Response:
    """A whole page of the portal."""
    return _response(200, (*_PAGE_HEADERS, ("X-Request-Id", request_id(request))), html.encode(), ())


def json_reply(request: web.Request, told: object) -> web.Response:
    """What a program asked for."""
    headers = (("Content-Type", "application/json"), *_PRIVATE_HEADERS, ("X-Request-Id", request_id(request)))
    return _response(200, headers, json.dumps(told).encode() + b"\n", ())


def _response(status: int, headers: Iterable[tuple[str, str]], body: bytes, cookies: Iterable[str]) -> web.Response:
    fields = CIMultiDict([*headers, *(("Set-Cookie", cookie) for cookie in cookies)])
    return web.Response(status=status, headers=fields, body=body)
