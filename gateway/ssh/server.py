"""The SSH door: listens, gives every client a `Connection`, and closes them all in an orderly way."""

import asyncio
import socket
import time
from collections.abc import Sequence
from functools import partial
from math import inf
from types import TracebackType
from typing import Self

import asyncssh

from config.settings import SshSettings
from gateway.idle.uses import Uses
from gateway.listening import BACKLOG, bind
from gateway.spread import find_duration, spread
from gateway.ssh import attempts, limits
from gateway.ssh.admission import Admission, SshAccess
from gateway.ssh.authorities import AuthorityUnreadable, load_authorities
from gateway.ssh.bans import Bans
from gateway.ssh.connection import Connection
from gateway.ssh.crowd import Crowd, Full
from gateway.ssh.doorstep import BANNED, FULL, Doorstep, Peer
from gateway.ssh.host_keys import HostKey, HostKeyUnreadable, find_expiry, load_host_keys
from gateway.ssh.idle import CLOSED_IDLE, CLOSED_OLD, describe, wait_idle
from gateway.ssh.internals.ends import ClientLeg
from gateway.ssh.key_files import KeyFiles, load_key_files
from gateway.ssh.keys import KeyAccess, Owners
from gateway.ssh.login import Login, WorkspaceDirectory
from gateway.ssh.options import client_leg_options
from gateway.ssh.pod_keys import PodKeys
from gateway.ssh.recheck import WITHDRAWN, Entry, Recheck
from gateway.ssh.selftest import check_asyncssh
from gateway.ssh.upstream import Upstreams
from gateway.ssh.verdicts import RememberedAccess
from gateway.ssh.waiting import WaitingRoom
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing
from gateway.waking import Waker

RESTARTING = "Gateway is restarting, reconnect"
DRAINING = "Gateway is restarting, this connection ends in {:.0f} s at the latest"
GONE = "The workspace is gone"


class SshDoor:
    """`ssh <workspace>@<gateway>`, until it is closed."""

    def __init__(
        self,
        settings: SshSettings,
        directory: WorkspaceDirectory,
        access: SshAccess,
        metrics: Metrics,
        log: Log,
        *,
        uses: Uses | None = None,
        owners: Owners | None = None,
        waker: Waker | None = None,
        portal_url: str = "",
        sockets: Sequence[socket.socket] = (),
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._metrics = metrics
        self._log = log
        self._access = access
        self._uses = uses
        self._tracing = tracing
        files = load_key_files(settings)
        self._remembered = RememberedAccess(access, settings, metrics)
        self._pod_keys = PodKeys(settings.pod_host_key_change)
        self._upstreams = Upstreams(settings)
        self._waiting = None
        if waker is not None:
            self._waiting = WaitingRoom(settings, directory, self._upstreams, waker, owners, portal_url=portal_url)
        self._admission = Admission(
            self._remembered,
            self._upstreams,
            self._pod_keys,
            metrics,
            log,
            waiting=self._waiting,
            portal_url=portal_url,
        )
        self._keys = KeyAccess(owners, files.authorities, settings, time.monotonic) if owners is not None else None
        self._recheck = Recheck(settings.recheck_interval, log)
        self._watchers = asyncio.TaskGroup()
        self._following: asyncio.Task[None] | None = None
        self._watches: dict[Connection, asyncio.Task[None]] = {}
        self._key_files = files.watch
        self._serve_with(files.host_keys)
        self._sockets = sockets
        self._listeners: list[asyncio.Server] = []
        self._bans = Bans(settings)
        metrics.ssh_banned.set_function(self._bans.count)
        self._crowd = Crowd(settings)
        self._connections: set[Connection] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __repr__(self) -> str:
        return f"SshDoor(connections={len(self._connections)}, listening={bool(self._listeners)})"

    async def __aenter__(self) -> Self:
        await self.start()
        await self._watchers.__aenter__()
        self._following = self._watchers.create_task(self._follow_key_files())
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.aclose()
        if self._following is not None:
            self._following.cancel()
        await self._watchers.__aexit__(None, None, None)  # nobody is left to be watched

    def adopt(self, settings: SshSettings, files: KeyFiles) -> None:
        """Meet new clients by these settings and keys from now on; connections that are open keep theirs."""
        self._settings = settings
        self._serve_with(files.host_keys)
        self._key_files.move_to(files.watch)
        if self._keys is not None:
            self._keys.adopt(settings, files.authorities)
        for part in (self._remembered, self._upstreams, self._bans, self._crowd):
            part.adopt(settings)
        if self._waiting is not None:
            self._waiting.adopt(settings)
        self._pod_keys.adopt(settings.pod_host_key_change)
        self._recheck.adopt(settings.recheck_interval)

    @property
    def port(self) -> int:
        """The port listened on, also where the settings left the choice to the system."""
        if not self._listeners:
            raise RuntimeError("the SSH door is not open")
        port: int = self._listeners[0].sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        asyncssh.set_log_level("WARNING")  # its lines name users and addresses in a form of their own
        asyncssh.set_debug_level(1)  # at 3 it dumps packets, tokens included
        await check_asyncssh()
        loop = asyncio.get_running_loop()
        for sock in self._sockets or bind("SSH", self._settings.address, self._settings.port):
            self._listeners.append(
                await loop.create_server(lambda: Doorstep(self._settings, self._enter), sock=sock, backlog=BACKLOG)
            )

    def stop_accepting(self) -> None:
        """New clients are refused by the system; those connected notice nothing."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def drain(self, grace: float, longest: float = 0) -> None:
        """Waits until every client has left by itself, but `grace` seconds at most; then tells the rest and closes.

        One after the other, over `longest` seconds at most.
        """
        self.stop_accepting()
        self._metrics.ssh_drain_remaining.set_function(lambda: len(self._connections))
        for connection in self._connections:
            connection.notify(DRAINING.format(grace + find_duration(len(self._connections), longest)))
        try:
            async with asyncio.timeout(grace):
                await self._is_empty.wait()
        except TimeoutError:
            await spread(tuple(self._connections), self._send_away, longest)
            await self._see_off()

    async def aclose(self) -> None:
        self.stop_accepting()
        for connection in list(self._connections):
            self._send_away(connection)
        await self._see_off()

    def _send_away(self, connection: Connection) -> None:
        if connection in self._connections:
            self._end(connection, "closing", RESTARTING)

    async def _see_off(self) -> None:
        try:
            async with asyncio.timeout(limits.CLOSE_GRACE):
                await self._is_empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.kill()
            await self._is_empty.wait()

    def close_workspace(self, uid: str) -> None:
        """Ends the connections of one workspace, those still logging in included."""
        for connection in [each for each in self._connections if each.workspace_uid == uid]:
            self._end(connection, "workspace_gone", GONE)

    def notify_workspace(self, workspace_id: str, text: str) -> None:
        """Tells everybody who is logged in at one workspace of GitLab."""
        for connection in self._connections:
            if connection.workspace_id == workspace_id:
                connection.notify(text)

    def _enter(self, peer: Peer) -> ClientLeg | bytes:
        if self._bans.is_banned(peer.address):
            self._metrics.ssh_attempts.labels("banned", attempts.BANNED).inc()
            return BANNED
        place = self._crowd.enter(peer.address)
        if isinstance(place, Full):
            self._metrics.ssh_attempts.labels("dropped", place.value).inc()
            if place is Full.STARTUPS:
                self._metrics.ssh_startups_dropped.inc()
            return FULL
        login = Login(
            self._settings,
            self._directory,
            self._admission,
            self._metrics,
            self._log,
            access=self._access,
            tracing=self._tracing,
            keys=self._keys,
            place=place,
            on_guess=partial(self._note_guess, peer.address),
        )
        connection = Connection(
            self._settings, self._metrics, login=login, place=place, on_open=self._watch, on_end=self._forget
        )
        self._connections.add(connection)
        self._is_empty.clear()
        return ClientLeg(self._options, connection)

    async def _follow_key_files(self) -> None:
        """New connections meet what is in the files now; those that are open have done with it."""
        async for _ in self._key_files.changes():
            self._key_files.mark()
            self._load_host_keys()
            self._load_authorities()

    def _load_host_keys(self) -> None:
        try:
            keys = load_host_keys(self._settings)
        except HostKeyUnreadable as fault:
            self._log.error("ssh.host_keys_unreadable", error=str(fault))
        else:
            self._serve_with(keys)
            self._log.info("ssh.host_keys_loaded", keys=len(keys))

    def _serve_with(self, keys: Sequence[HostKey]) -> None:
        self._options = client_leg_options(self._settings, keys)
        expiry = find_expiry(keys)
        if expiry < inf:
            self._metrics.certificate_expiry.labels("ssh_host").set(expiry)
        else:
            self._metrics.certificate_expiry.remove("ssh_host")

    def _load_authorities(self) -> None:
        if self._keys is None:
            return
        try:
            authorities = load_authorities(self._settings)
        except AuthorityUnreadable as fault:
            self._log.error("ssh.authorities_unreadable", error=str(fault))
        else:
            self._keys.adopt(self._settings, authorities)
            self._log.info("ssh.authorities_loaded", authorities=len(authorities))

    def _note_guess(self, address: str) -> None:
        if self._bans.note_failure(address):
            self._metrics.ssh_bans.inc()
            self._log.warning("ssh.banned", client=address)

    def _watch(self, connection: Connection, entry: Entry) -> None:
        if self._uses is not None and connection.relay is not None:
            self._uses.open_ssh(connection.relay, connection.workspace_id)
        self._watches[connection] = self._watchers.create_task(self._end_in_time(connection, entry))

    async def _end_in_time(self, connection: Connection, entry: Entry) -> None:
        """Whatever comes first; a session that ends by itself is watched no longer."""
        idle, longest = self._settings.idle_timeout, self._settings.max_session
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_when_withdrawn(connection, entry))
            if idle:
                group.create_task(self._end_when_idle(connection, idle))
            if longest:
                group.create_task(self._end_after(connection, longest))

    async def _end_when_withdrawn(self, connection: Connection, entry: Entry) -> None:
        await self._recheck.wait_withdrawn(entry)
        self._end(connection, "withdrawn", WITHDRAWN, asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE)

    async def _end_when_idle(self, connection: Connection, seconds: float) -> None:
        await wait_idle(lambda: connection.working_bytes, seconds)
        self._end(connection, "idle", CLOSED_IDLE.format(describe(seconds)))

    async def _end_after(self, connection: Connection, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._end(connection, "old", CLOSED_OLD.format(describe(seconds)))

    def _end(self, connection: Connection, reason: str, text: str, code: int = asyncssh.DISC_BY_APPLICATION) -> None:
        self._metrics.ssh_ended.labels(reason).inc()
        connection.disconnect(code, text)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._uses is not None and connection.relay is not None:
            self._uses.close(connection.relay)
        if watch := self._watches.pop(connection, None):
            watch.cancel()
        if not self._connections:
            self._is_empty.set()
