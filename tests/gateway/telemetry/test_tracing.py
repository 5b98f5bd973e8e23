"""Spans, as a collector gets them from the whole gateway."""

import asyncio
import io
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncssh
import pytest

from config.settings import TracingSettings
from gateway.demo.world import EDITOR_PORT
from gateway.extras import ExtraMissing
from gateway.telemetry.log import open_log
from gateway.telemetry.trace_collector import open_tracing
from gateway.telemetry.trace_context import read_trace_context
from gateway.telemetry.tracing import open_recording
from tests.gateway.conftest import Live, open_live
from tests.gateway.telemetry.test_trace_context import SPAN, TRACE, VALID
from tests.otlp import Collector, open_collector

SERVER, CLIENT = 2, 3  # kinds of spans, as OTLP numbers them


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that takes everything."""
    async with open_collector() as opened:
        yield opened


@asynccontextmanager
async def traced(collector: Collector, ratio: float = 1) -> AsyncIterator[Live]:
    """The demo, all spans of which are with the collector after the block."""
    sections = {"tracing": TracingSettings(endpoint=collector.endpoint, sample_ratio=ratio)}
    async with open_live(**sections) as live:
        yield live


async def ask(live: Live, path: str, **headers: str) -> list[list[str]]:
    """The header fields that the workspace got with a request."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(
            f"http://127.0.0.1:{live.world.visit.connect_address[1]}{path}",
            headers={"Host": live.url("/").split("/")[2], **headers},
        ) as response,
    ):
        assert response.status == 200
        fields: list[list[str]] = await response.json()
        return fields


def told(fields: list[list[str]], name: str) -> list[str]:
    return [value for key, value in fields if key.lower() == name]


async def test_a_request_is_a_span_and_the_workspace_goes_on_from_it(collector: Collector) -> None:
    """With what semantic conventions say of a server's span, and without the query."""
    async with traced(collector) as live:
        (passed_on,) = told(await ask(live, "/headers?token=hush"), "traceparent")
        (line,) = live.logged("http.request")
    (span,) = collector.named("GET")

    assert passed_on == f"00-{span.trace_id}-{span.span_id}-01"
    assert line["trace_id"] == span.trace_id
    assert (span.kind, span.parent_id, span.is_error) == (SERVER, "", False)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/headers",
        "server.address": live.url("/").split("/")[2].partition(":")[0],
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "workspaces_gateway.request_id": line["request_id"],
        "workspaces_gateway.workspace": live.world.visit.running,
        "workspaces_gateway.port": 3000,
    }
    assert collector.resources[0]["service.name"] == "workspaces-gateway"
    assert not [body for body in collector.raw if b"hush" in body]


async def test_a_span_belongs_to_the_trace_that_the_client_told_of(collector: Collector) -> None:
    """Its state goes on as it is."""
    async with traced(collector) as live:
        fields = await ask(live, "/headers", traceparent=VALID, tracestate="rojo=1")
    (span,) = collector.named("GET")

    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
    assert told(fields, "traceparent") == [f"00-{TRACE}-{span.span_id}-01"]
    assert told(fields, "tracestate") == ["rojo=1"]


async def test_a_stranger_does_not_decide_what_is_recorded(collector: Collector) -> None:
    """What it says goes on unchanged, and nobody's collector is filled."""
    async with traced(collector, ratio=0) as live:
        fields = await ask(live, "/headers", traceparent=VALID)

    assert told(fields, "traceparent") == [VALID]
    assert collector.spans == []


async def test_a_stranger_has_no_question_to_gitlab_recorded_either(collector: Collector) -> None:
    """The portal asks GitLab about any token; spans of that, in a trace of the stranger's choice, fill a collector."""
    async with traced(collector, ratio=0) as live, aiohttp.ClientSession() as client:
        visit = live.world.visit
        _, _, portal = visit.portal_url.partition("://")
        headers = {"Host": portal, "X-Workspaces-Token": "glpat-made-up", "traceparent": VALID}
        url = f"http://127.0.0.1:{visit.connect_address[1]}/api/v1/workspaces"
        async with client.get(url, headers=headers) as response:
            assert response.status == 401

    assert collector.spans == []


async def test_a_login_and_its_session_are_spans_with_the_questions_to_gitlab(collector: Collector) -> None:
    """The session is a child of the login; no token is anywhere."""
    async with traced(collector) as live:
        visit = live.world.visit
        async with asyncssh.connect(
            visit.ssh_host,
            visit.ssh_port,
            username=visit.running,
            password=live.token("ada"),
            known_hosts=None,
            config=None,
            client_keys=None,
        ) as client:
            await client.run("true")
        token = live.token("ada")
        while not live.logged("ssh.closed"):  # noqa: ASYNC110 - the log tells nobody that it grew
            await asyncio.sleep(0)
    (login,), (session,) = collector.named("SSH login"), collector.named("SSH session")
    asked = [span for span in collector.spans if span.name.startswith("GitLab ")]

    assert (login.kind, login.parent_id, login.is_error) == (SERVER, "", False)
    assert (session.trace_id, session.parent_id) == (login.trace_id, login.span_id)
    assert session.attributes["workspaces_gateway.workspace"] == visit.running
    assert asked
    assert {(span.trace_id, span.parent_id, span.kind) for span in asked} == {(login.trace_id, login.span_id, CLIENT)}
    assert not [body for body in collector.raw if token.encode() in body]


async def test_a_login_that_fails_says_why(collector: Collector) -> None:
    """By the word that the metric has for it."""
    async with traced(collector) as live:
        visit = live.world.visit
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                visit.ssh_host,
                visit.ssh_port,
                username=visit.running,
                password="glpat-wrong-wrong",
                known_hosts=None,
                config=None,
                client_keys=None,
            )
        while not live.logged("ssh.closed"):  # noqa: ASYNC110 - the log tells nobody that it grew
            await asyncio.sleep(0)
    (login,) = collector.named("SSH login")

    assert login.is_error
    assert login.attributes["error.type"]
    assert not [body for body in collector.raw if b"glpat-wrong" in body]


async def test_a_sign_in_is_traced_with_its_calls_and_without_its_secrets(collector: Collector) -> None:
    """The portal is told of the trace by the edge."""
    async with traced(collector) as live, live.person("ada", at=live.url("/", port=EDITOR_PORT)) as browser:
        pairs = [
            pair
            for url in (live.url("/", port=EDITOR_PORT), f"{live.world.visit.portal_url}/")
            for pair in browser.cookie_header(url)["Cookie"].split("; ")
        ]
    asked = [span for span in collector.spans if span.name.startswith("GitLab ")]
    parents = {span.span_id for span in collector.named("GET")}

    assert asked
    assert {span.parent_id for span in asked} <= parents
    sent = b"".join(collector.raw)
    values = [value for pair in pairs if len(value := pair.partition("=")[2]) > 8]  # one only says that it is there
    assert values
    assert not [value for value in values if value.encode() in sent]
    assert b"code=" not in sent
    assert b"state=" not in sent


async def test_a_collector_that_refuses_is_said_once_and_disturbs_nobody(collector: Collector) -> None:
    """As is the moment when it takes spans again."""
    log, settings = io.StringIO(), TracingSettings(endpoint=collector.endpoint, sample_ratio=1)
    collector.is_refusing = True
    async with open_recording(settings, open_log("debug", log)) as recording:
        for _ in range(1100):  # more than two batches, each sent as soon as it is full
            span = recording.begin("GET", "server", {})
            assert span is not None
            span.end({})
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while collector.refused < 2:  # noqa: ASYNC110 - a batch is sent when the thread gets to it
                await asyncio.sleep(0.01)
        collector.is_refusing = False
        span = recording.begin("last", "server", {})
        assert span is not None
        span.end({})

    assert log.getvalue().count("tracing.failed") == 1
    assert log.getvalue().count("tracing.resumed") == 1
    assert len(log.getvalue().splitlines()) == 2
    assert collector.named("last")


async def test_a_collector_that_is_silent_keeps_nobody_from_ending() -> None:
    """It accepts, and never answers: two seconds are enough for the last spans."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = TracingSettings(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", sample_ratio=1)
        loop = asyncio.get_running_loop()
        async with open_recording(settings, open_log("debug", io.StringIO())) as recording:
            span = recording.begin("GET", "server", {})
            assert span is not None
            span.end({})
            started = loop.time()

    assert loop.time() - started >= 2


@pytest.mark.parametrize("ratio", [0, 1])
async def test_whom_we_follow_decides(collector: Collector, ratio: float) -> None:
    """Both ways; where nobody is followed it is chance."""
    settings = TracingSettings(endpoint=collector.endpoint, sample_ratio=ratio)
    recorded = read_trace_context({b"traceparent": VALID.encode()})
    dropped = read_trace_context({b"traceparent": VALID[:-1].encode() + b"0"})
    async with open_recording(settings, open_log("debug", io.StringIO())) as recording:
        assert recording.begin("GET", "server", {}, parent=recorded) is not None
        assert recording.begin("GET", "server", {}, parent=dropped) is None
        for parent in (recorded, dropped, None):
            assert (recording.begin("GET", "server", {}, parent=parent, follows=False) is not None) == bool(ratio)


async def test_without_an_endpoint_nothing_is_recorded() -> None:
    """Nor is OpenTelemetry looked for."""
    async with open_tracing(TracingSettings(), open_log("debug", io.StringIO())) as tracing:
        assert tracing is None


async def test_an_extra_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    """With how to install it."""
    monkeypatch.delitem(sys.modules, "gateway.telemetry.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    settings = TracingSettings(endpoint=collector.endpoint)
    with pytest.raises(ExtraMissing, match=r"tracing\.endpoint needs the package opentelemetry.*\.\[opentelemetry\]"):
        async with open_tracing(settings, open_log("debug", io.StringIO())):
            pass
