"""The beginning of a client connection, read by `gateway.http.reader`, with h11 as another reader of the same bytes.

- Whatever comes, nothing is raised: it is a request, the beginning of one, or refused.
- Bytes that come one by one are read as those that come at once.
- A head that is accepted is accepted by h11, which finds the same method, target, host, fields and body in it and the
  next request at the same place; h11 may accept more.
- What the workspace is sent for it is understood by h11 as one request of the same meaning, with no field that only
  the gateway may say and no cookie of the gateway, and reading and writing that once more changes nothing.
"""

import re
from dataclasses import dataclass, field

import h11

from auth.cookies import Cookies
from config.settings import HttpSettings
from gateway.answers import Answer
from gateway.http.headers import RequestHead, request_for_upstream
from gateway.http.reader import RequestReader
from routing.hostname import parse_host

SETTINGS = HttpSettings()
OWN_COOKIES = Cookies(secure=True).names
ASCII = bytes(range(128)) + b"~" * 128
FORWARDED = b"X-Forwarded-For: 192.0.2.1\r\nX-Request-Id: 1\r\n"
ROOM = 1 << 20  # for h11's heads: the gateway's own limits are not what is compared
# llhttp takes requests of two other protocols for HTTP's, and several spaces for one, as RFC 9112, section 3, allows.
# What is sent on for them is written anew, so nobody behind can mistake it.
LOOSE_LINE = re.compile(rb"\A(\S+) +(\S+) +(?:HTTP|RTSP|ICE)/")
NEVER_PASSED = {b"x-workspaces-user", b"x-workspaces-token", b"forwarded", b"keep-alive", b"te", b"trailer"}


@dataclass
class Request:
    """A request as somebody read it."""

    head: RequestHead
    body: bytes = b""
    is_whole: bool = False


@dataclass
class Heard:
    """Everything the reader told of some bytes; the listener of it."""

    requests: list[Request] = field(default_factory=list)
    refused: int = 0
    rest: bytes | None = None

    def request(self, head: RequestHead) -> None:
        self.requests.append(Request(head, is_whole=not head.has_body))

    def request_body(self, data: bytes) -> None:
        assert not self.requests[-1].is_whole
        self.requests[-1].body += data

    def request_end(self) -> None:
        assert not self.requests[-1].is_whole
        self.requests[-1].is_whole = True

    def request_refused(self, answer: Answer, reason: str, accept: bytes) -> None:
        del reason, accept
        assert not self.refused
        self.refused = answer.status

    def crash(self) -> None:
        raise  # noqa: PLE0704 - what is handled when this is called


def check(data: bytes) -> None:
    heard = read([data])
    # Of a pipelined target beyond ASCII only the reads know where it began: `gateway.http.request_line`.
    if data.isascii():
        assert read([data[at : at + 1] for at in range(len(data))]) == heard
    compare(data, heard)
    for request in heard.requests:
        pass_on(request.head)


def read(reads: list[bytes]) -> Heard:
    """What is heard of bytes that come like this."""
    heard = Heard()
    reader = RequestReader(SETTINGS, heard)
    for position, data in enumerate(reads):
        rest = reader.feed(data)
        if rest is not None:
            heard.rest = rest + b"".join(reads[position + 1 :])
            break
    return heard


def compare(data: bytes, heard: Heard) -> None:
    """h11 finds the same, as far as this reader accepted something."""
    for mine in heard.requests:
        data = LOOSE_LINE.sub(rb"\1 \2 HTTP/", data.lstrip(b"\r\n"))  # RFC 9112, section 2.2
        if not mine.head.target.isascii():
            return  # h11 refuses what servers and browsers use
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ROOM)
        connection.receive_data(data)
        theirs = connection.next_event()
        assert isinstance(theirs, h11.Request), theirs
        same_head(mine.head, theirs)
        body, is_whole = read_body(connection)
        if heard.refused and not mine.is_whole:
            assert body.startswith(mine.body)
        else:
            assert (mine.body, mine.is_whole) == (body, is_whole)
        if not mine.is_whole or mine.head.upgrade or not mine.head.keep_alive:
            return
        data = connection.trailing_data[0]


def read_body(connection: h11.Connection) -> tuple[bytes, bool]:
    """What there is of it, and whether that is all."""
    body = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        return body, False
    return body, isinstance(event, h11.EndOfMessage)


def same_head(mine: RequestHead, theirs: h11.Request) -> None:
    assert mine.method == theirs.method
    assert mine.http10 == (theirs.http_version == b"1.0")
    fields = theirs.headers.raw_items()
    assert [
        (name, value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in mine.fields
    ] == fields
    hosts = [value for name, value in fields if name.lower() == b"host"]
    assert [mine.host] == [parse_host(host) for host in hosts]
    absolute = not theirs.target.startswith((b"/", b"*"))
    assert mine.target == theirs.target or (absolute and theirs.target.endswith(mine.target.lstrip(b"/*")))


def pass_on(head: RequestHead) -> None:
    """The workspace cannot misunderstand it."""
    sent = request_for_upstream(head, FORWARDED, OWN_COOKIES)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ROOM)
    connection.receive_data(sent.replace(head.target, head.target.translate(ASCII), 1))
    theirs = connection.next_event()
    assert isinstance(theirs, h11.Request), theirs
    names = [name.lower().replace(b"_", b"-").replace(b".", b"-") for name, _ in theirs.headers]
    assert not NEVER_PASSED & set(names)
    assert names.count(b"x-forwarded-for") == names.count(b"x-request-id") == 1
    assert (b"transfer-encoding" in names) == head.chunked
    assert names.count(b"host") == 1
    cookies = b"; ".join(value for name, value in theirs.headers if name == b"cookie")
    assert not any(pair.partition(b"=")[0].strip() in OWN_COOKIES for pair in cookies.split(b";"))

    again = read([sent]).requests
    assert len(again) == 1, sent
    assert (again[0].head.method, again[0].head.target, again[0].head.host) == (head.method, head.target, head.host)
    assert again[0].head.content_length == head.content_length
    assert request_for_upstream(again[0].head, FORWARDED, OWN_COOKIES) == sent
