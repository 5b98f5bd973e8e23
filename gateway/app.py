"""Builds the gateway from its settings: every part is made here or in `doors`, and every task is owned here.

The order of the parts is the order of the data: routes, access, doors. A part gets what it needs by its constructor,
and only its own section of the settings.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from auth.access import AccessPolicy
from auth.gitlab import open_gitlab
from auth.owners import WorkspaceOwners
from auth.profiles import ProfileClient
from auth.stopping import Stopper
from auth.wishes import Wishes
from config.settings import Settings
from gateway.admin import Operated, serve_admin
from gateway.doors import Adopter, Parts, open_http, open_ssh
from gateway.http.door import HttpDoor
from gateway.http.streams import Streams
from gateway.idle.opening import Idle, open_idle
from gateway.idle.standing import render_report
from gateway.listening import Listeners
from gateway.material import Material, read_material
from gateway.routes.source import RouteSource, open_route_source
from gateway.routes.writer import RouteWriter
from gateway.running import running
from gateway.ssh.server import SshDoor
from gateway.telemetry.log import Log
from gateway.telemetry.loop_lag import measure_lag
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slowest import Slow, write_slow
from gateway.telemetry.spans import Tracing
from gateway.telemetry.trace_collector import open_tracing
from gateway.waking import Waker
from routing.table import RouteTable


class Gateway:
    """All parts of one gateway process, open from `async with` to its end."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        listeners: Listeners,
        clock: Callable[[], float] = time.time,
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """The sockets of `listeners` belong to the caller. `steady` is a clock that nobody sets."""
        self._settings = settings
        self._listeners = listeners
        self._log = log
        self._clock = clock
        self._steady = steady
        self._parts = AsyncExitStack()
        self._is_open = False
        self.metrics = Metrics()
        self.metrics.ready.set_function(lambda: self.is_ready)
        self.table = RouteTable()
        self.http: HttpDoor | None = None
        self.ssh: SshDoor | None = None
        self.streams: Streams | None = None
        self.idle: Idle | None = None
        self._routes: RouteSource | None = None
        self._tracing: Tracing | None = None
        self._known = asyncio.Event()
        self._adopters: list[Adopter] = []
        """How each part takes up new settings, in the order in which they were built."""
        self.table.subscribe(self._note_synced)

    def __repr__(self) -> str:
        return f"<Gateway {self.table!r} http={self.http!r} ssh={self.ssh!r}>"

    @property
    def is_ready(self) -> bool:
        """Whether traffic should come here: the doors are open and every route is known."""
        return self._is_open and self.table.synced

    async def wait_ready(self) -> None:
        """Until every route is known: at once with a route file, after the first list of a cluster."""
        await self._known.wait()

    async def __aenter__(self) -> Self:
        """Open everything. Neither GitLab nor the cluster's API server need be reachable yet.

        Raises:
            TlsUnusable: if the certificate cannot be used.
            RouteFileError: if the routes cannot be read.
            ClusterNotFound: if there is neither a route file nor a cluster.
            ExtraMissing: if a package is missing.
            HostKeyUnreadable, AuthorityUnreadable, IncompatibleAsyncssh: if SSH cannot be served.
        """
        async with AsyncExitStack() as starting:
            await self._open(starting)
            self._parts = starting.pop_all()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        await self._parts.__aexit__(kind, exc, trace)

    def reload_routes(self) -> None:
        """Read the routes now instead of at the next look at their source.

        Raises:
            RouteFileError: if they cannot be read; the table is left as it is.
        """
        if self._routes is not None:
            self._routes.reload()

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Read what new settings name; what is returned has every part take them up, at once and without fail.

        Where they differ from those before in something that needs a restart, that is left as it was.

        Raises:
            TlsUnusable, HostKeyUnreadable, AuthorityUnreadable: if something cannot be used. Nothing has changed then.
        """
        material = read_material(settings)
        return lambda: self._adopt(settings, material)

    def _adopt(self, settings: Settings, material: Material) -> None:
        self._settings = settings
        for adopt in self._adopters:
            adopt(settings, material)
        self._log.set_level(settings.log_level)

    async def drain(self) -> None:
        """Let load balancers notice, then take nobody new and give those who are here the grace of each door."""
        self._is_open = False
        drain = self._settings.drain
        if self.http is not None:
            self.http.wind_down()
        await asyncio.sleep(drain.delay)
        async with asyncio.TaskGroup() as group:
            if self.http is not None:
                group.create_task(self.http.drain(self._settings.http.drain_grace, drain.spread))
            if self.ssh is not None:
                group.create_task(self.ssh.drain(self._settings.ssh.drain_grace, drain.spread))

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        await stack.enter_async_context(running(measure_lag(self.metrics.loop_lag)))
        self._tracing = await stack.enter_async_context(open_tracing(settings.tracing, self._log))
        writer = RouteWriter(self.table, ended=self._end_workspace, metrics=self.metrics, log=self._log)
        source = open_route_source(settings, writer, self.metrics, self._log)
        self._routes = routes = await stack.enter_async_context(source)
        await stack.enter_async_context(serve_admin(self._listeners.admin, self._describe(routes)))
        parts = await self._build_parts(stack, routes)
        if settings.http.enabled:
            self.http, gate = await stack.enter_async_context(open_http(parts, self._listeners.http))
            self.streams = gate.streams
        if settings.ssh.enabled:
            self.ssh = await stack.enter_async_context(open_ssh(parts, self._listeners.ssh))
        await stack.enter_async_context(running(routes.follow()))

    async def _build_parts(self, stack: AsyncExitStack, routes: RouteSource) -> Parts:
        """What both doors need: who may enter, who uses what, and what starts and stops workspaces."""
        settings = self._settings
        gitlab = await stack.enter_async_context(open_gitlab(settings.auth, self._observe_gitlab))
        policy = AccessPolicy(gitlab, settings.visibility)
        owners = WorkspaceOwners(gitlab, ProfileClient(gitlab.calls, self._clock), settings.auth.service_token)
        opening = open_idle(
            settings,
            self.table,
            Stopper(gitlab, owners),
            tell=self._tell_ssh,
            metrics=self.metrics,
            log=self._log,
            clock=self._steady,
        )
        self.idle = idle = await stack.enter_async_context(opening)
        self._adopters += [
            lambda new, _material: policy.adopt(new.visibility),
            lambda new, _material: owners.adopt(new.auth.service_token),
            lambda new, _material: idle.adopt(new),
        ]
        return Parts(
            current=lambda: self._settings,
            on_adopt=self._adopters.append,
            table=self.table,
            routes=routes,
            gitlab=gitlab,
            policy=policy,
            owners=owners,
            waker=await stack.enter_async_context(Waker(Wishes(gitlab), self.metrics, self._log)),
            idle=idle,
            metrics=self.metrics,
            log=self._log,
            tracing=self._tracing,
            clock=self._clock,
        )

    def _describe(self, routes: RouteSource) -> Operated:
        return Operated(
            lambda: self.is_ready,
            self._render_metrics,
            self._report_activity,
            self._report_slow,
            lambda: routes.remarks,
        )

    async def _report_activity(self) -> bytes:
        return await render_report(self.idle.watch.all_standings() if self.idle else ())

    async def _render_metrics(self) -> bytes:
        self.metrics.tasks.set(len(asyncio.all_tasks()))
        for reason, lines in self._log.dropped.items():
            self.metrics.log_dropped.labels(reason).value = lines
        return self.metrics.render()

    async def _report_slow(self) -> bytes:
        return write_slow(self.http.find_slow() if self.http is not None else Slow())

    def _note_synced(self) -> None:
        if self.table.synced:
            self._known.set()

    def _tell_ssh(self, workspace_id: str, text: str) -> None:
        if self.ssh is not None:
            self.ssh.notify_workspace(workspace_id, text)

    def _end_workspace(self, uid: str) -> None:
        if self.http is not None:
            self.http.close_workspace(uid)
        if self.ssh is not None:
            self.ssh.close_workspace(uid)

    def _observe_gitlab(self, endpoint: str, result: str, seconds: float) -> None:
        self.metrics.gitlab_calls.labels(endpoint, result).inc()
        if result != "spared":
            if self._tracing is not None:
                failure = "" if result == "ok" else result
                self._tracing.add_child(f"GitLab {endpoint}", {}, seconds=seconds, failure=failure)
            self.metrics.gitlab_seconds.labels(endpoint).add(seconds)
