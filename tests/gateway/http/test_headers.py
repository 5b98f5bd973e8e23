"""Heads: what is refused, what passes byte for byte, and what each side never learns of the other."""

import pytest

from auth.cookies import Cookies
from gateway.answers import BAD_HOST, BAD_REQUEST, EXPECTATION_FAILED, NOT_IMPLEMENTED, Answer
from gateway.http.headers import (
    BadResponse,
    Field,
    Refused,
    RequestHead,
    is_cookie_refused,
    parse_request,
    parse_response,
    request_for_upstream,
    response_for_client,
    strip_cookies,
    switching_protocols,
)

HOST = "3000-apple.ws.example.dev"
OWN = Cookies(secure=True).names
ODD = b'foobar[0]=x; =empty; q="a b"; workspace=mine; ;; \xe9=1'
HOST_FIELD: Field = (b"Host", HOST.encode())
KEY: Field = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
UPGRADE: list[Field] = [HOST_FIELD, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), KEY]


def parse(
    *fields: Field, method: bytes = b"GET", target: bytes = b"/", version: str = "1.1", host: bool = True
) -> RequestHead:
    return parse_request(method, target, version, [HOST_FIELD, *fields] if host else list(fields), keep_alive=True)


def forward(*fields: Field, method: bytes = b"GET") -> list[bytes]:
    """The header lines a workspace receives, but for Host."""
    lines = request_for_upstream(parse(*fields, method=method), b"", OWN).split(b"\r\n")
    assert lines[1] == b"Host: " + HOST.encode()
    assert lines[-2:] == [b"", b""]
    return lines[2:-2]


def respond(*fields: Field, status: int = 200, own: frozenset[bytes] = OWN) -> list[bytes]:
    """The header lines a browser receives."""
    head = parse_response(status, b"Fine", "1.1", list(fields), keep_alive=True)
    return response_for_client(head, b"", (), own, HOST).split(b"\r\n")[1:-2]


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ([], BAD_HOST),
        ([(b"Host", b"")], BAD_HOST),
        ([HOST_FIELD, HOST_FIELD], BAD_HOST),
        ([HOST_FIELD, (b"hOST", b"other.example.dev")], BAD_HOST),
        ([(b"Host", b"a b.example.dev")], BAD_HOST),
        ([(b"Host", b"user@a.example.dev")], BAD_HOST),
        ([(b"Host", b"a.example.dev, b.example.dev")], BAD_HOST),
        ([(b"Host", b"a.example.dev:99999")], BAD_HOST),
        ([HOST_FIELD, (b"Transfer-Encoding", b"gzip, chunked")], NOT_IMPLEMENTED),
        ([HOST_FIELD, (b"Transfer-Encoding", b"identity")], NOT_IMPLEMENTED),
        ([HOST_FIELD, (b"Transfer-Encoding", b"")], NOT_IMPLEMENTED),
        ([HOST_FIELD, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")], NOT_IMPLEMENTED),
        ([HOST_FIELD, (b"Expect", b"200-maybe")], EXPECTATION_FAILED),
        ([HOST_FIELD, (b"Expect", b"100-continue, x")], EXPECTATION_FAILED),
        ([*UPGRADE, (b"Content-Length", b"5")], BAD_REQUEST),
        ([*UPGRADE, (b"Transfer-Encoding", b"chunked")], BAD_REQUEST),
    ],
)
def test_ambiguous_head_is_refused(fields: list[Field], answer: Answer) -> None:
    """A head that two readers could understand differently is answered, not forwarded."""
    with pytest.raises(Refused) as refused:
        parse(*fields, host=False)

    assert refused.value.answer is answer


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_other_version_is_refused(version: str) -> None:
    """Only HTTP/1.0 and HTTP/1.1 are spoken."""
    with pytest.raises(Refused):
        parse(version=version)


def test_chunked_http_1_0_is_refused() -> None:
    """HTTP/1.0 knows no transfer coding, so who sends one means mischief."""
    with pytest.raises(Refused):
        parse((b"Transfer-Encoding", b"chunked"), version="1.0")


@pytest.mark.parametrize(
    ("method", "target", "passed"),
    [
        (b"GET", b"/", b"/"),
        (b"GET", b"//a//b", b"//a//b"),
        (b"GET", b"/a/../b/./c", b"/a/../b/./c"),
        (b"GET", b"/%2e%2E/%00?%0d%0a", b"/%2e%2E/%00?%0d%0a"),
        (b"OPTIONS", b"*", b"*"),
        (b"GET", f"http://{HOST}/a?b".encode(), b"/a?b"),
        (b"GET", f"HTTPS://{HOST.upper()}:443/a".encode(), b"/a"),
        (b"GET", f"http://{HOST}".encode(), b"/"),
        (b"GET", f"http://{HOST}?q=1".encode(), b"/?q=1"),
        (b"OPTIONS", f"http://{HOST}".encode(), b"*"),
    ],
)
def test_target_passes(method: bytes, target: bytes, passed: bytes) -> None:
    """A path and a query keep every byte; an absolute form becomes the origin form (RFC 9112, section 3.2)."""
    assert parse(method=method, target=target).target == passed


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"*"),
        (b"GET", b"/a#b"),
        (b"GET", b"a/b"),
        (b"GET", b""),
        (b"CONNECT", b"a.example.dev:80"),
        (b"GET", b"http://other.example.dev/"),
        (b"GET", f"http://{HOST}.evil.dev/".encode()),
        (b"GET", f"http://{HOST}@evil.dev/".encode()),
        (b"GET", f"http://user@{HOST}/".encode()),
        (b"GET", f"http://{HOST}/#x".encode()),
        (b"GET", f"ftp://{HOST}/".encode()),
        (b"GET", b"http:///a"),
    ],
)
def test_target_is_refused(method: bytes, target: bytes) -> None:
    """A target of another form, or for another host than Host names, is not passed on."""
    with pytest.raises(Refused):
        parse(method=method, target=target)


@pytest.mark.parametrize(
    ("connection", "upgrade"),
    [
        (b"Upgrade", b"websocket"),
        (b"upgrade", b"WebSocket"),
        (b"keep-alive, Upgrade", b"websocket"),  # Firefox
        (b"Upgrade,keep-alive", b"h2c, websocket"),
        (b" ,\tUpgrade\t,", b"websocket"),
    ],
)
def test_websocket_is_recognised(connection: bytes, upgrade: bytes) -> None:
    """Connection and Upgrade are lists of tokens in any spelling (RFC 6455, section 4.1)."""
    assert parse((b"Connection", connection), (b"Upgrade", upgrade), KEY).upgrade


@pytest.mark.parametrize(
    ("fields", "method", "version"),
    [
        ([(b"Connection", b"keep-alive"), (b"Upgrade", b"websocket"), KEY], b"GET", "1.1"),
        ([(b"Connection", b"notupgrade"), (b"Upgrade", b"websocket"), KEY], b"GET", "1.1"),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"notwebsocket"), KEY], b"GET", "1.1"),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c"), KEY], b"GET", "1.1"),
        ([(b"Connection", b"Upgrade"), KEY], b"GET", "1.1"),
        ([(b"Upgrade", b"websocket"), KEY], b"GET", "1.1"),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], b"GET", "1.1"),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), KEY], b"POST", "1.1"),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), KEY], b"GET", "1.0"),
    ],
)
def test_no_websocket(fields: list[Field], method: bytes, version: str) -> None:
    """Anything less than a whole handshake is an ordinary request, and offers no protocol to the workspace."""
    head = parse(*fields, method=method, version=version)

    assert not head.upgrade
    assert b"upgrade" not in request_for_upstream(head, b"", OWN).lower()


def test_end_to_end_fields_pass() -> None:
    """Order, spelling, repetitions and odd bytes of all other fields are the client's."""
    fields = [
        (b"aCCept", b"text/html;q=0.1,*/*"),
        (b"X-Twice", b"1"),
        (b"AUTHORIZATION", b"Bearer app-token"),
        (b"X-Twice", b"2"),
        (b"X-Raw", b"\xff\xfe \t tab"),
        (b"Accept-Encoding", b"br, gzip"),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"Empty", b""),
    ]

    assert forward(*fields) == [name + b": " + value for name, value in fields]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection", b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authorization", b"Proxy-Authenticate", b"TE",
        b"Trailer", b"Upgrade", b"X-Forwarded-For", b"x-forwarded-for", b"X_Forwarded_For", b"X-Forwarded_Proto",
        b"X.Forwarded.Host", b"x_forwarded-PORT", b"Forwarded", b"X-Request-Id", b"X_REQUEST_ID",
        b"X-Workspaces-User", b"X_Workspaces.User", b"X-Workspaces-Token", b"x_workspaces_token",
    ],
)  # fmt: skip
def test_field_stays_here(name: bytes) -> None:
    """What belongs to one connection, and whatever a server could read as the gateway's word, never passes."""
    assert forward((name, b"spoofed")) == []


@pytest.mark.parametrize(
    "connection",
    [b"close, X-Hop", b"x-hop", b"X-HOP, keep-alive", b",,x-hop,", b"x-hop\t, other"],
)
def test_field_named_by_connection_stays_here(connection: bytes) -> None:
    """A field that Connection names was meant for the gateway (RFC 9110, section 7.6.1)."""
    assert forward((b"Connection", connection), (b"X-Hop", b"1"), (b"X-End", b"2")) == [b"X-End: 2"]


def test_connection_names_one_spelling_only() -> None:
    """Naming a field removes that field and not one whose name merely looks like it."""
    assert forward((b"Connection", b"x-hop"), (b"X_Hop", b"1")) == [b"X_Hop: 1"]


@pytest.mark.parametrize(
    "field",
    [(b"Cookie", b"a=1"), (b"Content-Length", b"0"), (b"Authorization", b"Bearer x"), (b"Origin", b"https://a.dev")],
)
def test_connection_cannot_remove_what_others_rely_on(field: Field) -> None:
    """`Connection: cookie` must not make the gateway lose a field that decides about something."""
    assert forward((b"Connection", field[0]), field) == [b": ".join(field)]


def test_connection_cannot_remove_host() -> None:
    """The workspace always learns its host."""
    assert forward((b"Connection", b"Host")) == []


def test_forwarded_lines_come_last_and_once() -> None:
    """The gateway's own lines follow the client's."""
    head = parse((b"X-Forwarded-For", b"1.2.3.4"), (b"A", b"b"))

    raw = request_for_upstream(head, b"X-Forwarded-For: 10.0.0.1\r\n", OWN)

    assert raw == f"GET / HTTP/1.1\r\nHost: {HOST}\r\nA: b\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a=1", b"a=1"),
        (b"__Host-workspaces-grant=x", b""),
        (b"a=1; __Host-workspaces-grant=x", b"a=1"),
        (b"__Host-workspaces-grant=x; a=1", b"a=1"),
        (b"a=1; __Host-workspaces-grant=x; b=2", b"a=1; b=2"),
        (b"a=1;__Host-workspaces-grant=x;b=2", b"a=1;b=2"),
        (b"__Host-workspaces-grant=1; __Host-workspaces-grant=2; a=1", b"a=1"),
        (b"a=1; __Host-workspaces-session=x; __Host-workspaces-entry=y; __Host-workspaces-browser=z", b"a=1"),
        (b"gitlab-workspace-session=x; gitlab-workspaces-session=y; b=2", b"b=2"),
        (b"a=1; \t__Host-workspaces-grant \t=x", b"a=1"),
        (b"__Host-workspaces-grant", b""),
        (ODD, ODD),
        (b"my__Host-workspaces-grant=1", b"my__Host-workspaces-grant=1"),
        (b"a=__Host-workspaces-grant=1", b"a=__Host-workspaces-grant=1"),
    ],
)  # fmt: skip
def test_own_cookies_are_stripped(before: bytes, after: bytes) -> None:
    """Our cookies and our predecessor's stay here; all others keep every byte."""
    assert strip_cookies(before, OWN) == after
    assert forward((b"Cookie", before)) == ([b"Cookie: " + after] if after else [])


def test_cookie_lines_become_one() -> None:
    """Several Cookie lines are one list (RFC 9113, section 8.2.3), whichever of them holds ours."""
    fields = [(b"cookie", b"a=1"), (b"Accept", b"*/*"), (b"Cookie", b"__Host-workspaces-grant=x; b=2")]

    assert forward(*fields) == [b"cookie: a=1; b=2", b"Accept: */*"]


@pytest.mark.parametrize("lines", [[b"", b"a=1"], [b"a=1", b""], [b"", b"a=1", b""]])
def test_an_empty_cookie_line_says_nothing(lines: list[bytes]) -> None:
    """And leaves no separator behind."""
    assert forward(*((b"Cookie", line) for line in lines)) == [b"Cookie: a=1"]


@pytest.mark.parametrize(
    "value",
    [
        b"__Host-workspaces-grant=evil; Path=/",
        b"__Host-workspaces-session=evil",
        b" __Host-workspaces-entry = evil",
        b"=__Host-workspaces-grant=evil",
        b" = __Host-workspaces-grant=evil",
        b"__Host-workspaces-grant",
        b"gitlab-workspace-session=evil",
        b"a=1; Domain=ws.example.dev",
        b"a=1; domain=.WS.example.dev",
        b"a=1; DOMAIN = example.dev ",
        b"a=1; Domain=dev",
        b"a=1; Domain=3000-apple.ws.example.dev; Domain=ws.example.dev",
        b"a=1; Domain=ws.example.dev.",
        b"a=1; Domain=ws%2eexample.dev",
        "a=1; Domain=ws\u3002example\u3002dev".encode(),
        b"a=1; Domain=8080-pear.ws.example.dev",
        b'a=1; Domain="ws.example.dev"',
        b"a=1;\tDomain\t=\tws.example.dev",
    ],
)
def test_set_cookie_is_dropped(value: bytes) -> None:
    """A workspace can neither forge a cookie of ours nor set one that another host would receive."""
    assert is_cookie_refused(value, OWN, HOST)
    assert respond((b"Set-Cookie", b"fine=1"), (b"set-cookie", value)) == [b"Set-Cookie: fine=1"]


@pytest.mark.parametrize(
    "value",
    [
        b"a=1",
        b"a=1; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        b"a=1; Domain=3000-apple.ws.example.dev",
        b"a=1; Domain=.3000-APPLE.ws.example.dev",
        b"a=1; Domain=",
        b"a=1; Domain",
        b"a=Domain=ws.example.dev",
        b"domain=ws.example.dev",
        b"__Host-mine=1; Path=/; Secure",
        b"workspaces-grant=1",
        b'a=\xff\x80"b"',
        b"",
    ],
)  # fmt: skip
def test_set_cookie_passes(value: bytes) -> None:
    """A cookie of the workspace's own host is none of our business."""
    assert not is_cookie_refused(value, OWN, HOST)
    assert respond((b"Set-Cookie", value)) == [b"Set-Cookie: " + value]


def test_portal_sets_our_cookies() -> None:
    """The portal is ours: nothing of what it says is dropped but what belongs to its connection."""
    fields = [(b"Set-Cookie", b"__Host-workspaces-session=x"), (b"X-Workspaces-Gateway", b"sign_in_failed")]

    assert respond(*fields, own=frozenset()) == [b": ".join(field) for field in fields]


def test_workspace_cannot_speak_as_the_gateway() -> None:
    """The mark of the gateway's own answers is the gateway's."""
    assert respond((b"X-Workspaces-Gateway", b"sign_in_needed"), (b"x_workspaces_gateway", b"x")) == []


def test_response_fields_pass() -> None:
    """Order, spelling and repetitions of the workspace's fields are kept, hop-by-hop ones removed."""
    fields = [
        (b"server", b"Vite"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"Keep-Alive", b"timeout=5"),
        (b"X-Hop", b"1"),
        (b"VARY", b"a"),
        (b"Vary", b"b"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Upgrade", b"h2c"),
        (b"Content-Encoding", b"br"),
        (b"Cache-Control", b"public"),
    ]

    kept = (0, 4, 5, 8, 9)
    assert respond(*fields) == [b": ".join(fields[index]) for index in kept]


@pytest.mark.parametrize(
    ("status", "passed"),
    [(100, []), (103, []), (204, []), (200, [b"Content-Length: 5"]), (304, [b"Content-Length: 5"])],
)
def test_length_of_nothing_is_dropped(status: int, passed: list[bytes]) -> None:
    """1xx and 204 have no length (RFC 9110, section 8.6); believed, one would eat the next response."""
    assert respond((b"Content-Length", b"5"), status=status) == passed


@pytest.mark.parametrize(
    ("status", "version", "coding"),
    [
        (200, "1.1", b"gzip"),
        (200, "1.1", b"gzip, chunked"),
        (200, "1.0", b"chunked"),
        (200, "2.0", None),
        (99, "1.1", None),
        (0, "1.1", None),
    ],
)
def test_uncertain_response_is_refused(status: int, version: str, coding: bytes | None) -> None:
    """A response whose end is not certain is the workspace's fault."""
    fields = [(b"Transfer-Encoding", coding)] if coding is not None else []

    with pytest.raises(BadResponse):
        parse_response(status, b"", version, fields, keep_alive=True)


def test_switching_protocols_keeps_the_handshake() -> None:
    """The 101 shows the WebSocket fields in the workspace's order and spelling, and none that only looks like one."""
    fields = [
        (b"sec-websocket-accept", b"abc="),
        (b"UPGRADE", b"WebSocket"),
        (b"Connection", b"upgrade"),
        (b"Sec-WebSocket-Protocol", b"vscode"),
        (b"Content-Length", b"7"),
        (b"Set-Cookie", b"a=1; Domain=ws.example.dev"),
    ]
    head = parse_response(101, b"Switching Protocols", "1.1", fields, keep_alive=True)

    raw = switching_protocols(head, OWN, HOST)

    assert raw == (
        b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: abc=\r\nSec-WebSocket-Protocol: vscode\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("value", "kept"),
    [(b'"cache", "storage"', True), (b'"cookies"', False), (b'"cache", "Cookies"', False), (b'"*"', False)],
)
def test_a_workspace_clears_nothing_beyond_its_host(value: bytes, kept: bool) -> None:  # noqa: FBT001 - a table cell
    """Clearing cookies would reach every other workspace and the portal."""
    head = parse_response(200, b"OK", "1.1", [(b"Clear-Site-Data", value)], keep_alive=True)
    ours = frozenset((b"__Host-workspaces-grant",))

    assert (b"Clear-Site-Data" in response_for_client(head, b"", (), ours, "a.ws.example.dev")) is kept
