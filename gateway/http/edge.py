"""One client connection: its requests are answered one after the other, in their order.

Owns what belongs to the connection alone: keep-alive, pipelining, time-outs, and the last moments of a connection.
What a request means is decided elsewhere.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from math import inf
from typing import cast

from config.settings import HttpSettings
from gateway.answers import MISDIRECTED, REQUEST_TIMEOUT, TOO_MANY_REQUESTS, Answer
from gateway.http.doorstep import Arrived
from gateway.http.exchange import Exchange
from gateway.http.headers import RequestHead
from gateway.http.outbox import Outlet
from gateway.http.plane import Hold, Plane
from gateway.http.reader import RequestReader
from gateway.http.registry import Registry
from gateway.http.reply import reply_bytes
from gateway.http.stall import StallWatch

LINGER_SECONDS = 5  # to let a client read our last words while it still writes (RFC 9112, section 9.6)
_PIPELINE_MAX = 64  # requests that wait for the answers before them; browsers send none, programs a few
_PIPELINE_FIELDS_MAX = 1000  # of all of those heads; at some 220 bytes of memory each, however short they are
_EARLY_MAX = 64 * 1024  # bytes a client may send before its upgrade is answered; then it waits


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()
    LINGER = auto()
    """Everything was said; what still comes in is read and dropped."""
    OVER = auto()
    """Closed, or handed over to a tunnel."""


_ENDED = (_Phase.LINGER, _Phase.OVER)


class ClientConnection(asyncio.Protocol):
    """A browser's (or an ingress's) connection to the HTTP door."""

    transport: asyncio.Transport
    outlet: Outlet

    def __init__(
        self, plane: Plane, settings: HttpSettings, connections: Registry["ClientConnection"], arrived: Arrived
    ) -> None:
        self.is_full = False
        """Whether the client takes less than it was given."""
        self._plane = plane
        self._settings = settings
        self._connections = connections
        self._arrived = arrived
        self._reader = RequestReader(settings, self)
        self._phase = _Phase.IDLE
        self._current: Exchange | None = None
        """What is being answered."""
        self._receiving: Exchange | None = None
        """Whose request is being read."""
        self._queue: deque[Exchange | tuple[Answer, bytes]] = deque()
        """What was asked meanwhile; an answer, with its Accept, is the last of them."""
        self._is_advancing = False
        self._holds: set[Hold] = set()
        self._early: bytearray | None = None
        """What came after a request for a tunnel that is not open yet."""
        self._deadline = inf
        self._is_turned_away = False

    def __repr__(self) -> str:
        return f"<ClientConnection {self.peer} {self._phase.name} queued={len(self._queue)}>"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are so by shape, not by inheritance
        self.outlet = Outlet(self._plane.outbox, self.transport)
        self._stall = StallWatch(self.transport, self._settings.body_idle_timeout, self._plane.now)
        self.peer: str = (transport.get_extra_info("peername") or ("",))[0]  # none where it has left already
        self._arrived()
        no_room = self._plane.crowd.enter(self.peer, transport.get_extra_info("socket").fileno())
        if no_room is not None:
            self._is_turned_away = True
            self._answer_and_close(no_room)
            return
        self._connections.add(self)
        self._plane.recorder.metrics.http_connections.inc()
        self._server_name = self._plane.get_server_name(transport)
        self._set_phase(_Phase.IDLE, self._settings.keep_alive_timeout)

    def data_received(self, data: bytes) -> None:
        if self._phase in _ENDED:
            return
        if self._early is not None:
            self._hear_early(self._early, data)
            return
        rest = self._reader.feed(data)
        if self._phase is _Phase.IDLE and self._reader.in_head:
            self._set_phase(_Phase.HEAD, self._settings.head_timeout)
        if rest is not None:
            self._after_websocket_request(rest)

    def eof_received(self) -> None:
        # A client that stops writing is taken to be gone, as other proxies do: a later answer would go nowhere.
        self.outlet.flush()
        self._leave("client_closed")

    def connection_lost(self, _exc: Exception | None) -> None:
        self._reader.release()
        if self._is_turned_away:
            return
        self._plane.crowd.leave(self.peer)
        self._connections.discard(self)
        self._plane.recorder.metrics.http_connections.dec()
        self._leave("client_closed")

    def pause_writing(self) -> None:
        self.is_full = True
        self._stall.start()
        if self._current is not None:
            self._current.hold_response()

    def resume_writing(self) -> None:
        self.is_full = False
        self._stall.stop()
        if self._current is not None:
            self._current.release_response()
        else:
            self._advance()

    # From the reader (reader.Listener)

    def request(self, head: RequestHead) -> None:
        if self._queue and self._is_queue_full(head):
            self._reader.stop()
            self.request_refused(TOO_MANY_REQUESTS, "too many requests at once", b"")
            return
        exchange = Exchange(self._plane, self, head)
        self._receiving = None if exchange.request_done else exchange
        if self._current is None and not self.is_full:
            self._start(exchange)
        else:
            self._queue.append(exchange)
            self.hold(Hold.QUEUE)

    def request_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.request_body(data)
            self._await_body()

    def request_end(self) -> None:
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        if self._phase is _Phase.BODY:
            self._phase, self._deadline = _Phase.RESPONSE, inf
        exchange.request_end()

    def request_refused(self, answer: Answer, reason: str, accept: bytes) -> None:
        """Answer what is no request, after the answers that are still owed."""
        broken, self._receiving = self._receiving, None
        if self._phase in _ENDED:
            return
        self._plane.recorder.refused(self.peer, answer.status, reason)
        if broken is not None and broken is self._current:
            broken.request_broken(answer)
            return
        if broken is not None:
            self._queue.remove(broken)
        if self._current is None and not self._queue:
            self._answer_and_end(answer, accept)
        else:
            self._queue.append((answer, accept))
            self.hold(Hold.QUEUE)

    def crash(self) -> None:
        """End after a bug of ours, alone; called while the exception is handled."""
        if self._current is not None:
            self._current.crash()
        else:
            self._plane.recorder.crashed("")
            self.transport.abort()

    # From the exchange (plane.Client)

    def write_answer(
        self, head: RequestHead, request_id: str, answer: Answer, extra: list[tuple[str, str]], *, close: bool
    ) -> int:
        """Write an answer of the gateway itself; the number of body bytes."""
        data, length = reply_bytes(answer, head.get(b"accept"), request_id, extra, head=head, close=close)
        self.outlet.write(data)
        return length

    def hold(self, reason: Hold) -> None:
        """Read no more from the client until every reason is gone."""
        if not self._holds and self._phase is not _Phase.OVER:
            self.transport.pause_reading()
        self._holds.add(reason)
        self._await_body()

    def release(self, reason: Hold) -> None:
        if reason not in self._holds:
            return
        self._holds.remove(reason)
        if not self._holds and self._phase is not _Phase.OVER:
            self.transport.resume_reading()
            self._await_body()

    def done(self, *, keep_alive: bool) -> None:
        """The current exchange is answered and holds the client no more: go on with the next one, or end."""
        exchange, self._current = self._current, None
        if self._holds:
            self.release(Hold.BODY)
            self.release(Hold.UPSTREAM)
        if self._phase in _ENDED:
            return
        is_early = False
        if self._early is not None and not self._queue:
            # A declined upgrade: what came early was meant for the tunnel and must not be taken for a request.
            is_early, self._early = bool(self._early), None
            self.release(Hold.EARLY)
        if keep_alive and not is_early and not self._plane.is_draining():
            self._advance()
        else:
            is_whole = exchange is None or exchange.request_done
            self._end(is_read=is_whole and not (is_early or self._queue or self._reader.in_head))

    def hand_over(self) -> bytes:
        """Give the transport away to a tunnel; what the client sent after its request."""
        self.outlet.flush()
        self._reader.release()
        self._phase = _Phase.OVER
        self._current = None
        self._connections.discard(self)
        self._plane.recorder.metrics.http_connections.dec()
        return bytes(self._early or b"")

    # From the door

    @property
    def current(self) -> Exchange | None:
        """The request that is being answered."""
        return self._current

    def expire(self, now: float) -> None:
        """End what has waited too long; called about once a second."""
        if self._stall.is_stalled(now):
            self._break_off("client_stalled")
        elif self._holds and not self.transport.is_closing() and self._stall.has_hung_up():
            self._break_off("client_closed")
        elif now >= self._deadline:
            self._expire_phase()

    def close_if_idle(self, seconds: float = 0) -> None:
        """Close a connection that has waited for a next request for so long."""
        waited = self._settings.keep_alive_timeout - (self._deadline - self._plane.now())
        if self._phase is _Phase.IDLE and waited >= seconds:
            self._close()

    def abort(self) -> None:
        self.transport.abort()

    # Inner steps

    def _set_phase(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._plane.now() + seconds

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        if exchange.request_done:
            self._phase, self._deadline = _Phase.RESPONSE, inf
        else:
            self._phase = _Phase.BODY
            self._await_body()
        if self._server_name in (None, exchange.head.host):
            exchange.start()
        else:
            exchange.reply(MISDIRECTED)

    def _is_queue_full(self, head: RequestHead) -> bool:
        fields = len(head.fields) + sum(len(item.head.fields) for item in self._queue if isinstance(item, Exchange))
        return len(self._queue) >= _PIPELINE_MAX or fields > _PIPELINE_FIELDS_MAX

    def _await_body(self) -> None:
        if self._phase is _Phase.BODY:  # a client that we do not read from is not late
            self._deadline = inf if self._holds else self._plane.now() + self._settings.body_idle_timeout

    def _advance(self) -> None:
        """Start what is queued until something has to be waited for, or wait for the next request."""
        if self._is_advancing:
            return
        if self._queue:
            self._start_queued()
        if self._current is None and not self._queue and self._phase not in _ENDED:
            if self._reader.in_head:
                self._set_phase(_Phase.HEAD, self._settings.head_timeout)
            else:
                self._set_phase(_Phase.IDLE, self._settings.keep_alive_timeout)

    def _start_queued(self) -> None:
        """A loop, as a thousand requests may be queued whose answers need not be waited for."""
        self._is_advancing = True
        while self._queue and self._current is None and not self.is_full and self._phase not in _ENDED:
            item = self._queue.popleft()
            if not self._queue:
                self.release(Hold.QUEUE)
            if isinstance(item, Exchange):
                self._start(item)
            else:
                self._answer_and_end(*item)
        self._is_advancing = False

    def _after_websocket_request(self, rest: bytes) -> None:
        if self._current is not None:  # it, or one before it
            self._hear_early(bytearray(), rest)
        elif rest and self._phase not in _ENDED:
            self._end(is_read=False)  # declined at once, as in `done`

    def _hear_early(self, early: bytearray, data: bytes) -> None:
        self._early = early
        early += data
        if len(early) > _EARLY_MAX:
            self.hold(Hold.EARLY)

    def _answer_and_end(self, answer: Answer, accept: bytes) -> None:
        data, _ = reply_bytes(answer, accept, self._plane.new_request_id(), [], head=None, close=True)
        self.outlet.write(data)
        self._end(is_read=False)

    def _answer_and_close(self, answer: Answer) -> None:
        """Say it before there is a request, and wait for nothing: somebody without a place keeps no descriptor."""
        data, _ = reply_bytes(answer, b"", self._plane.new_request_id(), [], head=None, close=True)
        self.outlet.write(data)
        self._reader.stop()
        self._phase = _Phase.OVER
        self.outlet.close()

    def _expire_phase(self) -> None:
        match self._phase:
            case _Phase.HEAD:
                self._reader.stop()
                self.request_refused(REQUEST_TIMEOUT, "request head not complete in time", b"")
            case _Phase.BODY if self._current is not None:
                self._reader.stop()
                self._current.request_broken(REQUEST_TIMEOUT)
            case _Phase.LINGER if self.transport.get_write_buffer_size():
                self._set_phase(_Phase.LINGER, LINGER_SECONDS)  # it has yet to take our last words
            case _Phase.IDLE:
                self._close()
            case _:
                self.transport.abort()

    def _end(self, *, is_read: bool) -> None:
        """Close after what is buffered has been sent; linger where unread bytes would reset our last words away."""
        self._reader.stop()
        self._queue.clear()
        if is_read or not self.transport.can_write_eof():
            self._close()
            return
        self._set_phase(_Phase.LINGER, LINGER_SECONDS)
        self.outlet.write_eof()
        self._stall.start()
        self._holds.clear()
        self.transport.resume_reading()

    def _close(self) -> None:
        self._set_phase(_Phase.OVER, inf)
        self.outlet.close()
        self._stall.start()

    def _leave(self, code: str) -> None:
        self._reader.stop()
        self._queue.clear()
        self._set_phase(_Phase.OVER, inf)
        self._stall.start()
        exchange, self._current = self._current, None
        if exchange is not None:
            exchange.client_gone(code)

    def _break_off(self, code: str) -> None:
        self._leave(code)
        self.transport.abort()
