"""What an exchange works with: the client connection as it sees it, and what all exchanges of one door share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from gateway.answers import Answer
from gateway.http.crowd import Crowd
from gateway.http.forwarded import TrustedProxies
from gateway.http.gate import Gate
from gateway.http.headers import RequestHead
from gateway.http.outbox import Outbox, Outlet
from gateway.http.pool import Pool
from gateway.http.record import Recorder
from gateway.http.registry import Registry
from gateway.http.tunnel import Tunnel
from gateway.idle.uses import Uses
from gateway.telemetry.spans import Tracing

Work = Callable[[], Coroutine[Any, Any, None]]
"""What a task does. Not yet a coroutine: one whose task is cancelled before it begins would never be awaited."""


class Hold(Enum):
    """Why a client is not read from."""

    QUEUE = auto()
    """Its next request came before the answer to this one."""
    BODY = auto()
    """Its body waits for a connection to the workspace."""
    UPSTREAM = auto()
    """The workspace reads slower than the client writes."""
    EARLY = auto()
    """It sent a lot for a tunnel that is not open yet."""


class Client(Protocol):
    """The client connection, as an exchange sees it."""

    @property
    def peer(self) -> str: ...
    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def outlet(self) -> Outlet: ...
    def write_answer(
        self, head: RequestHead, request_id: str, answer: Answer, extra: list[tuple[str, str]], *, close: bool
    ) -> int: ...
    def hold(self, reason: Hold) -> None: ...
    def release(self, reason: Hold) -> None: ...
    def done(self, *, keep_alive: bool) -> None: ...
    def hand_over(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Plane:
    """What all exchanges of one door share."""

    gate: Gate
    pool: Pool
    outbox: Outbox
    crowd: Crowd
    trusted: TrustedProxies
    recorder: Recorder
    uses: Uses
    tracing: Tracing | None
    scheme: bytes
    spawn: Callable[[Work], asyncio.Task[None]]
    tunnels: Registry[Tunnel]
    now: Callable[[], float]
    """Seconds on a clock that nobody sets."""
    new_request_id: Callable[[], str]
    is_draining: Callable[[], bool]
    get_server_name: Callable[[asyncio.BaseTransport], str | None]
    """The host that a client's TLS handshake named; None without TLS."""
