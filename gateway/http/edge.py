"""One client connection: its bytes become requests, answered one after the other in their order.

Owns what belongs to the connection alone: the parser, keep-alive, pipelining, time-outs, and the last moments of a
connection. What a request means is decided elsewhere.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from http import HTTPStatus
from typing import cast

import httptools

from config.settings import HttpSettings
from gateway.answers import BAD_REQUEST, HEAD_TOO_LARGE, REQUEST_TIMEOUT, Answer, render
from gateway.http.exchange import Exchange
from gateway.http.headers import Field, Refused, RequestHead, parse_request
from gateway.http.plane import Hold, Plane
from gateway.http.registry import Registry

LINGER_SECONDS = 5  # to let a client read our last words while it still writes (RFC 9112, section 9.6)
_EARLY_MAX = 64 * 1024  # bytes a client may send before its upgrade is answered; then it waits


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()
    LINGER = auto()
    OVER = auto()
    """Closed, or handed over to a tunnel."""


class ClientConnection(asyncio.Protocol):
    """A browser's (or an ingress's) connection to the HTTP door."""

    def __init__(self, plane: Plane, settings: HttpSettings, connections: Registry["ClientConnection"]) -> None:
        self._plane = plane
        self._settings = settings
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._phase = _Phase.IDLE
        self._current: Exchange | None = None
        self._receiving: Exchange | None = None
        self._queue: deque[Exchange | Answer] = deque()
        self._holds: set[Hold] = set()
        self._in_head = False
        self._is_resuming = False
        self._head_bytes = 0
        self._early: list[bytes] | None = None

    def __repr__(self) -> str:
        return f"<ClientConnection {self.peer} {self._phase.name} queued={len(self._queue)}>"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are so by shape, not by inheritance
        self._loop = asyncio.get_running_loop()
        self.peer: str = transport.get_extra_info("peername")[0]
        self._connections.add(self)
        self._plane.recorder.metrics.http_connections.inc()
        self._set_phase(_Phase.IDLE, self._settings.keep_alive_timeout)

    def data_received(self, data: bytes) -> None:
        if self._phase in (_Phase.LINGER, _Phase.OVER):
            return
        if self._early is not None:
            self._hear_early(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._after_upgrade(data[exc.args[0] :])
        except httptools.HttpParserError as exc:
            self._refuse(BAD_REQUEST, str(exc))
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._settings.head_bytes:
                self._refuse(HEAD_TOO_LARGE, "request head too large")

    def eof_received(self) -> None:
        # A client that stops writing is taken to be gone, as other proxies do: its answer would go nowhere.
        if self._current is not None:
            self._current.client_gone("client_closed")
            self._phase = _Phase.OVER

    def connection_lost(self, _exc: Exception | None) -> None:
        self._connections.discard(self)
        self._plane.recorder.metrics.http_connections.dec()
        self._phase = _Phase.OVER
        self._queue.clear()
        if self._current is not None:
            self._current.client_gone("client_closed")
            self._current = None

    def pause_writing(self) -> None:
        if self._current is not None:
            self._current.hold_response()

    def resume_writing(self) -> None:
        if self._current is not None:
            self._current.release_response()

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._is_resuming:
            return
        self._fields: list[Field] = []
        self._target = b""
        self._head_bytes = 0
        self._head_size = 0
        self._in_head = True
        if self._phase is _Phase.IDLE:
            self._set_phase(_Phase.HEAD, self._settings.head_timeout)

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # later ones are trailers, which are dropped
            self._fields.append((name, value))
            self._head_size += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        if self._is_resuming:
            return
        self._in_head = False
        try:
            head = self._parse_head()
        except Refused as exc:
            self._refuse(exc.answer, exc.operator)
            return
        if self._phase in (_Phase.LINGER, _Phase.OVER):
            return
        self._receiving = exchange = Exchange(self._plane, self, head)
        if self._current is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)
            self.hold(Hold.QUEUE)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.request_body(data)
            self._deadline = self._loop.time() + self._settings.body_idle_timeout

    def on_message_complete(self) -> None:
        if self._receiving is None or (self._parser.should_upgrade() and self._receiving.head.has_body):
            return  # llhttp skips the body of an upgrade that is none; `_after_upgrade` reads it
        exchange, self._receiving = self._receiving, None
        if self._phase is _Phase.BODY:
            self._set_phase(_Phase.RESPONSE, float("inf"))
        exchange.request_end()

    # From the exchange (exchange.Client)

    def write_answer(
        self, head: RequestHead, request_id: str, answer: Answer, extra: list[tuple[str, str]], *, close: bool
    ) -> int:
        """Write an answer of the gateway itself; the number of body bytes."""
        accept = head.get(b"accept").decode("latin-1")
        return self._write(answer, accept, request_id, extra, head=head, close=close)

    def hold(self, reason: Hold) -> None:
        """Read no more from the client until every reason is gone."""
        if not self._holds and self._phase is not _Phase.OVER:
            self.transport.pause_reading()
            self._deadline = float("inf")  # it is we who do not read
        self._holds.add(reason)

    def release(self, reason: Hold) -> None:
        if reason not in self._holds:
            return
        self._holds.remove(reason)
        if not self._holds and self._phase is not _Phase.OVER:
            self.transport.resume_reading()
            if self._phase is _Phase.BODY:
                self._deadline = self._loop.time() + self._settings.body_idle_timeout

    def done(self, *, keep_alive: bool) -> None:
        """The current exchange is answered: go on with the next one, or end the connection."""
        exchange, self._current = self._current, None
        if self._phase is _Phase.OVER:
            return
        if not keep_alive or self._early:
            self._end(is_read=exchange is None or exchange.request_done)
            return
        if self._early is not None:  # the upgrade was declined, so the connection goes on as before
            self._early = None
            self._parser = httptools.HttpRequestParser(self)
        if self._queue:
            self._start_next()
        elif not self._in_head:
            self._set_phase(_Phase.IDLE, self._settings.keep_alive_timeout)
        else:
            self._set_phase(_Phase.HEAD, self._settings.head_timeout)

    def hand_over(self) -> bytes:
        """Give the transport away to a tunnel; what the client sent after its request."""
        self._phase = _Phase.OVER
        self._current = None
        self._connections.discard(self)
        self._plane.recorder.metrics.http_connections.dec()
        return b"".join(self._early or [])

    # From the door

    def expire(self, now: float) -> None:
        """End what has waited too long; called about once a second."""
        if now < self._deadline:
            return
        match self._phase:
            case _Phase.HEAD:
                self._refuse(REQUEST_TIMEOUT, "request head not complete in time")
            case _Phase.BODY if self._current is not None:
                self._current.client_gone("body_timeout")
                self.transport.abort()
            case _Phase.IDLE:
                self._phase = _Phase.OVER
                self.transport.close()
            case _:
                self.transport.abort()

    def close_if_idle(self) -> None:
        """Close a connection that waits for a next request; for draining."""
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.OVER
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    # Inner steps

    def _set_phase(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._loop.time() + seconds

    def _parse_head(self) -> RequestHead:
        if self._head_size > self._settings.head_bytes or len(self._fields) > self._settings.head_fields:
            raise Refused(HEAD_TOO_LARGE, "request head too large")
        parser = self._parser
        return parse_request(
            parser.get_method(),
            self._target,
            parser.get_http_version(),
            self._fields,
            keep_alive=parser.should_keep_alive(),
        )

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        if exchange.request_done:
            self._set_phase(_Phase.RESPONSE, float("inf"))
        else:
            self._set_phase(_Phase.BODY, self._settings.body_idle_timeout)
        exchange.start()

    def _start_next(self) -> None:
        item = self._queue.popleft()
        if not self._queue:
            self.release(Hold.QUEUE)
        if isinstance(item, Exchange):
            self._start(item)
        else:
            self._answer_and_end(item)

    def _after_upgrade(self, rest: bytes) -> None:
        exchange = self._current
        if exchange is not None and exchange.head.upgrade:
            self._early = []
            if rest:
                self._hear_early(rest)
            return
        # Another protocol was offered and is not taken up: the connection goes on with HTTP/1.1 (RFC 9110, 7.8).
        self._parser = httptools.HttpRequestParser(self)
        receiving = self._receiving
        if receiving is not None:
            self._is_resuming = True
            length = (
                b"Transfer-Encoding: chunked"
                if receiving.head.chunked
                else b"Content-Length: %d" % receiving.head.content_length
            )
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + length + b"\r\n\r\n")
            self._is_resuming = False
        if rest:
            self.data_received(rest)

    def _hear_early(self, data: bytes) -> None:
        if self._early is None:
            return
        self._early.append(data)
        if sum(map(len, self._early)) > _EARLY_MAX:
            self.hold(Hold.QUEUE)

    def _refuse(self, answer: Answer, reason: str) -> None:
        """Answer something that is no request, after the answers that are still owed."""
        self._in_head = False
        self._receiving = None
        if self._phase in (_Phase.LINGER, _Phase.OVER):
            return
        self._plane.recorder.refused(self.peer, answer.status, reason)
        if self._current is None:
            self._answer_and_end(answer)
            return
        self._queue.append(answer)
        self.hold(Hold.QUEUE)

    def _answer_and_end(self, answer: Answer) -> None:
        accept = next((value for name, value in self._fields if name.lower() == b"accept"), b"").decode("latin-1")
        self._write(answer, accept, self._plane.new_request_id(), [], head=None, close=True)
        self._end(is_read=False)

    def _write(
        self,
        answer: Answer,
        accept: str,
        request_id: str,
        extra: list[tuple[str, str]],
        *,
        head: RequestHead | None,
        close: bool,
    ) -> int:
        rendered = render(answer, accept, request_id)
        fields = [*rendered.headers, *extra, ("Content-Length", str(len(rendered.body)))]
        if close:
            fields.append(("Connection", "close"))
        elif head is not None and head.http10:
            fields.append(("Connection", "keep-alive"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        start = f"HTTP/1.1 {rendered.status} {HTTPStatus(rendered.status).phrase}\r\n"
        body = b"" if head is not None and head.method == b"HEAD" else rendered.body
        self.transport.write((start + lines + "\r\n").encode() + body)
        return len(body)

    def _end(self, *, is_read: bool) -> None:
        """Close after what is buffered has been sent; linger where unread bytes would reset our last words away."""
        if is_read or not self.transport.can_write_eof():
            self._phase = _Phase.OVER
            self.transport.close()
            return
        self._set_phase(_Phase.LINGER, LINGER_SECONDS)
        self.transport.write_eof()
        self._holds.clear()
        self.transport.resume_reading()
