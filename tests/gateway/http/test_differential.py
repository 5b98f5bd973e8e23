"""Any valid request and response pass as they are, but for what must not: h11 speaks and listens on both ends.

h11 is another implementation of HTTP/1.1 than ours and llhttp's, and a strict one: what it writes is valid, what it
reads it understands in the one way there is.
"""

import asyncio
from dataclasses import dataclass, field

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.http.conftest import HOST, PATIENCE, PORTAL, World, open_world

Fields = list[tuple[bytes, bytes]]

TOKEN = st.text(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=20
)
PRINTABLE = frozenset(b"\t") | set(range(32, 256)) - {127}
VALUE = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if byte in PRINTABLE).strip())
PATH = st.text(
    "/%.;:@&=+$,-_!~*'()\\|\"<>^`{}[]0123456789abcXYZ?", max_size=60
).map(lambda text: "/" + text)  # fmt: skip
BODY = st.one_of(st.binary(max_size=60), st.integers(0, 200_000).map(lambda size: b"0123456789abcdef" * (size // 16)))
PIECES = st.lists(BODY, max_size=4)
METHODS = st.sampled_from(
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "OPTIONS",
        "PATCH",
        "TRACE",
        "PROPFIND",
        "REPORT",
        "LINK",
        "PURGE",
        "M-SEARCH",
    ]
)
STATUSES = st.sampled_from([200, 201, 204, 206, 301, 304, 400, 404, 418, 500, 503, 599, 600, 999])

# What a head is about itself: set by the test, or not to be passed on
FRAMING = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"trailer"}
HOP_BY_HOP = {b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te"}
OURS = {
    b"x-forwarded-for": b"127.0.0.1",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-host": HOST.encode(),
    b"x-forwarded-port": b"443",
    b"cdn-loop": PORTAL.encode(),
}
NAMED_BY_CONNECTION = b"x-named"
SPECIAL = st.sampled_from(
    [
        (b"X-Forwarded-For", b"6.6.6.6"),
        (b"X_Forwarded_Host", b"evil.dev"),
        (b"Forwarded", b"for=6.6.6.6"),
        (b"X-Request-Id", b"mine"),
        (b"x.workspaces.user", b"id=1"),
        (b"X-Named", b"gone"),
        (b"Keep-Alive", b"timeout=9"),
        (b"TE", b"trailers"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"Cookie", b"a=1; __Host-workspaces-grant=x; b=2"),
        (b"Cookie", b"__Host-workspaces-session=x"),
        (b"Cookie", b'c="d e"; =; f'),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"Set-Cookie", b"__Host-workspaces-grant=evil"),
        (b"Set-Cookie", b"a=1; Domain=ws.example.dev"),
        (b"X-Workspaces-Gateway", b"sign_in_needed"),
        (b"Content-Encoding", b"gzip"),
        (b"Cache-Control", b"public"),
    ]
)
ORDINARY = st.tuples(TOKEN.map(str.encode), VALUE).filter(lambda pair: pair[0].lower() not in FRAMING | {b"cookie"})
FIELDS = st.lists(st.one_of(ORDINARY, SPECIAL), max_size=12)


@dataclass
class Heard:
    """A message as h11 understood it."""

    start: tuple[bytes, ...] = ()
    fields: Fields = field(default_factory=list)
    body: bytes = b""


@dataclass(frozen=True)
class Sent:
    """A message for h11 to write."""

    method: str
    target: str
    fields: Fields
    pieces: list[bytes]
    chunked: bool

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def framing(self) -> Fields:
        if self.chunked:
            return [(b"Transfer-Encoding", b"chunked")]
        return [(b"Content-Length", b"%d" % len(self.body))]


@dataclass(frozen=True)
class Answered(Sent):
    status: int = 200

    @property
    def has_body(self) -> bool:
        return self.method != "HEAD" and self.status not in (204, 304)


SENT = st.builds(Sent, METHODS, PATH, FIELDS, PIECES, st.booleans())


def answers(sent: Sent) -> st.SearchStrategy[tuple[Sent, Answered]]:
    drawn = st.builds(Answered, st.just(sent.method), st.just(""), FIELDS, PIECES, st.booleans(), STATUSES)
    return st.tuples(st.just(sent), drawn)


class Peer:
    """h11 on a socket."""

    def __init__(self, protocol: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol = protocol
        self._reader = reader
        self._writer = writer

    def send(self, *events: h11.Event) -> None:
        for event in events:
            data = self.protocol.send(event)
            assert data is not None
            self._writer.write(data)

    async def hear(self) -> Heard:
        """The next whole message."""
        heard = Heard()
        while True:
            match event := self.protocol.next_event():
                case h11.NEED_DATA:
                    self.protocol.receive_data(await self._reader.read(65536))
                case h11.Request():
                    heard.start, heard.fields = (event.method, event.target), event.headers.raw_items()
                case h11.Response():
                    heard.start, heard.fields = (b"%d" % event.status_code, event.reason), event.headers.raw_items()
                case h11.Data():
                    heard.body += event.data
                case h11.EndOfMessage():
                    assert not list(event.headers), "no trailers"
                    return heard
                case _:
                    raise AssertionError(f"h11 saw {event!r}")


def folded(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-").replace(b".", b"-")


def expected_request(sent: Sent) -> Fields:
    """Host, framing and all of the client's fields but its cookies of ours, and what is ours or hop-by-hop."""
    ours = {*OURS, b"x-request-id", b"forwarded", b"x-workspaces-user", b"x-workspaces-token"}
    dropped = ours | HOP_BY_HOP | FRAMING - {b"host", b"content-length"}
    kept = [(n, v) for n, v in sent.fields if folded(n) not in dropped and n.lower() != NAMED_BY_CONNECTION]
    cookies = b"; ".join(value for name, value in kept if name.lower() == b"cookie")
    return [pair for pair in kept if pair[0].lower() != b"cookie"] + ([(b"Cookie", cookies)] if cookies else [])


def without_own(cookies: bytes) -> bytes:
    return b";".join(part for part in cookies.split(b";") if b"workspaces" not in part).strip()


def expected_response(answered: Answered) -> Fields:
    """All of the workspace's fields but forbidden cookies, the gateway's mark, and hop-by-hop ones."""
    forbidden = {*HOP_BY_HOP, b"x-workspaces-gateway", *FRAMING - {b"host", b"content-length", b"expect"}}
    return [
        (name, value)
        for name, value in answered.fields
        if folded(name) not in forbidden
        and name.lower() != NAMED_BY_CONNECTION
        and not (folded(name) == b"set-cookie" and (b"__Host-" in value or b"Domain" in value))
    ]


def end_to_end(heard: Heard, ours: set[bytes]) -> Fields:
    """The fields of a message but for its framing and what the gateway adds."""
    framing = {b"host", b"content-length", b"transfer-encoding", b"connection"}
    return [(name, value) for name, value in heard.fields if name.lower() not in framing | ours]


async def run(sent: Sent, answered: Answered) -> tuple[Heard, Heard]:
    """What the workspace heard, and what the client heard."""
    received: list[Heard] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(h11.Connection(h11.SERVER), reader, writer)
        received.append(await peer.hear())
        head = [*answered.fields, (b"Connection", NAMED_BY_CONNECTION), *answered.framing()]
        peer.send(h11.Response(status_code=answered.status, headers=head, reason=b"Any Reason"))
        pieces = answered.pieces if answered.has_body else []
        peer.send(*[h11.Data(data=piece) for piece in pieces], h11.EndOfMessage())

    async with asyncio.timeout(PATIENCE), open_world() as world:
        await world.add(serve)
        peer = Peer(h11.Connection(h11.CLIENT), *await world.connect())
        head = [(b"Host", HOST.encode()), *sent.fields, (b"Connection", NAMED_BY_CONNECTION), *sent.framing()]
        peer.send(
            h11.Request(method=sent.method, target=sent.target, headers=head),
            *[h11.Data(data=piece) for piece in sent.pieces],
            h11.EndOfMessage(),
        )
        heard = await peer.hear()
        check_log(world)
    (request,) = received
    return request, heard


def check_log(world: World) -> None:
    """Nothing of it was a surprise."""
    assert "http.crashed" not in world.log.getvalue()


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(SENT.flatmap(answers))
async def test_messages_pass_as_they_are(both: tuple[Sent, Answered]) -> None:
    """What is heard is what was said, minus what stays on its side, plus what the gateway adds."""
    sent, answered = both

    request, response = await run(sent, answered)

    assert request.start == (sent.method.encode(), sent.target.encode())
    assert request.body == sent.body
    expected = [(name, without_own(value) if name == b"Cookie" else value) for name, value in expected_request(sent)]
    heard = end_to_end(request, {*OURS, b"x-request-id"})
    assert sorted(heard) == sorted(pair for pair in expected if pair[1] or pair[0] != b"Cookie")
    assert [pair for pair in heard if pair[0].lower() != b"cookie"] == [
        pair for pair in expected if pair[0] != b"Cookie"
    ]
    assert {name.lower(): value for name, value in request.fields if name.lower() in OURS} == OURS

    assert response.start == (b"%d" % answered.status, b"Any Reason")
    assert response.body == (answered.body if answered.has_body else b"")
    assert end_to_end(response, set()) == expected_response(answered)
