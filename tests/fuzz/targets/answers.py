"""What the server of a workspace sends as an answer, read by `gateway.http.upstream`, with h11 as another reader.

The first byte of an input chooses the method that was asked with.

- Whatever comes, nothing is raised, and the exchange hears exactly one ending, and nothing after it.
- Bytes that come one by one give the same answer as those that come at once.
- An answer that is whole is one for h11 too, but for empty lines in front, with the same status, fields and body; h11
  may accept more.
- A connection may carry another answer only if h11 too knows that it may, and nothing came behind this one.
- What the browser is sent for its head is understood by h11 as that one answer, and nothing of it is a cookie of ours,
  a cookie for other hosts, or a mark that only the gateway makes.
"""

import asyncio
from dataclasses import dataclass, field

import h11

from auth.cookies import Cookies
from config.settings import HttpSettings
from gateway.http.framing import frame
from gateway.http.headers import (
    RequestHead,
    ResponseHead,
    is_cookie_refused,
    parse_request,
    response_for_client,
    switching_protocols,
)
from gateway.http.outbox import Outbox
from gateway.http.upstream import Origin, UpstreamConnection
from tests.fuzz.joined import Wire
from tests.fuzz.one_loop import run
from tests.fuzz.pieces import Pieces

HOST = "3000-apple.ws.example.dev"
SETTINGS = HttpSettings()
OWN_COOKIES = Cookies(secure=True).names
METHODS = (b"GET", b"HEAD", b"POST")
ROOM = 1 << 20


@dataclass
class Heard:
    """What an exchange hears; the receiver of it."""

    heads: list[ResponseHead] = field(default_factory=list)
    body: bytes = b""
    endings: list[str] = field(default_factory=list)
    reusable: bool = False

    def response_head(self, head: ResponseHead) -> None:
        assert not self.endings
        self.heads.append(head)

    def response_body(self, data: bytes) -> None:
        assert not self.endings
        self.body += data

    def response_end(self, *, reusable: bool) -> None:
        self.endings.append("whole")
        self.reusable = reusable

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        self.endings.append("switched")
        self.heads.append(head)
        self.body += rest

    def upstream_lost(self, reason: str, *, is_untouched: bool) -> None:
        del reason, is_untouched
        self.endings.append("lost")

    def crash(self) -> None:
        raise  # noqa: PLE0704 - what is handled when this is called

    def hold_request(self) -> None: ...
    def release_request(self) -> None: ...


def check(data: bytes) -> None:
    pieces = Pieces(data)
    method, answer = METHODS[pieces.number(len(METHODS))], pieces.rest()
    heard = run(hear(method, [answer]))
    by_byte = run(hear(method, [answer[at : at + 1] for at in range(len(answer))]))
    assert len(heard.endings) == 1
    if heard.endings != ["switched"]:
        assert (by_byte.heads, by_byte.body, by_byte.endings) == (heard.heads, heard.body, heard.endings)
    if heard.endings == ["whole"]:
        compare(method, answer, heard)
    for head in heard.heads:
        pass_on(method, head)


async def hear(method: bytes, reads: list[bytes]) -> Heard:
    """The answer that comes like this, after which the workspace hangs up."""
    connection = UpstreamConnection(SETTINGS, Origin("apple", "192.0.2.1", 80), Outbox(), lambda _: None)
    heard = Heard()
    connection.connection_made(Wire())
    connection.begin(heard, method=method)
    connection.send(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0)
    for data in reads:
        if data and not connection.transport.is_closing():
            connection.data_received(data)
    if not connection.transport.is_closing():
        connection.eof_received()
    connection.connection_lost(None)
    return heard


def compare(method: bytes, answer: bytes, heard: Heard) -> None:
    connection = h11_client(method)
    connection.receive_data(answer.lstrip(b"\r\n"))  # llhttp passes over empty lines in front, as before a request
    connection.receive_data(b"")
    for head in heard.heads:
        theirs = connection.next_event()
        assert isinstance(theirs, h11.Response | h11.InformationalResponse), theirs
        assert theirs.status_code == head.status
        assert fold(head.fields) == fold(theirs.headers.raw_items())
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert body == heard.body
    if heard.reusable:
        assert connection.their_state is h11.DONE
        assert connection.trailing_data[0] == b""


def fold(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A coding is one in any letters, which h11 makes small."""
    return [(name, value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in fields]


def pass_on(method: bytes, head: ResponseHead) -> None:
    framing = frame(asked(method), head, must_close=False)
    sent = response_for_client(head, framing.lines, (), OWN_COOKIES, HOST)
    if head.status == 101:
        sent = switching_protocols(head, OWN_COOKIES, HOST)
    connection = h11_client(method)
    connection.receive_data(sent)
    theirs = connection.next_event()
    assert isinstance(theirs, h11.Response | h11.InformationalResponse), theirs
    assert theirs.status_code == head.status
    for name, value in theirs.headers:
        assert name != b"x-workspaces-gateway"
        assert name != b"set-cookie" or not is_cookie_refused(value, OWN_COOKIES, HOST)
    assert connection.trailing_data[0] == b""


def h11_client(method: bytes) -> h11.Connection:
    """One that has asked with this method, and for another protocol besides."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=ROOM)
    fields = [("Host", "x"), ("Content-Length", "0"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    connection.send(h11.Request(method=method, target="/", headers=fields))
    connection.send(h11.EndOfMessage())
    return connection


def asked(method: bytes) -> RequestHead:
    return parse_request(method, b"/", "1.1", [(b"Host", HOST.encode())], keep_alive=True)
