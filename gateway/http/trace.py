"""The trace that a request belongs to, and what we record of it by OpenTelemetry's semantic conventions for servers.

A trace that a client says it belongs to is told on to the workspace. Whether we record it is up to the client only if
that is a trusted proxy: anybody else could have every request recorded.
"""

from typing import NamedTuple

from gateway.http.decision import Forward
from gateway.http.headers import RequestHead
from gateway.http.plane import Plane
from gateway.telemetry.spans import Attributes, Span, Tracing
from gateway.telemetry.trace_context import TraceContext, read_trace_context

_PATH_MAX = 1024  # characters, as in the log


class RequestTrace(NamedTuple):
    """What the workspace is told of the trace, and our own span in it, if we record one."""

    context: TraceContext
    span: Span | None

    def lines_for(self, forward: Forward | None) -> bytes:
        """The header lines with it. The portal records its own questions in what it hears of: only in ours."""
        is_portal = forward is None or forward.route is None
        return b"" if is_portal and self.span is None else self.context.lines

    def end(self, *, request_id: str, client: str, forward: Forward | None, status: int, code: str) -> None:
        """The request has ended; `code` is the gateway's own answer, or how it broke off."""
        if self.span is None:
            return
        attributes: dict[str, str | int] = {
            "http.response.status_code": status,
            "client.address": client,
            "workspaces_gateway.request_id": request_id,
        }
        if forward is not None and forward.route is not None:
            attributes["workspaces_gateway.workspace"] = forward.route.workspace.name
            attributes["workspaces_gateway.port"] = forward.route.port
        is_broken = code and forward is not None and status < 400
        self.span.end(attributes, failure=(code or str(status)) if status >= 500 or is_broken else "")


def begin_trace(plane: Plane, peer: str, head: RequestHead) -> RequestTrace | None:
    """None for a request that belongs to no trace."""
    context = read_trace_context(head.named)
    if plane.tracing is not None:
        span = _begin_span(plane.tracing, plane, peer, head, context)
        if span is not None:
            return RequestTrace(span.context, span)
    return RequestTrace(context, None) if context is not None else None


def _begin_span(
    tracing: Tracing, plane: Plane, peer: str, head: RequestHead, parent: TraceContext | None
) -> Span | None:
    method = head.method.decode()
    attributes: Attributes = {
        "http.request.method": method,
        "url.scheme": plane.scheme.decode(),
        "url.path": head.path[:_PATH_MAX].decode("latin-1"),
        "server.address": head.host,
        "network.protocol.version": "1.0" if head.http10 else "1.1",
    }
    return tracing.begin(method, "server", attributes, parent=parent, follows=plane.trusted.is_trusted(peer))
