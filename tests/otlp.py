"""A stand-in for an OpenTelemetry collector: takes spans by OTLP over HTTP, and can be told to refuse them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first of a trace."""
    attributes: dict[str, str | int]
    is_error: bool
    seconds: float


@dataclass
class Collector:
    """What came so far."""

    endpoint: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    resources: list[dict[str, str | int]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    refused: int = 0
    is_refusing: bool = False

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""
        body = await request.read()
        if request.content_type != "application/x-protobuf":
            return web.Response(status=415)
        if self.is_refusing:
            self.refused += 1
            return web.Response(status=400)
        told = ExportTraceServiceRequest.FromString(body)
        self.raw.append(body)
        for resource in told.resource_spans:
            self.resources.append({item.key: _value(item.value) for item in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.spans += [
                    ReceivedSpan(
                        name=span.name,
                        kind=span.kind,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        attributes={item.key: _value(item.value) for item in span.attributes},
                        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    )
                    for span in scope.spans
                ]
        content = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=content, content_type="application/x-protobuf")


def _value(value: AnyValue) -> str | int:
    return value.int_value if value.WhichOneof("value") == "int_value" else value.string_value


@asynccontextmanager
async def open_collector() -> AsyncIterator[Collector]:
    """A collector on a free port of this machine."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        collector.endpoint = f"http://{host}:{port}"
        yield collector
    finally:
        await runner.cleanup()
