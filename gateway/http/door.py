"""The HTTP listener: accepts connections, owns their tasks, ends what waits too long, and drains.

Everything that runs for an exchange runs in this door's task group, so that nothing outlives it.
"""

import asyncio
import itertools
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from heapq import nsmallest
from types import TracebackType
from typing import Any, Self

from config.settings import HttpSettings
from gateway.descriptors import find_ceiling
from gateway.http.crowd import Crowd
from gateway.http.doorstep import Arrived, Doorstep
from gateway.http.edge import LINGER_SECONDS, ClientConnection
from gateway.http.farewell import SECONDS as FAREWELL_SECONDS
from gateway.http.forwarded import TrustedProxies
from gateway.http.gate import Gate
from gateway.http.outbox import Outbox
from gateway.http.plane import Plane, Work
from gateway.http.pool import Pool
from gateway.http.record import Recorder
from gateway.http.registry import Registry
from gateway.http.tls import DoorTls
from gateway.http.tunnel import Tunnel
from gateway.idle.uses import Uses
from gateway.listening import BACKLOG, bind
from gateway.spread import spread
from gateway.telemetry.slowest import KEPT, Slow
from gateway.telemetry.spans import Tracing

_PRESSED_SECONDS = 5  # for which an idle connection is kept when room runs out: a page that loads is done by then
SWEEP_SECONDS = 1.0  # how late a time-out may be noticed; all of them are whole seconds


class HttpDoor:
    """The HTTPS and WebSocket door."""

    def __init__(
        self,
        settings: HttpSettings,
        gate: Gate,
        recorder: Recorder,
        uses: Uses,
        *,
        scheme: str,
        sockets: Sequence[socket.socket] = (),
        tls: DoorTls | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`sockets` listen already; where none are given, the door binds its own when it opens."""
        self._settings = settings
        self._sockets = sockets
        self._tls = tls
        self._connections: Registry[ClientConnection] = Registry()
        self._tunnels: Registry[Tunnel] = Registry()
        ceiling = find_ceiling()
        self._trusted = trusted = TrustedProxies(settings.trusted_proxies)
        outbox = Outbox()
        self._pool = Pool(settings, ceiling, outbox, recorder.metrics)
        self._crowd = Crowd(settings, trusted, ceiling)
        self._tasks = asyncio.TaskGroup()
        self._is_draining = False
        self._listeners: list[asyncio.Server | Doorstep] = []
        self._doorsteps: list[Doorstep] = []
        run, count = secrets.token_hex(4), itertools.count(1)
        self._plane = Plane(
            gate=gate,
            pool=self._pool,
            outbox=outbox,
            crowd=self._crowd,
            trusted=trusted,
            recorder=recorder,
            uses=uses,
            tracing=tracing,
            scheme=scheme.encode(),
            spawn=self._spawn,
            now=time.monotonic,  # as the event loop, whose own time uvloop rounds to milliseconds
            tunnels=self._tunnels,
            new_request_id=lambda: f"{run}{next(count):08x}",
            is_draining=lambda: self._is_draining,
            get_server_name=tls.get_server_name if tls else lambda _transport: None,
        )

    def __repr__(self) -> str:
        return f"<HttpDoor connections={len(self._connections)} tunnels={len(self._tunnels)} {self._pool!r}>"

    def adopt(self, settings: HttpSettings) -> None:
        """Meet new clients by these settings from now on; connections that are open keep their limits."""
        self._settings = settings
        self._trusted.adopt(settings.trusted_proxies)
        self._crowd.adopt(settings)
        self._pool.settings = settings

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    async def __aenter__(self) -> Self:
        """Open the door.

        Raises:
            CannotListen: if there is no socket yet and none can be had.
        """
        sockets = self._sockets or bind("HTTP", self._settings.address, self._settings.port)
        await self._tasks.__aenter__()
        loop = asyncio.get_running_loop()
        self._port: int = sockets[0].getsockname()[1]
        for sock in sockets:
            if self._tls is None:
                self._listeners.append(await loop.create_server(self._connect, sock=sock, backlog=BACKLOG))
            else:
                doorstep = Doorstep(self._plane, sock, self._handshake(self._tls), self._connect)
                self._listeners.append(doorstep)
                self._doorsteps.append(doorstep)
        self._sweeper = self._spawn(self._sweep)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop_accepting()
        self._sweeper.cancel()
        for doorstep in self._doorsteps:
            doorstep.abort()
        for connection in self._connections:
            connection.abort()
        tunnels = tuple(self._tunnels)
        for tunnel in tunnels:
            tunnel.go_away()
        self._pool.close()
        await self._connections.wait_empty()
        await asyncio.sleep(0)  # what was written leaves when the loop comes round
        for tunnel in tunnels:
            tunnel.abort()
        # The tasks have nothing to do with why we close, so no exception goes to them.
        await self._tasks.__aexit__(None, None, None)

    def wind_down(self) -> None:
        """End each connection after the answer it waits for: whoever asks again is to connect anew, elsewhere."""
        self._is_draining = True

    def stop_accepting(self) -> None:
        """Take no new connection, and end each one after the answer it waits for."""
        self.wind_down()
        for listener in self._listeners:
            listener.close()
        for connection in self._connections:
            connection.close_if_idle()

    async def drain(self, grace: float, longest: float = 0) -> None:
        """Wait until every connection and tunnel has ended by itself, for `grace` seconds at most.

        Whatever is left then is closed one after the other, over `longest` seconds at most.
        """
        self.stop_accepting()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._connections.wait_empty()
                await self._tunnels.wait_empty()
        endings = [*(tunnel.go_away for tunnel in self._tunnels), *(each.abort for each in self._connections)]
        await spread(endings, lambda end: end(), longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._tunnels.wait_empty()

    def find_slow(self) -> Slow:
        """The slowest requests that ended lately, and those that have been under way for longest."""
        current = (connection.current for connection in self._connections)
        oldest = nsmallest(KEPT, (each for each in current if each is not None), key=lambda each: each.started)
        return Slow(self._plane.recorder.slowest.requests(), tuple(each.look() for each in oldest))

    def close_workspace(self, uid: str) -> None:
        """Keep no connection to a workspace that is no more."""
        self._pool.close_owner(uid)

    def _connect(self, arrived: Arrived = lambda: None) -> ClientConnection:
        return ClientConnection(self._plane, self._settings, self._connections, arrived)

    def _handshake(self, tls: DoorTls) -> dict[str, Any]:
        return {
            "ssl": tls.context,
            # A client that stops in the middle of its handshake gets no longer than one in the middle of a head,
            "ssl_handshake_timeout": self._settings.head_timeout,
            # and one that does not take leave no longer than one that does not read our last words.
            "ssl_shutdown_timeout": LINGER_SECONDS,
        }

    def _spawn(self, work: Work) -> asyncio.Task[None]:
        return self._tasks.create_task(self._guarded(work))

    async def _guarded(self, work: Work) -> None:
        """Run a task so that a bug in it ends neither the door nor, by the task group, everybody's exchanges."""
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it is, it was one exchange's
            self._plane.recorder.crashed("")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._plane.now()
            for connection in self._connections:
                self._expire(connection, now)
            self._pool.expire(now)
            self._relieve()

    def _relieve(self) -> None:
        """Where room runs out, let those go first who wait for nothing; and tell of those who found none."""
        if self._crowd.take_pressure():
            for connection in self._connections:
                connection.close_if_idle(_PRESSED_SECONDS)
        for code, clients in self._crowd.take_turned_away().items():
            self._plane.recorder.turned_away(code, clients)

    def _expire(self, connection: ClientConnection, now: float) -> None:
        try:
            connection.expire(now)
        except Exception:  # noqa: BLE001 - whatever it is, it was one exchange's
            self._plane.recorder.crashed("")
            connection.abort()
