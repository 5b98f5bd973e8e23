"""A real HTTP door in front of workspaces whose every byte the test decides."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from pydantic import SecretStr

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import Cookies
from auth.gitlab import open_gitlab
from auth.grants import Grants
from auth.login import Login
from auth.seal import Sealer
from auth.sessions import MemorySessions
from config.settings import AuthSettings, HttpSettings, RoutingSettings, SessionSettings, Settings, VisibilitySettings
from gateway.http.door import HttpDoor
from gateway.http.gate import Gate
from gateway.http.record import Recorder
from gateway.http.upstream import Origin
from gateway.telemetry import Metrics, open_log
from routing.discovery import RoutingRules, derive_claim
from routing.model import ClaimChanged, ServicePort, WorkspaceService, WorkspaceState
from routing.table import RouteTable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PORTAL = "ws.example.dev"
HOST = "3000-apple.ws.example.dev"
GET = b"GET / HTTP/1.1\r\nHost: 3000-apple.ws.example.dev\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class World:
    """The door, what is behind it, and what it left behind in log and metrics."""

    door: HttpDoor
    table: RouteTable
    gate: Gate
    grants: Grants
    sessions: MemorySessions
    cookies: Cookies
    metrics: Metrics
    log: io.StringIO
    stack: AsyncExitStack
    claims: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def add(
        self,
        handler: Handler | None,
        *,
        name: str = "apple",
        visibility: str = "public",
        state: WorkspaceState = WorkspaceState.RUNNING,
    ) -> None:
        """A workspace with one web port; without a handler nothing listens on it."""
        port = free_port() if handler is None else await self._listen(handler)
        self.claims += 1
        service = WorkspaceService(
            name=name,
            namespace="ns",
            uid=f"uid-{name}-{self.claims}",
            created=float(self.claims),
            workspace_id=str(self.claims),
            agent_id="1",
            host_template="{{.port}}-" + name + ".ws.example.dev",
            cluster_ip="127.0.0.1",
            ports=(ServicePort("http-3000", port, 3000),),
            visibility=((3000, visibility),),
            state=state,
        )
        claim, _ = derive_claim(service, RoutingRules(PORTAL))
        assert claim is not None
        self.table.apply(ClaimChanged(claim))

    async def _listen(self, handler: Handler) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            try:
                await handler(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 20)
        self.stack.push_async_callback(server.wait_closed)
        self.stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the door."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.door.port, limit=1 << 24)
        self.stack.callback(writer.close)
        return reader, writer

    async def exchange(self, request: bytes) -> bytes:
        """Everything that comes back for these bytes until the door closes the connection."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric now."""
        return self.metrics.registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0.0


def free_port() -> int:
    """A port of this machine that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def settings(**http: Any) -> Settings:
    """Settings of a gateway on a free port."""
    return Settings(
        auth=AuthSettings(
            host="http://127.0.0.1:1",
            client_id="id",
            client_secret=SecretStr("secret"),
            redirect_uri=f"https://{PORTAL}/auth/callback",
            signing_key=SecretStr("a signing key for tests"),
        ),
        http=HttpSettings(address="127.0.0.1", port=free_port(), **http),
        routing=RoutingSettings(),
    )


@asynccontextmanager
async def open_world(**http: Any) -> AsyncIterator[World]:
    """A door with these HTTP settings and nothing behind it yet."""
    chosen, metrics, log = settings(**http), Metrics(), io.StringIO()
    async with AsyncExitStack() as stack:
        gitlab = await stack.enter_async_context(open_gitlab(chosen.auth, lambda *_: None))
        sealer, sessions, table = Sealer([chosen.auth.signing_key]), MemorySessions(SessionSettings()), RouteTable()
        policy, cookies, grants = AccessPolicy(gitlab, VisibilitySettings()), Cookies(secure=True), Grants(sealer)
        gate = Gate(
            chosen,
            table=table,
            policy=policy,
            keeper=GrantKeeper(policy, Login(chosen.auth, gitlab, sealer, sessions), sessions),
            grants=grants,
            sessions=sessions,
            cookies=cookies,
            portal=Origin("portal", "/nonexistent/portal", 0),
        )
        door = await stack.enter_async_context(
            HttpDoor(chosen.http, gate, Recorder(metrics, open_log("info", log)), scheme="https")
        )
        yield World(door, table, gate, grants, sessions, cookies, metrics, log, stack)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production: its transports differ from asyncio's in when they write, pause and close."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A door with default settings."""
    async with open_world() as world:
        yield world


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A message head, up to and with its empty line."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(*responses: bytes) -> Handler:
    """A workspace that answers each request (heads only) with the next of these bytes, then closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in responses:
            await read_head(reader)
            writer.write(response)
            await writer.drain()
        writer.close()

    return handle
