"""How a body is delimited on the connection to the client (RFC 9112, sections 6 and 7.1). Pure."""

from gateway.http.headers import RequestHead, ResponseHead

LAST_CHUNK = b"0\r\n\r\n"
_NO_BODY = frozenset((204, 304))  # RFC 9112, section 6.3
_ONE_WRITE_MAX = 16 * 1024  # below, joining a chunk with its frame is cheaper than three writes


def chunk(data: bytes) -> tuple[bytes, ...]:
    """One chunk, as the pieces to write."""
    if len(data) <= _ONE_WRITE_MAX:
        return (b"%x\r\n%b\r\n" % (len(data), data),)
    return (b"%x\r\n" % len(data), data, b"\r\n")


def is_length_told(request: RequestHead, response: ResponseHead) -> bool:
    """Whether the client knows from the response's own head where its body ends."""
    return request.method == b"HEAD" or response.status in _NO_BODY or response.content_length is not None


def framing_lines(request: RequestHead, *, rechunk: bool, close: bool) -> bytes:
    """The header lines that go with it."""
    framing = b"Transfer-Encoding: chunked\r\n" if rechunk else b""
    if close:
        return framing + b"Connection: close\r\n"
    return framing + b"Connection: keep-alive\r\n" if request.http10 else framing
