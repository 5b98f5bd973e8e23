"""The bytes of one client connection in, its requests out.

Owns the parser: what llhttp cannot read or lets through but should not, how large a head may be, and what follows a
head that offers another protocol. When a connection is read no more is decided by who listens.
"""

from typing import Protocol

import httptools

from config.settings import HttpSettings
from gateway.answers import BAD_REQUEST, Answer, head_too_large
from gateway.http.headers import Field, Refused, RequestHead, head_size, parse_request
from gateway.http.request_line import RequestLine


class Listener(Protocol):
    """What is told about requests, in their order."""

    def request(self, head: RequestHead) -> None: ...
    def request_body(self, data: bytes) -> None: ...
    def request_end(self) -> None:
        """The body is whole; never told of a request without one."""

    def request_refused(self, answer: Answer, reason: str, accept: bytes) -> None:
        """Something arrived that is no request; nothing more is read."""

    def crash(self) -> None:
        """A bug of ours was met; called while the exception is handled."""


class RequestReader:
    """Reads requests until one is refused."""

    def __init__(self, settings: HttpSettings, listener: Listener) -> None:
        self.in_head = False
        """Whether a request has begun whose head is not complete."""
        self._head_bytes = settings.head_bytes
        self._head_fields = settings.head_fields
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._line = RequestLine()
        self._head: RequestHead | None = None
        """Of the request whose body is being read."""
        self._fields: list[Field] = []
        self._is_resuming = False
        self._is_stopped = False
        self._is_websocket = False
        self._fed = 0
        """Bytes of the reads in which the head stands: it is no larger, so most heads need no measuring."""
        self._overhead = 0
        self._has_progressed = False

    def feed(self, data: bytes) -> bytes | None:
        """Read on. None, but after the head of a WebSocket request: what followed it, which is not HTTP."""
        while data and not self._is_stopped:
            if self.in_head or self._head is None:
                data = self._line.mask(data, begins=not self.in_head)
            self._fed = self._fed + len(data) if self.in_head else len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                data = data[exc.args[0] :]
                if self._after_upgrade():
                    return data
                continue
            except httptools.HttpParserCallbackError:
                self.stop()
                self._listener.crash()
            except httptools.HttpParserError as exc:
                self._refuse(BAD_REQUEST, str(exc))
            if self.in_head or self._head is not None:
                self._weigh(len(data))
            break
        return None

    def stop(self) -> None:
        """Read no more requests."""
        self._is_stopped = True
        self.in_head = False
        self._head = None

    def release(self) -> None:
        """Nothing will ever be read again: without the parser, which holds on to it, the connection frees itself."""
        self.stop()
        del self._parser, self._listener

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._is_resuming or self._is_stopped:
            return
        self._fields = []
        self._target = b""
        self._is_websocket = False
        self.in_head = self._has_progressed = True

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        # Later ones are trailers, which are dropped; ones too many need not be held until the head ends to be refused.
        if self.in_head and len(self._fields) <= self._head_fields:
            self._fields.append((name, value.rstrip(b" \t")))  # RFC 9112, section 5.1: it is not part of the value

    def on_headers_complete(self) -> None:
        if not self.in_head:
            return
        self.in_head = False
        try:
            head = self._parse_head()
        except Refused as exc:
            self._refuse(exc.answer, exc.operator)
            return
        self._head = head
        self._listener.request(head)

    def on_chunk_header(self) -> None:
        self._has_progressed = True

    def on_body(self, data: bytes) -> None:
        self._has_progressed = True
        if self._head is not None:
            self._listener.request_body(data)

    def on_message_complete(self) -> None:
        head = self._head
        if head is None or (head.has_body and self._parser.should_upgrade()):
            return  # llhttp skips the body of an upgrade; `_after_upgrade` sees to it
        self._head = None
        self._is_websocket = head.upgrade
        if head.has_body:
            self._listener.request_end()

    # Inner steps

    def _parse_head(self) -> RequestHead:
        if len(self._fields) > self._head_fields or (
            self._fed > self._head_bytes and len(self._target) + head_size(self._fields) > self._head_bytes
        ):
            raise Refused(self._too_large, "request head too large")
        parser = self._parser
        return parse_request(
            parser.get_method(),
            self._line.unmask(self._target) if self._line.is_masked else self._target,
            parser.get_http_version(),
            self._fields,
            keep_alive=parser.should_keep_alive(),
        )

    def _weigh(self, size: int) -> None:
        """Bound what is neither body nor a whole head: an endless head, trailers, chunk extensions."""
        self._overhead = 0 if self._has_progressed else self._overhead + size
        self._has_progressed = False
        if self._overhead > self._head_bytes:
            self._refuse(self._too_large, "request head or trailers too large")

    @property
    def _too_large(self) -> Answer:
        return head_too_large(self._head_bytes, self._head_fields)

    def _refuse(self, answer: Answer, reason: str) -> None:
        if self._is_stopped:
            return
        self.stop()
        accept = next((value for name, value in self._fields if name.lower() == b"accept"), b"")
        self._listener.request_refused(answer, reason, accept)

    def _after_upgrade(self) -> bool:
        """llhttp stopped after a head that offers another protocol; whether it is one that may be taken up."""
        self._parser = httptools.HttpRequestParser(self)
        head = self._head
        if head is None:
            return self._is_websocket
        # It is not, so the connection goes on with HTTP/1.1 (RFC 9110, section 7.8): a new parser is shown a head of
        # the same framing and reads the body that the last one skipped.
        length = b"Transfer-Encoding: chunked" if head.chunked else b"Content-Length: %d" % head.content_length
        self._is_resuming = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + length + b"\r\n\r\n")
        self._is_resuming = False
        return False
