"""One request and its response: decided, forwarded, streamed both ways, finished.

A thin state machine between a client connection and an upstream connection. Retries, early responses, framing towards
the client and who is closed after an exchange are decided here, once for all methods.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum, auto

from gateway.answers import BROKEN_UPSTREAM, FULL, INTERNAL_ERROR, SEE_OTHER, WORKSPACE_BUSY, Answer, answer_unreachable
from gateway.http.decision import Ask, Decision, Forward, Redirect, Reply
from gateway.http.framing import LAST_CHUNK, PLAIN, chunk, frame
from gateway.http.headers import (
    RequestHead,
    ResponseHead,
    privacy,
    request_for_upstream,
    response_for_client,
    switching_protocols,
)
from gateway.http.plane import Client, Hold, Plane, Work
from gateway.http.pool import DialError, DialFailure
from gateway.http.record import REVOKED, describe
from gateway.http.switching import open_tunnel
from gateway.http.trace import begin_trace
from gateway.http.upstream import UpstreamConnection
from gateway.http.use import is_of_somebody, is_work
from gateway.http.websocket import is_accepted
from gateway.telemetry.slowest import SlowRequest
from routing.model import WorkspaceState

_NO_ROOM = {DialFailure.FULL: FULL, DialFailure.BUSY: WORKSPACE_BUSY}
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))  # RFC 9110, section 9.2.2
_BUFFER_MAX = 64 * 1024  # bytes of a body that arrives before its workspace is connected; then the client waits
_DISCARD_MAX = 64 * 1024  # bytes of a body that are read and dropped to keep a connection; beyond, closing is cheaper
_CLIENT_CLOSED = 499  # nginx's number for a client that left before its answer; only in log and metrics


class _Phase(Enum):
    WAITING = auto()
    """For a decision, or for a connection to the workspace."""
    SENT = auto()
    """The request head is with the workspace; no response head yet."""
    ANSWERING = auto()
    """A response head went to the client."""
    DISCARDING = auto()
    """Answered; the rest of the request is read and dropped."""
    OVER = auto()


class Exchange:
    """A request on its way."""

    # What most exchanges begin and end with stands here once, instead of being set for each of them.
    _phase = _Phase.WAITING
    _forward: Forward | None = None
    _upstream: UpstreamConnection | None = None
    _reused = False
    _task: asyncio.Task[None] | None = None
    _pending_bytes = 0
    _framing = PLAIN
    _own_cookies: frozenset[bytes] = frozenset()
    """Empty for the portal, which is ours: it reads and sets the very cookies that a workspace must never see."""
    _received = 0
    _sent = 0
    _status = 0

    def __init__(self, plane: Plane, client: Client, head: RequestHead) -> None:
        self.head = head
        self.request_id = plane.new_request_id()
        self.request_done = not head.has_body
        self._plane = plane
        self._client = client
        self._pending: list[bytes] = []
        """Of the request, before the workspace is connected."""
        self.started = plane.now()
        self._trace = begin_trace(plane, client.peer, head)

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id} {self.head.host} {self._phase.name}>"

    def look(self) -> SlowRequest:
        """What there is to see of it while it is under way."""
        seconds = self._plane.now() - self.started
        return describe(
            self.head, self._forward, request_id=self.request_id, status=self._status, code="", seconds=seconds
        )

    # From the client connection

    def start(self) -> None:
        """Decide and act; called once, when all earlier requests of the connection are answered."""
        try:
            self._follow(self._plane.gate.decide(self.head))
        except Exception:  # noqa: BLE001 - a bug met by one request must not end the others
            self.crash()

    def request_body(self, data: bytes) -> None:
        self._received += len(data)
        if self._upstream is not None:
            self._send_body(self._upstream, data)
        elif self._phase is _Phase.WAITING:
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes > _BUFFER_MAX:
                self._client.hold(Hold.BODY)

    def request_end(self) -> None:
        if self.request_done:
            return
        self.request_done = True
        if self._upstream is not None and self.head.chunked:
            self._upstream.send(LAST_CHUNK)
        if self._phase is _Phase.DISCARDING:
            self._finish(keep_alive=True)

    def request_broken(self, answer: Answer) -> None:
        """The rest of the body will never come, or is none: nothing that follows on this connection can be trusted."""
        if self._phase in (_Phase.WAITING, _Phase.SENT):
            self.reply(answer, close=True)
        elif self._phase is _Phase.DISCARDING:
            self._finish(keep_alive=False)
        else:
            self.client_gone(answer.code)
            self._client.transport.abort()

    def hold_response(self) -> None:
        if self._upstream is not None:
            self._upstream.hold_response()

    def release_response(self) -> None:
        if self._upstream is not None:
            self._upstream.release_response()

    def client_gone(self, code: str) -> None:
        """Nobody waits for the answer any more: let go of everything, within this call."""
        if self._phase in (_Phase.OVER, _Phase.DISCARDING):
            return
        self._phase = _Phase.OVER
        if self._task is not None:
            self._task.cancel()
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        self._record(self._status or _CLIENT_CLOSED, code)

    def revoke(self) -> None:
        """The visitor may not be here any more: break off, whatever is under way."""
        self.client_gone(REVOKED)
        self._client.transport.abort()

    def reply(self, answer: Answer, extra: list[tuple[str, str]] | None = None, *, close: bool = False) -> None:
        """Let the gateway answer instead of the workspace."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        # A client that waits for 100 may or may not send its body after a final answer: only closing is certain.
        head = self.head
        droppable = not head.chunked and head.content_length <= _DISCARD_MAX and b"expect" not in head.named
        is_draining = self._plane.is_draining()
        keep = head.keep_alive and (self.request_done or droppable) and not (close or is_draining)
        self._pending.clear()
        self._sent = self._client.write_answer(head, self.request_id, answer, extra or [], close=not keep)
        self._record(answer.status, answer.code)
        if keep and not self.request_done:
            self._phase = _Phase.DISCARDING
            self._client.release(Hold.BODY)
            self._client.release(Hold.UPSTREAM)
        else:
            self._finish(keep_alive=keep)

    # Deciding and connecting

    def _follow(self, decision: Decision) -> None:
        match decision:
            case Forward():
                self._connect(decision)
            case Reply(answer, cookies, denied):
                if denied:
                    self._plane.recorder.entry_denied(self.head, self.request_id, self._client.peer, denied)
                self.reply(answer, [("Set-Cookie", cookie) for cookie in cookies])
            case Redirect(location, cookies):
                self.reply(SEE_OTHER, [("Location", location), *(("Set-Cookie", cookie) for cookie in cookies)])
            case Ask(question):
                self._spawn(lambda: self._ask(question))

    async def _ask(self, question: Callable[[], Awaitable[Decision]]) -> None:
        self._follow(await question())

    def _connect(self, forward: Forward) -> None:
        self._forward = forward
        if forward.route is not None:
            self._own_cookies = self._plane.gate.cookies.names
            self._plane.gate.streams.add(self, forward)
            if is_work(self.head, forward):
                self._plane.uses.act(forward.route.workspace.id)
            elif is_of_somebody(self.head, forward):
                self._plane.uses.polls[forward.route.workspace.id] += 1
        upstream = self._plane.pool.take(forward.origin, self._plane.now())
        if upstream is not None:
            self._send_head(upstream, reused=True)
        else:
            self._spawn(lambda: self._dial(forward))

    async def _dial(self, forward: Forward) -> None:
        pool = self._plane.pool
        try:
            try:
                upstream = await pool.dial(forward.origin)
            except DialError:
                upstream = await pool.dial(forward.origin)  # once more for any request: nothing of it was sent yet
        except DialError as exc:
            self._plane.recorder.upstream_failed(exc.failure.value, str(exc), self.request_id)
            timed_out = exc.failure is DialFailure.TIMEOUT
            route = forward.route
            if exc.failure in _NO_ROOM:
                self.reply(_NO_ROOM[exc.failure] if route else FULL)
            elif route is not None and route.workspace.state is WorkspaceState.STOPPED:
                self._follow(self._plane.gate.start_pages.offer(self.head, forward))
            else:
                self.reply(answer_unreachable(route.workspace.state, timed_out=timed_out) if route else INTERNAL_ERROR)
        else:
            self._send_head(upstream, reused=False)

    def _send_head(self, upstream: UpstreamConnection, *, reused: bool) -> None:
        head = self.head
        self._upstream, self._reused, self._phase = upstream, reused, _Phase.SENT
        upstream.begin(self, method=head.method)
        plane, forward = self._plane, self._forward
        told = plane.trusted.lines(
            self._client.peer,
            head,
            scheme=plane.scheme,
            request_id=self.request_id.encode(),
            user=forward.user if forward else b"",
        )
        if forward and forward.target:
            head = replace(head, target=forward.target)
            told += b"X-Forwarded-Prefix: %b\r\n" % forward.prefix
        if self._trace is not None:
            told += self._trace.lines_for(forward)
        told += plane.gate.rounds.line
        upstream.send(request_for_upstream(head, told, self._own_cookies))
        if self._pending:
            self._send_pending(upstream)
        if self.request_done and head.chunked:
            upstream.send(LAST_CHUNK)

    def _send_pending(self, upstream: UpstreamConnection) -> None:
        pending, self._pending = self._pending, []
        for data in pending:
            self._send_body(upstream, data)
        self._client.release(Hold.BODY)

    def _send_body(self, upstream: UpstreamConnection, data: bytes) -> None:
        for piece in chunk(data) if self.head.chunked else (data,):
            upstream.send(piece)

    # From the upstream connection (upstream.Receiver)

    def response_head(self, head: ResponseHead) -> None:
        if head.status < 200:
            if not self.head.http10:  # RFC 9110, section 15.2
                self._write(response_for_client(head, b"", (), self._own_cookies, self.head.host))
            return
        self._phase = _Phase.ANSWERING
        self._status = head.status
        must_close = not self.request_done or self._plane.is_draining()
        self._framing = framing = frame(self.head, head, must_close=must_close)
        added: list[bytes] = []
        if self._forward is not None and self._forward.grant is not None:
            added.append(privacy(head))
        if self._forward is not None and self._forward.cookies:
            added += [b"Set-Cookie: %b\r\n" % cookie.encode() for cookie in self._forward.cookies]
        self._write(response_for_client(head, framing.lines, added, self._own_cookies, self.head.host))

    def response_body(self, data: bytes) -> None:
        self._sent += len(data)
        if self._framing.rechunk:
            for piece in chunk(data):
                self._write(piece)
        else:
            self._write(data)

    def response_end(self, *, reusable: bool) -> None:
        if self._framing.rechunk:
            self._write(LAST_CHUNK)
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and self.request_done:
                self._plane.pool.give_back(upstream, self._plane.now())
            else:
                upstream.abort()
        self._record(self._status, "")
        self._finish(keep_alive=not self._framing.close)

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        upstream, forward = self._upstream, self._forward
        if upstream is None or forward is None or not is_accepted(self.head, head):
            self.upstream_lost("a 101 that does not answer the request", is_untouched=False)
            return
        if self._client.transport.is_closing():  # with TLS a transport may be closed whose protocol is told later
            self.client_gone("client_closed")
            return
        self._upstream, self._phase = None, _Phase.OVER
        self._write(switching_protocols(head, self._own_cookies, self.head.host))
        self._record(101, "")
        workspace = upstream.transport
        open_tunnel(
            self._plane, self._client, self.head, forward, request_id=self.request_id, workspace=workspace, rest=rest
        )

    def upstream_lost(self, reason: str, *, is_untouched: bool) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if is_untouched and self._phase is _Phase.SENT and self._reused and self._forward and self._is_repeatable():
            self._retry(self._forward)
            return
        self._plane.recorder.upstream_failed("broken", reason, self.request_id)
        if self._phase is _Phase.SENT:
            self.reply(BROKEN_UPSTREAM)
        elif self._phase is _Phase.ANSWERING:
            self._client.outlet.flush()
            # The only way left to say that the body is not whole is to break the connection.
            self._phase = _Phase.OVER
            self._record(self._status, "truncated")
            self._client.transport.abort()

    def crash(self) -> None:
        """End after a bug of ours, alone; called while the exception is handled."""
        self._plane.recorder.crashed(self.request_id)
        if self._phase in (_Phase.WAITING, _Phase.SENT):
            self.reply(INTERNAL_ERROR, close=True)
        else:
            self.client_gone(INTERNAL_ERROR.code)
            self._client.transport.abort()

    def _retry(self, forward: Forward) -> None:
        self._phase = _Phase.WAITING
        self._spawn(lambda: self._dial(forward))

    def hold_request(self) -> None:
        self._client.hold(Hold.UPSTREAM)

    def release_request(self) -> None:
        self._client.release(Hold.UPSTREAM)

    # Inner steps

    def _is_repeatable(self) -> bool:
        return self.head.method in _IDEMPOTENT and not self.head.has_body

    def _finish(self, *, keep_alive: bool) -> None:
        self._phase = _Phase.OVER
        self._client.done(keep_alive=keep_alive)

    def _write(self, data: bytes) -> None:
        self._client.outlet.write(data)

    def _spawn(self, work: Work) -> None:
        self._task = self._plane.spawn(lambda: self._guarded(work))

    async def _guarded(self, work: Work) -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001 - a bug met by one request must not end the others
            self.crash()

    def _record(self, status: int, code: str) -> None:
        plane, forward = self._plane, self._forward
        plane.gate.streams.discard(self)
        client = plane.trusted.find_client(self._client.peer, self.head.get(b"x-forwarded-for"))
        if self._trace is not None:
            self._trace.end(request_id=self.request_id, client=client, forward=forward, status=status, code=code)
        plane.recorder.request(
            self.head,
            request_id=self.request_id,
            trace_id=self._trace.context.trace_id if self._trace else "",
            client=client,
            forward=forward,
            status=status,
            code=code,
            seconds=plane.now() - self.started,
            received=self._received,
            sent=self._sent,
        )
