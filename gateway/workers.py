"""Several gateway processes on the same ports: starts them, replaces one that dies, drains them, speaks for all.

The parent binds every socket (SO_REUSEPORT, one of each door for each worker) and never serves a client itself. A
socket outlives the worker that accepts on it, so clients who connect while a worker is replaced are served by its
successor. Between parent and worker there is one socket pair: a byte on it says "ready", its end says "alone".
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from gateway.admin import Operated, serve_admin
from gateway.listening import Listeners, bind, bind_doors, bind_listeners, close
from gateway.log import Log
from gateway.metrics import Metrics
from gateway.worker_pages import WorkerPages

RESPAWN_SECONDS = 1.0  # before a worker that died at once is replaced, so that a fault does not become a storm


class WorkerFailed(Exception):
    """A worker gave up before any was ready; it has said why itself."""


@dataclass(slots=True)
class _Slot:
    """The place of one worker: its sockets, and the process that has them now."""

    number: int
    doors: Listeners
    admin: Path
    process: asyncio.subprocess.Process | None = None
    is_ready: bool = False


class Supervisor:
    """Keeps `settings.workers` workers running."""

    def __init__(self, settings: Settings, argv: Sequence[str], log: Log) -> None:
        """`argv` are the arguments of `serve`, from which each worker loads the same settings."""
        self._settings = settings
        self._argv = argv
        self._log = log
        self._metrics = Metrics()
        self._pages = WorkerPages(self._metrics, log)
        self._slots: list[_Slot] = []
        self._metrics.ready.set_function(self._is_ready)
        self._metrics.workers.labels("ready").set_function(lambda: sum(slot.is_ready for slot in self._slots))
        self._metrics.workers.labels("starting").set_function(lambda: sum(not slot.is_ready for slot in self._slots))
        self._is_draining = False

    def __repr__(self) -> str:
        return f"<Supervisor ready={sum(slot.is_ready for slot in self._slots)}/{len(self._slots)}>"

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the workers at once.

        Raises:
            CannotListen: if a port cannot be had.
            WorkerFailed: if a worker gives up before it was ever ready.
        """
        async with AsyncExitStack() as stack:
            with bind_listeners(self._settings):
                pass  # SO_REUSEPORT would share a port with another gateway of ours; this says that it is taken
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workspaces-gateway-")))
            for number in range(self._settings.workers):
                doors = stack.enter_context(bind_doors(self._settings, is_shared=True))
                self._slots.append(_Slot(number, doors, folder / f"admin-{number}"))
            admin = bind("the admin listener", self._settings.admin.address, self._settings.admin.port)
            stack.callback(close, admin)
            await stack.enter_async_context(serve_admin(admin, self._operated()))
            await self._supervise()
        self._log.info("gateway.closed")

    def _is_ready(self) -> bool:
        return not self._is_draining and all(slot.is_ready for slot in self._slots)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, self._drain)
                for slot in self._slots:
                    group.create_task(self._keep(slot))
        except* WorkerFailed as failures:
            reason = str(failures.exceptions[0])
        else:
            return
        raise WorkerFailed(reason)

    def _drain(self) -> None:
        self._is_draining = True
        self._log.info("gateway.draining")
        for slot in self._slots:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.send_signal(signal.SIGTERM)

    async def _keep(self, slot: _Slot) -> None:
        """One worker after the other, until draining."""
        loop = asyncio.get_running_loop()
        ever_ready = False
        while not self._is_draining:
            started = loop.time()
            async with self._worker(slot) as process:
                ever_ready = ever_ready or slot.is_ready
                status = await process.wait()
            self._pages.end(slot.number)
            if self._is_draining:
                return
            if not ever_ready:
                raise WorkerFailed(f"worker {slot.number} ended with status {status} before it was ready")
            self._metrics.worker_deaths.inc()
            self._log.warning("worker.died", worker=slot.number, status=status)
            if loop.time() - started < RESPAWN_SECONDS:
                await asyncio.sleep(RESPAWN_SECONDS)

    @asynccontextmanager
    async def _worker(self, slot: _Slot) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker that is ready, or has ended; killed if we are cancelled."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - the name of the method is the name of the argument
            with theirs:
                process = slot.process = await self._spawn(slot, theirs)
            try:
                slot.is_ready = bool(await asyncio.get_running_loop().sock_recv(ours, 1))
                self._log.info("worker.started", worker=slot.number, pid=process.pid, ready=slot.is_ready)
                if self._is_ready():
                    self._log.info("gateway.open", workers=len(self._slots))
                if self._is_draining and process.returncode is None:
                    process.send_signal(signal.SIGTERM)  # the signal came before there was a process to pass it on to
                yield process
            finally:
                slot.is_ready = False
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    async def _spawn(self, slot: _Slot, link: socket.socket) -> asyncio.subprocess.Process:
        slot.admin.unlink(missing_ok=True)
        http, ssh = ([sock.fileno() for sock in sockets] for sockets in (slot.doors.http, slot.doors.ssh))
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "worker", str(slot.admin), str(link.fileno())),
            *(",".join(map(str, numbers)) for numbers in (http, ssh)),
            *self._argv,
            pass_fds=(link.fileno(), *http, *ssh),
        )

    def _operated(self) -> Operated:
        pages = self._pages
        return Operated(
            self._is_ready,
            lambda: pages.render_metrics(self._find_ready()),
            lambda: pages.report_activity(self._find_ready()),
            lambda: pages.report_slow(self._find_ready()),
        )

    def _find_ready(self) -> dict[int, Path]:
        return {slot.number: slot.admin for slot in self._slots if slot.is_ready}


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a worker has from its parent."""

    listeners: Listeners
    link: socket.socket

    def follow_parent(self) -> None:
        """From now on end as soon as the parent does: nobody else would replace or drain us."""
        asyncio.get_running_loop().add_reader(self.link, self._drain)

    def say_ready(self) -> None:
        """Tell the parent."""
        self.link.send(b"\n")

    def _drain(self) -> None:
        asyncio.get_running_loop().remove_reader(self.link)
        os.kill(os.getpid(), signal.SIGTERM)


def inherit(admin: str, link: str, http: str, ssh: str) -> Inheritance:
    """Take over the descriptors that `Supervisor` passed to this process by their numbers."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(admin)
    sock.listen()
    doors = [tuple(socket.socket(fileno=int(number)) for number in text.split(",") if number) for text in (http, ssh)]
    return Inheritance(Listeners(http=doors[0], ssh=doors[1], admin=(sock,)), socket.socket(fileno=int(link)))
