"""Heads of requests and responses: read strictly, rewritten for the other side. Pure: bytes and values, no I/O.

What a parser lets through but two readers could understand differently is refused here (RFC 9112). What belongs to
one connection stays on it (RFC 9110, section 7.6.1); what the gateway itself says to a workspace, only the gateway
says; the gateway's cookies stay with the gateway. Everything else passes byte for byte, in its order and spelling.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from gateway.answers import BAD_HOST, BAD_REQUEST, EXPECTATION_FAILED, NOT_IMPLEMENTED, Answer
from routing.hostname import InvalidHost, parse_host

Field = tuple[bytes, bytes]

# RFC 9110, section 7.6.1, and the two that RFC 2616 had
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)
# Said by the gateway alone; `forwarded` (RFC 7239) would contradict the X-Forwarded set
_OURS = frozenset(
    b"x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-prefix forwarded x-request-id"
    b" x-workspaces-user x-workspaces-token traceparent tracestate".split()
)
_TOKEN = b"x-workspaces-token"  # for the gateway itself, whose portal reads it too
_DROPPED = _HOP_BY_HOP | _OURS
_DROPPED_BEFORE_PORTAL = _DROPPED - {_TOKEN}
_DROPPED_FROM_RESPONSE = _HOP_BY_HOP | {b"x-workspaces-gateway"}  # marks what the gateway itself answers
# Fields that cannot simply pass: the dropped ones, and those whose value decides
_SPECIAL = _DROPPED | {b"cookie"}
_SPECIAL_IN_RESPONSE = _DROPPED_FROM_RESPONSE | {b"set-cookie", b"clear-site-data"}
# `Connection: cookie` must not make a proxy lose what others rely on
_NOT_NAMEABLE = _OURS | frozenset(b"host cookie content-length transfer-encoding authorization origin cdn-loop".split())
_USUAL = frozenset((b"keep-alive", b"close", b"Upgrade"))  # values of Connection that name no field
_NOT_SHARED = frozenset((b"private", b"no-store"))
_NO_LENGTH = frozenset((204,))  # and all of 1xx: RFC 9110, section 8.6
_FOLD = bytes.maketrans(b"_.", b"--")
_NAMES_MAX = 4096  # real traffic uses a few hundred field names; who invents more makes everybody learn them again
_CONTROL = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)(.*)\Z", re.IGNORECASE)


class Refused(Exception):
    """The request cannot be passed on; the answer says why, and the connection closes after it."""

    def __init__(self, answer: Answer, operator: str) -> None:
        super().__init__(operator)
        self.answer = answer
        self.operator = operator


@dataclass(slots=True)
class RequestHead:
    """A request head that has only one meaning."""

    method: bytes
    target: bytes
    """Origin-form (RFC 9112, section 3.2.1), exactly as the client wrote it, or `*`."""
    http10: bool
    fields: list[Field]
    named: dict[bytes, bytes]
    """Values by lower-case name; several lines of one name are combined (RFC 9110, section 5.3)."""
    host: str
    """Canonical: the same value goes to routing, access and logs."""
    content_length: int
    chunked: bool
    upgrade: bool
    """A well-formed request for a WebSocket (RFC 6455, section 4.1)."""
    keep_alive: bool

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def get(self, name: bytes) -> bytes:
        """The value of a field by its lower-case name; empty when it is absent."""
        return self.named.get(name, b"")


def parse_request(method: bytes, target: bytes, version: str, fields: list[Field], *, keep_alive: bool) -> RequestHead:
    """Read a request head that llhttp accepted.

    Raises:
        Refused: if any part of it could mean two things.
    """
    named = _by_name(fields)
    http10 = version == "1.0"
    if method == b"CONNECT":
        raise Refused(BAD_REQUEST, "a tunnel to anywhere")
    if version not in ("1.0", "1.1"):
        raise Refused(BAD_REQUEST, "HTTP version")
    host = _host(named)
    # Most requests have none of these fields: a look-up is all they cost.
    chunked = b"transfer-encoding" in named and _is_chunked(named[b"transfer-encoding"], http10=http10)
    length = int(named[b"content-length"]) if b"content-length" in named else 0
    if b"expect" in named and named[b"expect"].lower() != b"100-continue":
        raise Refused(EXPECTATION_FAILED, "unknown expectation")
    return RequestHead(
        method=method,
        target=_origin_form(method, target, host),
        http10=http10,
        fields=fields,
        named=named,
        host=host,
        content_length=length,
        chunked=chunked,
        upgrade=b"upgrade" in named and _is_websocket(method, named, http10=http10, has_body=chunked or length > 0),
        keep_alive=keep_alive,
    )


def request_for_upstream(head: RequestHead, forwarded: bytes, own_cookies: frozenset[bytes]) -> bytes:
    """The head that the workspace receives.

    `forwarded` is the block of lines the gateway adds; `own_cookies` are the cookie names that stay here, none for the
    portal, which is ours and may know what a workspace may not.
    """
    dropped = _DROPPED if own_cookies else _DROPPED_BEFORE_PORTAL
    parts = [head.method, b" ", head.target, b" HTTP/1.1\r\n"]
    cookies_done = False
    for name, value in _unnamed(head.fields, head.named):
        key = _folded[name]
        if key not in _SPECIAL:
            parts += (name, b": ", value, b"\r\n")
        elif key == b"cookie":
            if not cookies_done and (kept := strip_cookies(head.named[b"cookie"], own_cookies)):
                parts += (name, b": ", kept, b"\r\n")
            cookies_done = True
        elif key not in dropped:
            parts += (name, b": ", value, b"\r\n")
    if head.upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    elif head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    parts += (forwarded, b"\r\n")
    return b"".join(parts)


@dataclass(slots=True)
class ResponseHead:
    """A response head as the workspace sent it."""

    status: int
    reason: bytes
    http10: bool
    fields: list[Field]
    named: dict[bytes, bytes]
    keep_alive: bool

    @property
    def is_persistent(self) -> bool:
        """Whether the workspace keeps the connection open, by its head alone; `keep_alive` knows of bodies too."""
        return not self.http10 and b"close" not in tokens(self.named.get(b"connection", b""))

    @property
    def content_length(self) -> int | None:
        value = self.named.get(b"content-length")
        return int(value) if value is not None else None

    @property
    def chunked(self) -> bool:
        return b"transfer-encoding" in self.named


class BadResponse(Exception):
    """The workspace's response head could mean two things. The upstream's fault."""


def head_size(fields: list[Field]) -> int:
    """The bytes of these fields, each on a line."""
    return sum(map(len, chain.from_iterable(fields))) + 4 * len(fields)


def parse_response(status: int, reason: bytes, version: str, fields: list[Field], *, keep_alive: bool) -> ResponseHead:
    """Read a response head that llhttp accepted.

    Raises:
        BadResponse: if its framing is not certain.
    """
    named = _by_name(fields)
    http10 = version == "1.0"
    coding = named.get(b"transfer-encoding")
    if status < 100:
        raise BadResponse("status below 100")
    if not reason.isalnum() and _CONTROL.search(reason):  # RFC 9112, section 4; llhttp takes all of them but CR and LF
        raise BadResponse("control character in the reason")
    if coding is not None and (coding.lower() != b"chunked" or http10):
        raise BadResponse("transfer coding other than chunked")
    if version not in ("1.0", "1.1"):
        raise BadResponse("HTTP version")
    return ResponseHead(status, reason, http10, fields, named, keep_alive)


def response_for_client(
    head: ResponseHead, framing: bytes, added: Iterable[bytes], own_cookies: frozenset[bytes], host: str
) -> bytes:
    """The head that the browser receives.

    `framing` is the block of lines that delimit the body on this connection, `added` are whole lines of ours.
    `own_cookies` is empty for the portal, which is ours and may say what a workspace may not.
    """
    dropped = _DROPPED_FROM_RESPONSE if own_cookies else _HOP_BY_HOP
    special = _SPECIAL_IN_RESPONSE
    if head.status < 200 or head.status in _NO_LENGTH:
        # A client that believed it would wait for a body, or take the next head for one.
        dropped, special = dropped | {b"content-length"}, special | {b"content-length"}
    parts = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason)]
    for name, value in _unnamed(head.fields, head.named):
        key = _folded[name]
        if key in special and (key in dropped or (own_cookies and _is_value_refused(key, value, own_cookies, host))):
            continue
        parts += (name, b": ", value, b"\r\n")
    parts += added
    parts += (framing, b"\r\n")
    return b"".join(parts)


def privacy(head: ResponseHead) -> bytes:
    """The line that keeps what one visitor may see out of caches that others share; empty where the head says it.

    Of directives that disagree the strictest counts (RFC 9111, sections 4.2.1 and 5.2.2.7), so none is taken away.
    """
    told = head.named.get(b"cache-control")
    return b"" if told is not None and _NOT_SHARED & tokens(told) else b"Cache-Control: private\r\n"


def _is_value_refused(key: bytes, value: bytes, own_cookies: frozenset[bytes], host: str) -> bool:
    if key == b"set-cookie":
        return is_cookie_refused(value, own_cookies, host)
    # Clearing cookies reaches the whole registrable domain: every other workspace, the portal, perhaps GitLab.
    return key == b"clear-site-data" and (b"cookies" in value.lower() or b"*" in value)


def switching_protocols(head: ResponseHead, own_cookies: frozenset[bytes], host: str) -> bytes:
    """The 101 that opens a tunnel, with the WebSocket fields in their own spelling and order."""
    return response_for_client(head, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", (), own_cookies, host)


class _Folded(dict[bytes, bytes]):
    """Field names as a CGI-like server reads them: lower case, `_` and `.` like `-`; a look-up once they are known."""

    def __missing__(self, name: bytes) -> bytes:
        if len(self) >= _NAMES_MAX:
            self.clear()
        folded = self[name] = name.lower().translate(_FOLD)
        return folded


_folded = _Folded()


def strip_cookies(value: bytes, names: frozenset[bytes]) -> bytes:
    """A Cookie value without the cookies of these names; all others keep every byte."""
    if b"workspace" not in value:  # every name of ours holds this word
        return value
    kept = [pair for pair in value.split(b";") if pair.partition(b"=")[0].strip(b" \t") not in names]
    return b";".join(kept).strip(b" \t")


def is_cookie_refused(value: bytes, names: frozenset[bytes], host: str) -> bool:
    """Whether a workspace may not set this cookie: it uses a name of ours, or would reach other hosts of the zone.

    A Domain may name the host itself. Any other either reaches further or is refused by browsers, and which of the two
    depends on how a browser decodes it (`%2e`, a full-width dot), so there is no list of bad ones to compare with.
    """
    pair, *attributes = value.split(b";")
    # A browser sends the nameless cookie `=name=value` as `name=value`.
    if pair.lstrip(b" \t=").partition(b"=")[0].rstrip(b" \t") in names:
        return True
    for attribute in attributes:
        key, _, domain = attribute.partition(b"=")
        if key.strip(b" \t").lower() == b"domain":
            told = domain.strip(b" \t").removeprefix(b".").lower()
            if told and told != host.encode():
                return True
    return False


def tokens(value: bytes) -> frozenset[bytes]:
    """The lower-case members of a comma-separated field value."""
    return frozenset(token.strip(b" \t").lower() for token in value.split(b",")) - {b""}


def _by_name(fields: list[Field]) -> dict[bytes, bytes]:
    named = {name.lower(): value for name, value in fields}
    return named if len(named) == len(fields) else _combined(fields)  # most names stand once


def _combined(fields: list[Field]) -> dict[bytes, bytes]:
    named: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if key not in named:
            named[key] = value
        elif key == b"cookie":
            named[key] = b"; ".join(filter(None, (named[key], value)))
        else:
            named[key] += b", " + value
    return named


def _host(named: dict[bytes, bytes]) -> str:
    try:
        return parse_host(named[b"host"])
    except KeyError as exc:
        raise Refused(BAD_HOST, "no Host") from exc
    except InvalidHost as exc:  # two of them, combined by a comma, are none either
        raise Refused(BAD_HOST, "Host is no DNS name") from exc


def _is_chunked(coding: bytes, *, http10: bool) -> bool:
    if http10 or coding.lower() != b"chunked":
        raise Refused(BAD_REQUEST if http10 else NOT_IMPLEMENTED, "transfer coding other than chunked, or in HTTP/1.0")
    return True


def _origin_form(method: bytes, target: bytes, host: str) -> bytes:
    if target.startswith(b"/") and b"#" not in target:
        return target
    if target == b"*" and method == b"OPTIONS":
        return target
    match = _ABSOLUTE_FORM.match(target)
    if match is None or b"#" in target or not _is_same_host(match[1], host):
        raise Refused(BAD_REQUEST, "request target")
    rest = match[2]
    if not rest and method == b"OPTIONS":
        return b"*"  # RFC 9112, section 3.2.4
    return rest if rest.startswith(b"/") else b"/" + rest


def _is_same_host(authority: bytes, host: str) -> bool:
    try:
        return parse_host(authority) == host
    except InvalidHost:
        return False


def _is_websocket(method: bytes, named: dict[bytes, bytes], *, http10: bool, has_body: bool) -> bool:
    if b"upgrade" not in tokens(named.get(b"connection", b"")):
        return False
    if b"websocket" not in tokens(named[b"upgrade"]) or method != b"GET" or http10:
        return False
    if b"sec-websocket-key" not in named:
        return False  # no answer could be checked against it
    if has_body:
        raise Refused(BAD_REQUEST, "an upgrade with a body")
    return True


def _unnamed(fields: list[Field], named: dict[bytes, bytes]) -> list[Field]:
    """The fields that Connection does not declare to be of one connection only."""
    value = named.get(b"connection")
    if value is None or value in _USUAL:
        return fields
    options = tokens(value) - _NOT_NAMEABLE
    return [field for field in fields if field[0].lower() not in options]
