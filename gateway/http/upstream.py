"""One connection towards a workspace, used for one response at a time.

A workspace is run by a stranger. Its response ends where its own framing says and nowhere else; a connection on which
anything else was seen is closed and never carries another visitor's response.
"""

import asyncio
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol, cast

import httptools

from config.settings import HttpSettings
from gateway.http.headers import BadResponse, Field, ResponseHead, head_size, parse_response
from gateway.http.outbox import Outbox, Outlet

_KEEP_ALIVE_HINT = re.compile(rb"(?:^|[,;\s])timeout=([0-9]{1,6})(?![0-9])", re.IGNORECASE)


class Origin(NamedTuple):
    """What a pooled connection belongs to. A port of 0 means that `address` is the path of a Unix socket."""

    owner: str
    """uid of the workspace, or `portal`."""
    address: str
    port: int


class Receiver(Protocol):
    """Who a response is for. Exactly one of `response_end`, `switched`, `upstream_lost` and `crash` comes last."""

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, *, reusable: bool) -> None: ...
    def switched(self, head: ResponseHead, rest: bytes) -> None: ...
    def upstream_lost(self, reason: str, *, is_untouched: bool) -> None:
        """`is_untouched` is true where not one byte of a response was seen."""

    def crash(self) -> None:
        """A bug of ours was met; called while the exception is handled."""

    def hold_request(self) -> None: ...
    def release_request(self) -> None: ...


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    COMPLETE = auto()
    """The response has ended by its own framing."""
    OVER = auto()
    """Closed, broken, or handed over to a tunnel."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a port of a workspace."""

    transport: asyncio.Transport

    def __init__(
        self, settings: HttpSettings, origin: Origin, outbox: Outbox, gone: Callable[["UpstreamConnection"], None]
    ) -> None:
        self.origin = origin
        self.keep_alive_hint: float | None = None
        """How long the workspace says that it keeps an idle connection open."""
        self.is_counted = False
        """Whether it takes up one of the connections that its workspace may have."""
        self._settings = settings
        self._outbox = outbox
        self._gone = gone
        self._phase = _Phase.IDLE
        self._receiver: Receiver | None = None
        self._surplus = False
        self._parser = httptools.HttpResponseParser(self)
        self._is_head_request = False
        self._is_held = False
        self._switching: ResponseHead | None = None

    def __repr__(self) -> str:
        return f"<UpstreamConnection {self.origin.owner} {self.origin.address}:{self.origin.port} {self._phase.name}>"

    # What the exchange asks of it

    @property
    def is_idle(self) -> bool:
        return self._phase is _Phase.IDLE and not self.transport.is_closing()

    @property
    def is_flushed(self) -> bool:
        """Whether the workspace's side took all that was sent."""
        return self._outlet.is_flushed

    def begin(self, receiver: Receiver, *, method: bytes) -> None:
        """Expect the response to a request of this method; what follows is written with `send`."""
        self._receiver = receiver
        if self._is_head_request:  # the last one; llhttp still waits for the body that its head spoke of
            self._parser = httptools.HttpResponseParser(self)
        self._is_head_request = method == b"HEAD"
        self._overhead = 0
        self._fed = 0
        self._has_progressed = False
        self._is_untouched = True
        self._flushes = self._outlet.flushes
        self._surplus = False
        self._phase = _Phase.HEAD
        self._start_head()

    def send(self, data: bytes) -> None:
        self._outlet.write(data)

    def hold_response(self) -> None:
        """Read no more until the client has taken what there is."""
        self._is_held = True
        self.transport.pause_reading()

    def release_response(self) -> None:
        if self._is_held:
            self._is_held = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; nobody is told."""
        self._phase = _Phase.OVER
        self._receiver = None
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are so by shape, not by inheritance
        self._outlet = Outlet(self._outbox, self.transport)

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self.abort()  # an idle connection that speaks would answer the next visitor's question
            return
        if self._outlet.flushes == self._flushes:
            self._lose("an answer before the request was sent")  # and so to whoever was here before
            return
        self._is_untouched = False
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._switch(data[exc.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            self._crash()
            return
        except httptools.HttpParserError as exc:
            if self._phase is not _Phase.COMPLETE:
                self._lose(f"not HTTP: {exc}")
                return
            self._surplus = True
        if self._phase is _Phase.COMPLETE:
            self._complete()
            return
        self._weigh(len(data))

    def eof_received(self) -> None:
        if self._phase is _Phase.BODY and self._is_until_close:
            self._phase = _Phase.COMPLETE
            self._surplus = True
            self._complete()
        else:
            self._lose("closed by the workspace")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("connection lost" if exc is None else f"connection lost: {type(exc).__name__}")
        self._gone(self)
        if self._switching is None:
            del self._parser  # it holds on to this connection, which could not free itself

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.hold_request()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.release_request()

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._phase is _Phase.COMPLETE:
            self._surplus = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        # Later ones are trailers, which are dropped; ones too many need not be held until the head ends to be refused.
        if self._phase is _Phase.HEAD and len(self._fields) <= self._settings.head_fields:
            self._fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._phase is not _Phase.HEAD or self._receiver is None:
            return
        try:
            head = self._parse_head()
        except BadResponse as exc:
            self._lose(str(exc))
            return
        if head.status == 101:
            self._switching = head
            return
        self._receiver.response_head(head)
        if head.status < 200:
            self._start_head()
            return
        self._is_until_close = b"content-length" not in head.named and not head.chunked
        self._keep_alive = head.keep_alive or (self._is_head_request and head.is_persistent)
        self.keep_alive_hint = _keep_alive_hint(head) if b"keep-alive" in head.named else None
        self._has_progressed = True
        self._phase = _Phase.COMPLETE if self._is_head_request else _Phase.BODY

    def on_chunk_header(self) -> None:
        self._has_progressed = True
        if self._phase is _Phase.COMPLETE:
            self._surplus = True

    def on_body(self, data: bytes) -> None:
        self._has_progressed = True
        if self._phase is _Phase.BODY and self._receiver is not None:
            self._receiver.response_body(data)
        else:
            self._surplus = True

    def on_message_complete(self) -> None:
        if self._phase is _Phase.BODY:
            self._phase = _Phase.COMPLETE

    # Inner steps

    def _start_head(self) -> None:
        self._fields: list[Field] = []
        self._reason = b""
        self._switching = None

    def _weigh(self, size: int) -> None:
        """Bound what is neither body nor a whole head: an endless head, interim responses, trailers, extensions."""
        self._overhead = 0 if self._has_progressed else self._overhead + size
        self._has_progressed = False
        if self._overhead > self._settings.head_bytes and self._phase is not _Phase.OVER:
            self._lose("response head too large")

    def _parse_head(self) -> ResponseHead:
        limits = self._settings
        if len(self._fields) > limits.head_fields or (
            self._fed > limits.head_bytes and head_size(self._fields) > limits.head_bytes
        ):
            raise BadResponse("response head too large")
        parser = self._parser
        return parse_response(
            parser.get_status_code(),
            self._reason,
            parser.get_http_version(),
            self._fields,
            keep_alive=parser.should_keep_alive(),
        )

    def _complete(self) -> None:
        receiver, self._receiver = self._receiver, None
        self._phase = _Phase.IDLE
        reusable = self._keep_alive and not self._surplus and not self.transport.is_closing()
        if receiver is not None:
            receiver.response_end(reusable=reusable)

    def _switch(self, rest: bytes) -> None:
        receiver, self._receiver = self._receiver, None
        head, self._phase = self._switching, _Phase.OVER
        if receiver is None or head is None:
            self._lose("an upgrade that nobody asked for")
            return
        del self._parser  # as when the connection is lost, of which a tunnel hears instead
        receiver.switched(head, rest)

    def _lose(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if self._phase is not _Phase.OVER:
            self._phase = _Phase.OVER
            self.transport.abort()
        if receiver is not None:
            receiver.upstream_lost(reason, is_untouched=self._is_untouched)

    def _crash(self) -> None:
        receiver, self._receiver = self._receiver, None
        self.abort()
        if receiver is not None:
            receiver.crash()


def _keep_alive_hint(head: ResponseHead) -> float | None:
    """What `Keep-Alive: timeout=5` says, as the servers of Node.js and many others do (RFC 2068, section 19.7.1.1)."""
    match = _KEEP_ALIVE_HINT.search(head.named[b"keep-alive"])
    return float(match[1]) if match else None
