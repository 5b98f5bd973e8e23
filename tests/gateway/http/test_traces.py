"""The trace that a request says it belongs to, on its way to the workspace and into the log."""

import io
import json

import pytest

from config.settings import TracingSettings
from config.values import AnyNetwork, network
from gateway.telemetry.log import open_log
from gateway.telemetry.tracing import open_recording
from tests.gateway.http.conftest import Workspace, World, open_world, request
from tests.gateway.telemetry.test_trace_context import TRACE, VALID
from tests.otlp import open_collector


async def pass_on(world: World, *lines: str) -> Workspace:
    """The workspace, after it got a request with these lines."""
    workspace = Workspace()
    await world.add(workspace)
    await world.exchange(request("Connection: close", *lines))
    return workspace


def logged(world: World) -> dict[str, object]:
    (line,) = [json.loads(line) for line in world.log.getvalue().splitlines()]
    assert isinstance(line, dict)
    return line


async def test_a_valid_trace_goes_on_unchanged(world: World) -> None:
    """And its number is in the log; without a collector we add nothing to it."""
    workspace = await pass_on(world, f"TraceParent: {VALID}", "tracestate: rojo=1", "Tracestate: congo=2")

    assert workspace.request.all(b"traceparent") == [VALID.encode()]
    assert workspace.request.all(b"tracestate") == [b"rojo=1, congo=2"]
    assert logged(world)["trace_id"] == TRACE


@pytest.mark.parametrize(
    "lines",
    [
        ["traceparent: 00-garbage", "tracestate: rojo=1"],
        ["tracestate: rojo=1"],
        [f"traceparent: {VALID}", f"traceparent: {VALID}", "tracestate: rojo=1"],
    ],
)
async def test_an_invalid_trace_ends_here(world: World, lines: list[str]) -> None:
    """The workspace begins its own, as if none had been told; the log holds nothing of it."""
    workspace = await pass_on(world, *lines)

    assert workspace.request.all(b"traceparent") == []
    assert workspace.request.all(b"tracestate") == []
    assert "trace_id" not in logged(world)
    assert "garbage" not in world.log.getvalue()


async def test_no_trace_is_made_up(world: World) -> None:
    """Without a collector nobody would ever find it."""
    workspace = await pass_on(world)

    assert workspace.request.all(b"traceparent") == []
    assert "trace_id" not in logged(world)


@pytest.mark.parametrize(("trusted", "spans"), [([network("127.0.0.1")], 1), ([], 0)])
async def test_a_trusted_proxy_decides_what_is_recorded(trusted: list[AnyNetwork], spans: int) -> None:
    """And nobody else, where chance decides that nothing is."""
    async with open_collector() as collector:
        settings = TracingSettings(endpoint=collector.endpoint, sample_ratio=0)
        async with (
            open_recording(settings, open_log("debug", io.StringIO())) as tracing,
            open_world(tracing=tracing, trusted_proxies=trusted) as world,
        ):
            await pass_on(world, f"traceparent: {VALID}")

    assert len(collector.spans) == spans
    assert {span.trace_id for span in collector.spans} <= {TRACE}


async def test_what_fails_is_an_error() -> None:
    """By the code that the log has for it."""
    async with open_collector() as collector:
        settings = TracingSettings(endpoint=collector.endpoint, sample_ratio=1)
        async with (
            open_recording(settings, open_log("debug", io.StringIO())) as tracing,
            open_world(tracing=tracing) as traced,
        ):
            await traced.add(None)
            await traced.exchange(request("Connection: close"))

    (span,) = collector.spans
    assert span.is_error
    assert span.attributes["http.response.status_code"] == 502
    assert span.attributes["error.type"] == "nothing_listens"
