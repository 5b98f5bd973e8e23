"""A real HTTP door in front of workspaces whose every byte the test decides."""

import asyncio
import io
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import uvloop
from pydantic import SecretStr

from auth.access import AccessPolicy, GrantKeeper
from auth.calls import Calls
from auth.cookies import Cookies
from auth.gitlab import GitLabClient
from auth.grants import GRANT_LIFETIME, Grants
from auth.login import Login
from auth.model import GitLabFault, Grant, Ownership, Tokens, User, Visibility, WorkspacePort, WorkspaceRecord
from auth.seal import Sealer
from auth.sessions import MemorySessions, session_ref
from auth.wishes import Wishes
from config.settings import (
    AuthSettings,
    HttpSettings,
    RoutingSettings,
    SessionSettings,
    Settings,
    VisibilitySettings,
)
from gateway.demo.quiet_ports import quiet_ports
from gateway.http.door import HttpDoor
from gateway.http.gate import Gate
from gateway.http.record import Recorder
from gateway.http.tls import DoorTls
from gateway.http.upstream import Origin
from gateway.idle.ledger import Ledger
from gateway.idle.uses import Uses
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing
from gateway.waking import Waker
from routing.discovery import RoutingRules, derive_claim
from routing.model import Batch, Relisted, Route, ServicePort, WorkspaceService, WorkspaceState
from routing.table import RouteTable
from tests.clock import Clock
from tests.gateway.idle_parts import IdleParts, make_idle
from tests.log_words import check_words

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PORTAL = "ws.example.dev"
HOST = "3000-apple.ws.example.dev"
GET = b"GET / HTTP/1.1\r\nHost: 3000-apple.ws.example.dev\r\n\r\n"
PATIENCE = 10  # seconds a test waits for what comes at once; only a failure takes so long
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Message:
    """A request or a response as it came over a socket."""

    head: bytes
    """Raw, with its empty line."""
    body: bytes = b""

    @property
    def start(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def target(self) -> bytes:
        return self.start.partition(b" ")[2].rpartition(b" ")[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """In order, as written."""
        lines = self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: bytes) -> bytes:
        """The value of a field that is there exactly once."""
        (value,) = self.all(name)
        return value

    @property
    def code(self) -> bytes:
        """Which answer of the gateway itself this is; empty for a workspace's own."""
        return b"".join(self.all(b"x-workspaces-gateway"))


ADA = User(7, "ada")


class PlayedGitLab(GitLabClient):
    """GitLab, whose word on a visitor the test decides: Ada owns every workspace until told otherwise."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        super().__init__(Calls(http, "http://127.0.0.1:1", 1, lambda *_: None))
        self.visitor = ADA
        self.owner_id = ADA.id
        self.fault: GitLabFault | None = None
        self.asked = 0

    async def find_user(self, token: SecretStr) -> User:
        del token
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return self.visitor

    async def find_ownership(self, token: SecretStr, workspace_id: str) -> Ownership:
        visitor = await self.find_user(token)
        return Ownership(visitor, WorkspaceRecord(workspace_id, "apple", self.owner_id, "Running"))


class CursedPolicy(AccessPolicy):
    """The rules, but for hosts where it meets a bug."""

    def __init__(self, gitlab: PlayedGitLab, settings: VisibilitySettings) -> None:
        super().__init__(gitlab, settings)
        self.cursed: set[str] = set()

    def visibility(self, port: WorkspacePort) -> Visibility:
        if isinstance(port, Route) and port.host in self.cursed:
            raise ArithmeticError("a bug")
        return super().visibility(port)


@dataclass
class World:
    """The door, what is behind it, and what it left behind in log and metrics."""

    door: HttpDoor
    gitlab: PlayedGitLab
    policy: CursedPolicy
    table: RouteTable
    gate: Gate
    grants: Grants
    sessions: MemorySessions
    cookies: Cookies
    metrics: Metrics
    log: io.StringIO
    idle: IdleParts
    clock: Clock
    """Of the ledger."""
    stack: AsyncExitStack
    claims: int = 0

    async def add(
        self,
        handler: Handler | None,
        *,
        name: str = "apple",
        visibility: str = "public",
        state: WorkspaceState = WorkspaceState.RUNNING,
    ) -> None:
        """A workspace with one web port; without a handler nothing listens on it."""
        port = self._reserve() if handler is None else await self._listen(handler)
        self.claim(name, port, visibility, state)

    def claim(
        self, name: str, port: int, visibility: str = "public", state: WorkspaceState = WorkspaceState.RUNNING
    ) -> None:
        """A workspace with one web port, at this port of this machine."""
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
        self.table.apply(Batch(changed=(claim,)))

    def _reserve(self) -> int:
        """A port on which nobody listens, and nobody else can."""
        sock = self.stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

    async def add_unreachable(self) -> None:
        """A workspace whose address swallows every packet: a listener whose backlog is full."""
        listener = socket.socket()
        self.stack.callback(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            filler = socket.socket()
            self.stack.callback(filler.close)
            filler.setblocking(False)  # noqa: FBT003 - the standard library's own signature
            filler.connect_ex(listener.getsockname())
        self.claim("apple", listener.getsockname()[1], "public", WorkspaceState.RUNNING)

    def curse(self, name: str) -> None:
        """Let the gateway itself fail whenever this workspace is asked for."""
        self.policy.cursed.add(f"3000-{name}.ws.example.dev")

    async def move(self, old: str, new: str) -> None:
        """Let another workspace have the address of an old one, which is gone."""
        route = self.table.get_route(f"3000-{old}.ws.example.dev")
        assert route is not None
        self.table.apply(Batch(removed=(f"ns/{old}",)))
        self.claim(new, route.upstream.port, "public", WorkspaceState.RUNNING)

    async def _listen(self, handler: Handler) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.stack.callback(writer.transport.abort)
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
        # A small limit: what the reader of a test keeps would look like something the door keeps.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.door.port, limit=1 << 18)
        self.stack.callback(writer.close)
        return reader, writer

    async def ask(self, *lines: str | bytes, **how: Any) -> Message:
        """The answer to one request on a connection of its own."""
        reader, writer = await self.connect()
        writer.write(request(*lines, **how))
        return await read_response(reader, how.get("method", "GET").encode())

    async def exchange(self, request: bytes) -> bytes:
        """Everything that comes back for these bytes until the door closes the connection."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()

    async def grant(
        self, host: str = HOST, *, visibility: Visibility = Visibility.PRIVATE, age: float = 0, user: User = ADA
    ) -> str:
        """The Cookie line of somebody who signed in and entered `age` seconds ago."""
        now = time.time()
        session = await self.sessions.create(user, Tokens(SecretStr("a"), SecretStr("r"), now + 7200), "browser")
        route = self.table.get_route(host)
        assert route is not None
        grant = Grant(
            host=host,
            workspace_id=route.workspace_id,
            workspace_uid=route.workspace.uid,
            user_id=user.id,
            username=user.username,
            session_ref=session_ref(session.id),
            visibility=visibility,
            issued=now - age,
            expires=now - age + GRANT_LIFETIME,
        )
        return f"Cookie: {self.cookies.grant}={self.grants.seal_grant(grant)}"

    @property
    def ledger(self) -> Ledger:
        return self.idle.ledger

    @property
    def uses(self) -> Uses:
        return self.idle.uses

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric now."""
        return self.metrics.registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0.0


def free_port() -> int:
    """A port of this machine that nobody listens on right now."""
    return quiet_ports(1)[0]


def settings(**http: Any) -> Settings:
    """Settings of a gateway; its door gets a socket that listens already."""
    return Settings(
        auth=AuthSettings(
            host="http://127.0.0.1:1",
            client_id="id",
            client_secret=SecretStr("secret"),
            redirect_uri=f"https://{PORTAL}/auth/callback",
            signing_key=SecretStr("a signing key for tests"),
        ),
        http=HttpSettings(**http),
        routing=RoutingSettings(),
    )


@asynccontextmanager
async def open_world(
    chosen: Settings | None = None, *, tls: DoorTls | None = None, tracing: Tracing | None = None, **http: Any
) -> AsyncIterator[World]:
    """A door with these HTTP settings (or these settings altogether) and nothing behind it yet."""
    chosen, metrics, log = chosen or settings(**http), Metrics(), io.StringIO()
    async with AsyncExitStack() as stack:
        gitlab = PlayedGitLab(await stack.enter_async_context(aiohttp.ClientSession()))
        sealer, sessions, table = Sealer([chosen.auth.signing_key]), MemorySessions(SessionSettings()), RouteTable()
        table.apply(Relisted(()))
        policy, cookies, grants = CursedPolicy(gitlab, VisibilitySettings()), Cookies(secure=True), Grants(sealer)
        login = Login(chosen.auth, gitlab, sealer, sessions)
        clock = Clock()
        idle = make_idle(chosen.idle, table, gitlab, metrics=metrics, log=log, clock=clock)
        gate = Gate(
            chosen,
            table=table,
            policy=policy,
            keeper=GrantKeeper(policy, login, sessions),
            grants=grants,
            sessions=sessions,
            cookies=cookies,
            login=login,
            portal=Origin("portal", "/nonexistent/portal", 0),
            waker=Waker(Wishes(gitlab), metrics, open_log("info", log)),
            idle=idle.watch,
            metrics=metrics,
        )
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        stack.callback(listener.close)
        recorder = Recorder(metrics, open_log("info", log))
        door = await stack.enter_async_context(
            HttpDoor(
                chosen.http, gate, recorder, idle.uses, scheme="https", sockets=[listener], tls=tls, tracing=tracing
            )
        )
        yield World(door, gitlab, policy, table, gate, grants, sessions, cookies, metrics, log, idle, clock, stack)
    check_words(log)


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
    async with asyncio.timeout(PATIENCE):
        return await reader.readuntil(b"\r\n\r\n")


async def read_request(reader: asyncio.StreamReader) -> Message:
    """A request with its body."""
    return await _read_body(reader, Message(await read_head(reader)), is_request=True)


async def read_response(reader: asyncio.StreamReader, method: bytes = b"GET") -> Message:
    """The next response, interim ones included, with its body."""
    message = Message(await read_head(reader))
    if method == b"HEAD" or message.status < 200 or message.status in (204, 304):
        return message
    return await _read_body(reader, message, is_request=False)


async def _read_body(reader: asyncio.StreamReader, message: Message, *, is_request: bool) -> Message:
    async with asyncio.timeout(PATIENCE):
        if message.all(b"transfer-encoding"):
            return replace(message, body=await _read_chunks(reader))
        lengths = message.all(b"content-length")
        if lengths or is_request:
            return replace(message, body=await reader.readexactly(int(lengths[0]) if lengths else 0))
        return replace(message, body=await reader.read())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n", "no trailers"
    return body


class Workspace:
    """A server that keeps the requests it receives and answers each with the next of its responses, then the last."""

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses) or [OK]
        self.requests: list[Message] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await read_request(reader))
            index = min(len(self.requests), len(self.responses)) - 1
            writer.write(self.responses[index])

    @property
    def request(self) -> Message:
        """The only one it received."""
        (request,) = self.requests
        return request


class Scene:
    """A workspace whose connections are played by the test itself."""

    def __init__(self) -> None:
        self._connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._held: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held.append(writer)  # a writer that nobody holds closes its connection
        self._connections.put_nowait((reader, writer))

    @property
    def waiting(self) -> int:
        """Connections that nobody accepted yet."""
        return self._connections.qsize()

    async def accept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next connection from the gateway."""
        async with asyncio.timeout(PATIENCE):
            return await self._connections.get()


class Stage:
    """A client connection, and the workspace that it asks, both played by the test itself."""

    def __init__(self, scene: Scene, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.scene = scene
        self.reader = reader
        self.writer = writer

    async def ask(self, raw: bytes = GET) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request that comes to the workspace on a new connection: that one, with the request's head read."""
        self.writer.write(raw)
        inside, outside = await self.scene.accept()
        await read_head(inside)
        return inside, outside


@pytest.fixture
async def stage(world: World) -> Stage:
    """The public port of the first workspace, and a client before it."""
    scene = Scene()
    await world.add(scene)
    return Stage(scene, *await world.connect())


def request(*lines: str | bytes, method: str = "GET", target: str = "/", host: str = HOST, body: bytes = b"") -> bytes:
    """A request with these further header lines."""
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"\r\n".join([f"{method} {target} HTTP/1.1\r\nHost: {host}".encode(), *raw, b"", body])


def answering(*responses: bytes) -> Handler:
    """A workspace that answers each request (heads only) with the next of these bytes, then closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in responses:
            await read_head(reader)
            writer.write(response)
            await writer.drain()
        writer.close()

    return handle
