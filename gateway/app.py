"""Builds the gateway from its settings: every part is made here, and every task is owned here.

The order of the parts is the order of the data: routes, access, doors. A part gets what it needs by its constructor,
and only its own section of the settings.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from auth.access import AccessPolicy, GrantKeeper
from auth.cookies import Cookies
from auth.gitlab import GitLabClient, open_gitlab
from auth.grants import Grants
from auth.login import Login
from auth.owners import WorkspaceOwners
from auth.profiles import ProfileClient
from auth.seal import Sealer
from auth.share import SSH_TOKENS, Share
from auth.shared_access import SharedAccess
from auth.wishes import Wishes
from config.settings import Settings
from gateway.admin import Operated, serve_admin
from gateway.http.door import HttpDoor
from gateway.http.gate import Gate
from gateway.http.record import Recorder
from gateway.http.streams import Streams
from gateway.http.tls import DoorTls
from gateway.http.upstream import Origin
from gateway.idle.ledger import Ledger
from gateway.idle.standing import render_report
from gateway.idle.uses import Uses
from gateway.idle.watch import IdleWatch
from gateway.listening import Listeners
from gateway.log import Log
from gateway.loop_lag import measure_lag
from gateway.metrics import Metrics
from gateway.portal.app import build_portal
from gateway.portal.parts import PortalParts
from gateway.portal.site import serve_portal
from gateway.route_source import RouteSource, open_route_source
from gateway.running import running
from gateway.session_store import open_sessions
from gateway.slowest import Slow, write_slow
from gateway.ssh.server import SshDoor
from gateway.waking import Waker
from gateway.writer import RouteWriter
from routing.table import RouteTable


class Gateway:
    """All parts of one gateway process, open from `async with` to its end."""

    def __init__(
        self, settings: Settings, log: Log, listeners: Listeners, clock: Callable[[], float] = time.time
    ) -> None:
        """The sockets of `listeners` belong to the caller."""
        self._settings = settings
        self._listeners = listeners
        self._log = log
        self._clock = clock
        self._parts = AsyncExitStack()
        self._is_open = False
        self.metrics = Metrics()
        self.metrics.ready.set_function(lambda: self.is_ready)
        self.table = RouteTable()
        self.http: HttpDoor | None = None
        self.ssh: SshDoor | None = None
        self.streams: Streams | None = None
        self.idle: IdleWatch | None = None
        self._routes: RouteSource | None = None
        self._known = asyncio.Event()
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

    async def drain(self) -> None:
        """Take nobody new, and give those who are here the grace of each door."""
        self._is_open = False
        async with asyncio.TaskGroup() as group:
            if self.http is not None:
                group.create_task(self.http.drain(self._settings.http.drain_grace))
            if self.ssh is not None:
                group.create_task(self.ssh.drain(self._settings.ssh.drain_grace))

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        await stack.enter_async_context(running(measure_lag(self.metrics.loop_lag)))
        writer = RouteWriter(self.table, ended=self._end_workspace, metrics=self.metrics, log=self._log)
        source = open_route_source(settings, writer, self.metrics, self._log)
        self._routes = routes = await stack.enter_async_context(source)
        ledger = Ledger()
        uses = Uses(settings.idle, ledger)
        self.idle = watch = IdleWatch(settings.idle, self.table, ledger, uses, self._log)
        self.metrics.measure_idle = ledger.all_idle
        operated = Operated(
            lambda: self.is_ready,
            self._render_metrics,
            self._report_activity,
            self._report_slow,
            lambda: routes.remarks,
        )
        await stack.enter_async_context(serve_admin(self._listeners.admin, operated))
        gitlab = await stack.enter_async_context(open_gitlab(settings.auth, self._observe_gitlab))
        policy = AccessPolicy(gitlab, settings.visibility)
        owners = WorkspaceOwners(gitlab, ProfileClient(gitlab.calls, self._clock), settings.auth.service_token)
        waker = await stack.enter_async_context(Waker(Wishes(gitlab), self.metrics, self._log))
        if settings.http.enabled:
            self.http = await self._open_http(stack, gitlab, policy, owners, routes=routes, waker=waker, uses=uses)
        if settings.ssh.enabled:
            portal_url = settings.auth.portal_url if settings.http.enabled else ""
            self.ssh = SshDoor(
                settings.ssh,
                self.table,
                SharedAccess(policy, Share(SSH_TOKENS)),
                self.metrics,
                self._log,
                uses=uses,
                owners=owners if owners.has_service_token or settings.http.enabled else None,
                portal_url=portal_url,
                sockets=self._listeners.ssh,
            )
            await stack.enter_async_context(self.ssh)
        await stack.enter_async_context(running(routes.follow()))
        await stack.enter_async_context(running(watch.run()))

    async def _open_http(
        self,
        stack: AsyncExitStack,
        gitlab: GitLabClient,
        policy: AccessPolicy,
        owners: WorkspaceOwners,
        *,
        routes: RouteSource,
        waker: Waker,
        uses: Uses,
    ) -> HttpDoor:
        settings = self._settings
        sealer = Sealer((settings.auth.signing_key, *settings.auth.previous_signing_keys))
        sessions = await stack.enter_async_context(open_sessions(settings.sessions, sealer, self._clock, self.metrics))
        login = Login(settings.auth, gitlab, sealer, sessions, self._clock)
        grants, cookies = Grants(sealer, self._clock), Cookies(secure=settings.auth.protocol == "https")
        portal = PortalParts(
            settings=settings,
            cookies=cookies,
            sealer=sealer,
            grants=grants,
            sessions=sessions,
            gitlab=gitlab,
            login=login,
            access=policy,
            owners=owners,
            directory=self.table,
            waker=waker,
            visibility=routes.visibility,
            metrics=self.metrics,
            log=self._log,
            clock=self._clock,
        )
        socket = await stack.enter_async_context(serve_portal(build_portal(portal)))
        gate = Gate(
            settings,
            table=self.table,
            policy=policy,
            keeper=GrantKeeper(policy, login, sessions, self._clock),
            grants=grants,
            sessions=sessions,
            cookies=cookies,
            login=login,
            portal=Origin("portal", str(socket), 0),
            waker=waker,
            metrics=self.metrics,
            clock=self._clock,
        )
        recorder = Recorder(self.metrics, self._log)
        tls = self._open_tls()
        if tls is not None:
            self.metrics.certificate_expiry.labels("tls").set_function(lambda: tls.expires)
            await stack.enter_async_context(running(tls.follow(self._log)))
        door = HttpDoor(
            settings.http, gate, recorder, uses, scheme=settings.auth.protocol, sockets=self._listeners.http, tls=tls
        )
        await stack.enter_async_context(door)
        self.streams = gate.streams
        await stack.enter_async_context(running(gate.streams.watch()))
        return door

    def _open_tls(self) -> DoorTls | None:
        http = self._settings.http
        if http.tls_certificate is None or http.tls_key is None:
            return None
        return DoorTls(http.tls_certificate, http.tls_key)

    async def _report_activity(self) -> bytes:
        return render_report(self.idle.all_standings()) if self.idle else b""

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

    def _end_workspace(self, uid: str) -> None:
        if self.http is not None:
            self.http.close_workspace(uid)
        if self.ssh is not None:
            self.ssh.close_workspace(uid)

    def _observe_gitlab(self, endpoint: str, result: str, seconds: float) -> None:
        self.metrics.gitlab_calls.labels(endpoint, result).inc()
        if result != "spared":
            self.metrics.gitlab_seconds.labels(endpoint).add(seconds)
