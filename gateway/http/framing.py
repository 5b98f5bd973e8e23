"""How a body is delimited on the connection to the client (RFC 9112, sections 6 and 7.1). Pure."""

from functools import cache
from typing import NamedTuple

from gateway.http.headers import RequestHead, ResponseHead

LAST_CHUNK = b"0\r\n\r\n"
_NO_BODY = frozenset((204, 304))  # RFC 9112, section 6.3
_ONE_WRITE_MAX = 16 * 1024  # below, joining a chunk with its frame is cheaper than three writes


def chunk(data: bytes) -> tuple[bytes, ...]:
    """One chunk, as the pieces to write."""
    if len(data) <= _ONE_WRITE_MAX:
        return (b"%x\r\n%b\r\n" % (len(data), data),)
    return (b"%x\r\n" % len(data), data, b"\r\n")


class Framing(NamedTuple):
    """How one response is delimited, and whether the connection ends with it."""

    rechunk: bool
    close: bool
    lines: bytes
    """The header lines that say so."""


PLAIN = Framing(rechunk=False, close=False, lines=b"")


def frame(request: RequestHead, response: ResponseHead, *, must_close: bool) -> Framing:
    """The framing that this client understands. `must_close` is for reasons that have nothing to do with framing."""
    is_told = _is_length_told(request, response)
    is_cut = not is_told and request.http10  # closing is the only way to tell such a client
    close = is_cut or must_close or not request.keep_alive
    return _framing(rechunk=not is_told and not request.http10, close=close, http10=request.http10)


@cache  # of eight
def _framing(*, rechunk: bool, close: bool, http10: bool) -> Framing:
    lines = b"Transfer-Encoding: chunked\r\n" if rechunk else b""
    if close:
        lines += b"Connection: close\r\n"
    elif http10:
        lines += b"Connection: keep-alive\r\n"
    return Framing(rechunk, close, lines)


def _is_length_told(request: RequestHead, response: ResponseHead) -> bool:
    """Whether the response's own head says where its body ends."""
    return b"content-length" in response.named or request.method == b"HEAD" or response.status in _NO_BODY
