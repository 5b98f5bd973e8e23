"""Spans of requests and logins, sent to an OpenTelemetry collector by OTLP over HTTP.

Spans wait in a bounded queue for a thread of OpenTelemetry's own, and those that find no room are lost: a collector
that is slow or away costs traces and nothing else. What goes on between the two is said once, and not at every try.

OpenTelemetry reads variables of its own beside our settings: OTEL_EXPORTER_OTLP_HEADERS for a collector that wants a
key, OTEL_EXPORTER_OTLP_CERTIFICATE for its authority, OTEL_RESOURCE_ATTRIBUTES for what else is known of this place.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from config.settings import TracingSettings
from gateway import __version__
from gateway.telemetry.log import Log
from gateway.telemetry.spans import Attributes, Span
from gateway.telemetry.trace_context import TraceContext, current_trace, make_trace_context

_EXPORT_SECONDS = 10  # for one batch; a collector takes milliseconds
_LAST_SECONDS = 2.0  # for what waits at the end; a collector that takes longer gets no more
_KINDS = {"server": trace.SpanKind.SERVER, "internal": trace.SpanKind.INTERNAL, "client": trace.SpanKind.CLIENT}


@asynccontextmanager
async def open_recording(settings: TracingSettings, log: Log) -> AsyncIterator["Recording"]:
    """Record and send while the block runs. The collector need not be reachable."""
    exporter = _Exporter(OTLPSpanExporter(f"{settings.endpoint}/v1/traces", timeout=_EXPORT_SECONDS), log)
    sender = BatchSpanProcessor(exporter)
    resource = Resource.create({"service.name": "workspaces-gateway", "service.version": __version__})
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(sender)
    _silence_library()
    try:
        yield Recording(provider.get_tracer("workspaces_gateway", __version__), settings.sample_ratio)
    finally:
        closing = threading.Thread(target=_close, args=(sender, exporter), name="last spans", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _LAST_SECONDS)


def _silence_library() -> None:
    """It warns at every try, and `_Exporter` says what came of it."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _close(sender: BatchSpanProcessor, exporter: SpanExporter) -> None:
    sender.force_flush()
    exporter.shutdown()  # before what feeds it, which would wait for its tries half a minute
    sender.shutdown()  # type: ignore[no-untyped-call]  # OpenTelemetry left this one out


class Recording:
    """Begins spans, for some of what happens (`spans.Tracing`)."""

    def __init__(self, tracer: trace.Tracer, ratio: float, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives a number from 0 up to 1, as `random` does: no secret comes of it."""
        self._tracer = tracer
        self._ratio = ratio
        self._chance = chance

    def begin(
        self,
        name: str,
        kind: Literal["server", "internal"],
        attributes: Attributes,
        *,
        parent: TraceContext | None = None,
        follows: bool = True,
    ) -> Span | None:
        is_recorded = parent.is_sampled if parent and follows else self._chance() < self._ratio
        return self._begin(name, kind, attributes, parent) if is_recorded else None

    def add_child(self, name: str, attributes: Attributes, *, seconds: float, failure: str = "") -> None:
        parent = current_trace.get()
        if parent is not None and parent.is_sampled:
            started = time.time_ns() - int(seconds * 1e9)
            self._begin(name, "client", attributes, parent, started).end({}, failure=failure)

    def _begin(
        self, name: str, kind: str, attributes: Attributes, parent: TraceContext | None, started: int | None = None
    ) -> "_Span":
        span = self._tracer.start_span(
            name, _context(parent), kind=_KINDS[kind], attributes=dict(attributes), start_time=started
        )
        return _Span(span, parent.tracestate if parent else b"")


class _Span:
    def __init__(self, span: trace.Span, tracestate: bytes) -> None:
        self._span = span
        told = span.get_span_context()
        trace_id, span_id = trace.format_trace_id(told.trace_id), trace.format_span_id(told.span_id)
        self.context = make_trace_context(trace_id, span_id, tracestate)

    def end(self, attributes: Attributes, *, failure: str = "") -> None:
        self._span.set_attributes(dict(attributes))
        if failure:
            self._span.set_attribute("error.type", failure)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def _context(parent: TraceContext | None) -> Context:
    if parent is None:
        return Context()
    told = trace.SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(told), Context())


class _Exporter(SpanExporter):
    """Says when a collector stops taking spans, and when it takes them again."""

    def __init__(self, exporter: SpanExporter, log: Log) -> None:
        self._exporter = exporter
        self._log = log
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            self._log.warning("tracing.failed", error="the collector takes no spans; until it does, traces are lost")
        elif self._is_failing and not is_failing:
            self._log.info("tracing.resumed")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
