"""Connections towards workspaces: dialled, used for one response at a time, and kept for the next visitor.

A workspace is run by a stranger. Its response ends where its own framing says and nowhere else; a connection on which
anything else was seen is closed and never carries another visitor's response. Connections are kept per identity of a
workspace, so an address that now belongs to another workspace starts from nothing.
"""

import asyncio
import socket
from collections import deque
from enum import Enum, auto
from typing import NamedTuple, Protocol, cast

import httptools

from config.settings import HttpSettings
from gateway.http.headers import BadResponse, Field, ResponseHead, parse_response


class Origin(NamedTuple):
    """What a pooled connection belongs to. A port of 0 means that `address` is the path of a Unix socket."""

    owner: str
    """uid of the workspace, or `portal`."""
    address: str
    port: int


class DialFailure(Enum):
    """Why there is no connection to a workspace."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


class DialError(Exception):
    """The workspace could not be connected to. The upstream's fault."""

    def __init__(self, origin: Origin, failure: DialFailure) -> None:
        super().__init__(f"{origin.address}:{origin.port} {failure.value}")
        self.failure = failure


class Receiver(Protocol):
    """Who a response is for. Exactly one of `response_end`, `switched` and `upstream_lost` comes last."""

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, *, reusable: bool) -> None: ...
    def switched(self, head: ResponseHead, rest: bytes) -> None: ...
    def upstream_lost(self, reason: str) -> None: ...
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

    def __init__(self, pool: "Pool", origin: Origin) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._pool = pool
        self._phase = _Phase.IDLE
        self._receiver: Receiver | None = None
        self._surplus = False
        self._switching: ResponseHead | None = None

    def __repr__(self) -> str:
        return f"<UpstreamConnection {self.origin.owner} {self.origin.address}:{self.origin.port} {self._phase.name}>"

    # What the exchange asks of it

    @property
    def is_idle(self) -> bool:
        return self._phase is _Phase.IDLE and not self.transport.is_closing()

    def begin(self, receiver: Receiver, *, method: bytes) -> None:
        """Expect the response to a request of this method; what follows is written with `send`."""
        self._receiver = receiver
        self._is_head_request = method == b"HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._surplus = False
        self._phase = _Phase.HEAD
        self._start_head()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def hold_response(self) -> None:
        """Read no more until the client has taken what there is."""
        self.transport.pause_reading()

    def release_response(self) -> None:
        self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; nobody is told."""
        self._phase = _Phase.OVER
        self._receiver = None
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are so by shape, not by inheritance

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self.abort()  # an idle connection that speaks would answer the next visitor's question
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._switch(data[exc.args[0] :])
            return
        except httptools.HttpParserError as exc:
            if self._phase is not _Phase.COMPLETE:
                self._lose(f"not HTTP: {exc}")
                return
            self._surplus = True
        if self._phase is _Phase.COMPLETE:
            self._complete()
        elif self._phase is _Phase.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self._pool.settings.head_bytes:
                self._lose("response head too large")

    def eof_received(self) -> None:
        if self._phase is _Phase.BODY and self._is_until_close:
            self._phase = _Phase.COMPLETE
            self._surplus = True
            self._complete()
        else:
            self._lose("closed by the workspace")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("connection lost" if exc is None else f"connection lost: {type(exc).__name__}")
        self._pool.discard(self)

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
        if self._phase is _Phase.HEAD:  # later ones are trailers, which are dropped
            self._fields.append((name, value))

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
        self._is_until_close = not head.chunked and head.content_length is None
        self._keep_alive = head.keep_alive
        self._phase = _Phase.COMPLETE if self._is_head_request else _Phase.BODY

    def on_body(self, data: bytes) -> None:
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

    def _parse_head(self) -> ResponseHead:
        if len(self._fields) > self._pool.settings.head_fields:
            raise BadResponse("too many fields in the response head")
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
        receiver.switched(head, rest)

    def _lose(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if self._phase is not _Phase.OVER:
            self._phase = _Phase.OVER
            self.transport.abort()
        if receiver is not None:
            receiver.upstream_lost(reason)


class Pool:
    """Idle upstream connections, newest first, and the way to new ones."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self._idle: dict[Origin, deque[UpstreamConnection]] = {}

    def __repr__(self) -> str:
        return f"<Pool idle={sum(map(len, self._idle.values()))} origins={len(self._idle)}>"

    def take(self, origin: Origin) -> UpstreamConnection | None:
        """An idle connection that still looks alive."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_idle:
                return connection
        return None

    async def dial(self, origin: Origin) -> UpstreamConnection:
        """A new connection.

        Raises:
            DialError: when there is none within `http.connect_timeout`.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                if origin.port:
                    _, connection = await loop.create_connection(
                        lambda: UpstreamConnection(self, origin), origin.address, origin.port
                    )
                else:
                    _, connection = await loop.create_unix_connection(
                        lambda: UpstreamConnection(self, origin), origin.address
                    )
        except TimeoutError as exc:
            raise DialError(origin, DialFailure.TIMEOUT) from exc
        except ConnectionRefusedError as exc:
            raise DialError(origin, DialFailure.REFUSED) from exc
        except (OSError, socket.gaierror) as exc:
            raise DialError(origin, DialFailure.UNREACHABLE) from exc
        return connection

    def give_back(self, connection: UpstreamConnection, now: float) -> None:
        """Keep a connection whose last response ended cleanly."""
        idle = self._idle.setdefault(connection.origin, deque())
        if len(idle) >= self.settings.pool_size or not connection.is_idle:
            connection.abort()
            return
        connection.idle_since = now
        idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is gone."""
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.origin, None)

    def expire(self, now: float) -> None:
        """Close what has been idle for too long; the oldest stand at the left."""
        horizon = now - self.settings.pool_idle_timeout
        for idle in list(self._idle.values()):
            while idle and idle[0].idle_since < horizon:
                idle.popleft().abort()

    def close_owner(self, owner: str) -> None:
        """Close what is idle towards a workspace that is no more."""
        for origin in [origin for origin in self._idle if origin.owner == owner]:
            for connection in self._idle.pop(origin):
                connection.abort()

    def close(self) -> None:
        """Close everything idle."""
        for origin in list(self._idle):
            self.close_owner(origin.owner)
