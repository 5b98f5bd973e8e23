"""Connections towards workspaces that wait for a next visitor, and the way to new ones.

They are kept per identity of a workspace, so an address that now belongs to another workspace starts from nothing.
"""

import asyncio
import socket
from collections import Counter
from enum import Enum

from config.settings import HttpSettings
from gateway.descriptors import EXHAUSTED, has_room
from gateway.http.outbox import Outbox
from gateway.http.upstream import Origin, UpstreamConnection
from gateway.telemetry.metrics import Metrics

_HINT_MARGIN = 1  # seconds; a request that leaves when the server's time is nearly up would meet a closed door


class DialFailure(Enum):
    """Why there is no connection to a workspace."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    """The workspace has as many connections as one may have."""
    FULL = "full"
    """This process has."""


class DialError(Exception):
    """The workspace could not be connected to. The upstream's fault."""

    def __init__(self, origin: Origin, failure: DialFailure) -> None:
        super().__init__(f"{origin.address}:{origin.port} {failure.value}")
        self.failure = failure


class Pool:
    """Idle upstream connections, newest first, and the way to new ones."""

    def __init__(self, settings: HttpSettings, ceiling: int, outbox: Outbox, metrics: Metrics) -> None:
        """`ceiling` is the number from which on a descriptor is not for connections of visitors."""
        self.settings = settings
        """By which connections are made and kept from now on."""
        self._ceiling = ceiling
        self._outbox = outbox
        self._open: Counter[str] = Counter()
        """Connections by owner, idle ones and those that became tunnels too."""
        self._idle: dict[Origin, dict[UpstreamConnection, float]] = {}
        """Until when each may wait; in the order in which they began to."""
        self._reuses, self._dials = metrics.http_upstream_reuses, metrics.http_upstream_dials
        metrics.http_upstream_connections.labels("idle").set_function(lambda: self._idle_count)
        metrics.http_upstream_connections.labels("busy").set_function(lambda: self._open.total() - self._idle_count)

    def __repr__(self) -> str:
        return f"<Pool idle={self._idle_count} origins={len(self._idle)}>"

    @property
    def _idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    def take(self, origin: Origin, now: float) -> UpstreamConnection | None:
        """An idle connection that still looks alive."""
        idle = self._idle.get(origin)
        while idle:
            connection, until = idle.popitem()
            if connection.is_idle and now < until:
                self._reuses.value += 1
                return connection
            connection.abort()
        return None

    async def dial(self, origin: Origin) -> UpstreamConnection:
        """A new connection.

        Raises:
            DialError: when there is none within `http.connect_timeout`, or no room for one.
        """
        is_full = 0 < self.settings.max_connections_per_workspace <= self._open[origin.owner]
        if is_full and not self.close_owner(origin.owner):
            raise DialError(origin, DialFailure.BUSY)
        if not has_room(self._ceiling) and not self._make_room():
            raise DialError(origin, DialFailure.FULL)
        self._open[origin.owner] += 1
        try:
            connection = await self._connect(origin)
        except BaseException as exc:
            self.leave(origin)
            if isinstance(exc, DialError):
                self._dials.labels(exc.failure.value).inc()
            raise
        self._dials.labels("ok").inc()
        connection.is_counted = True
        return connection

    async def _connect(self, origin: Origin) -> UpstreamConnection:
        loop = asyncio.get_running_loop()

        def create() -> UpstreamConnection:
            return UpstreamConnection(self.settings, origin, self._outbox, self.discard)

        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                if origin.port:
                    _, connection = await loop.create_connection(create, origin.address, origin.port)
                else:
                    _, connection = await loop.create_unix_connection(create, origin.address)
        except TimeoutError as exc:
            raise DialError(origin, DialFailure.TIMEOUT) from exc
        except ConnectionRefusedError as exc:
            raise DialError(origin, DialFailure.REFUSED) from exc
        except (OSError, socket.gaierror) as exc:
            raise DialError(origin, DialFailure.FULL if exc.errno in EXHAUSTED else DialFailure.UNREACHABLE) from exc
        if not connection.is_idle:
            raise DialError(origin, DialFailure.REFUSED)  # closed before it could be asked anything
        return connection

    def _make_room(self) -> bool:
        """Close what nobody uses; whether there was any."""
        owners = {origin.owner for origin, idle in self._idle.items() if idle}
        for owner in owners:
            self.close_owner(owner)
        return bool(owners)

    def give_back(self, connection: UpstreamConnection, now: float) -> None:
        """Keep a connection whose last response ended cleanly."""
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = {}
        if len(idle) >= self.settings.pool_size or not (connection.is_idle and connection.is_flushed):
            connection.abort()
            return
        connection.release_response()  # a client that was slow to take the end must not blind it to a hang-up
        limit, hint = self.settings.pool_idle_timeout, connection.keep_alive_hint
        idle[connection] = now + (limit if hint is None else min(limit, hint - _HINT_MARGIN))

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is gone."""
        if connection.is_counted:
            self.leave(connection.origin)
        idle = self._idle.get(connection.origin)
        if idle is not None:
            idle.pop(connection, None)
        if not idle:
            self._idle.pop(connection.origin, None)

    def leave(self, origin: Origin) -> None:
        """One connection towards this origin is no more; said by `discard`, and for one that became a tunnel."""
        self._open[origin.owner] -= 1
        if not self._open[origin.owner]:
            del self._open[origin.owner]

    def expire(self, now: float) -> None:
        """Close what has been idle for too long."""
        for idle in list(self._idle.values()):
            for connection in [connection for connection, until in idle.items() if until <= now]:
                del idle[connection]
                connection.abort()

    def close_owner(self, owner: str) -> bool:
        """Close what is idle towards a workspace; whether anything was."""
        origins = [origin for origin in self._idle if origin.owner == owner]
        idle = [connection for origin in origins for connection in self._idle.pop(origin)]
        for connection in idle:
            connection.abort()
        return bool(idle)

    def close(self) -> None:
        """Close everything idle."""
        for origin in list(self._idle):
            self.close_owner(origin.owner)
