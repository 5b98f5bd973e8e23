"""Several gateway processes on the same ports: starts them, replaces one that dies, drains them, speaks for all.

The parent binds every socket (SO_REUSEPORT, one of each door for each worker) and never serves a client itself. A
socket outlives the worker that accepts on it, so clients who connect while a worker is replaced are served by its
successor. The parent alone reads the configuration; what it has found sound it gives to every worker by a socket pair
(`link`), and to every successor.
"""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from gateway.admin import Operated, serve_admin
from gateway.configuration import Configuration
from gateway.listening import Listeners, bind, bind_doors, bind_listeners, close
from gateway.material import read_material
from gateway.running import running
from gateway.serving import SIGNALLED
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.workers.link import LinkClosed, WorkerLink
from gateway.workers.pages import WorkerPages
from gateway.workers.pulse import wait_silent

RESPAWN_SECONDS = 1.0  # before a worker that died at once is replaced, so that a fault does not become a storm
TAKE_SECONDS = 30.0  # for a worker to take up settings: it takes milliseconds, and a stuck one must not hold the rest


class WorkerFailed(Exception):
    """A worker gave up before any was ready; it has said why itself."""


@dataclass(slots=True)
class _Slot:
    """The place of one worker: its sockets, and the process that has them now."""

    number: int
    doors: Listeners
    admin: Path
    process: asyncio.subprocess.Process | None = None
    link: WorkerLink | None = None
    """To one that is ready."""

    @property
    def is_ready(self) -> bool:
        return self.link is not None


class Supervisor:
    """Keeps `settings.workers` workers running."""

    def __init__(self, configuration: Configuration, log: Log) -> None:
        self._configuration = configuration
        self._settings = configuration.settings
        """What every worker, and every successor of one, runs by."""
        self._log = log
        self._metrics = Metrics()
        self._pages = WorkerPages(self._metrics, log)
        self._slots: list[_Slot] = []
        self._metrics.ready.set_function(self._is_ready)
        self._metrics.workers.labels("ready").set_function(lambda: sum(slot.is_ready for slot in self._slots))
        self._metrics.workers.labels("starting").set_function(lambda: sum(not slot.is_ready for slot in self._slots))
        self._signals = 0
        self._status = 0

    def __repr__(self) -> str:
        return f"<Supervisor ready={sum(slot.is_ready for slot in self._slots)}/{len(self._slots)}>"

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the workers at once. As `serving.serve`.

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
            follow = self._configuration.follow(self._take_up, self._metrics, self._log)
            await stack.enter_async_context(running(follow))
            await self._supervise()
        self._log.info("gateway.closed", exit_status=self._status)
        return self._status

    @property
    def _is_draining(self) -> bool:
        return self._signals > 0

    def _is_ready(self) -> bool:
        return not self._is_draining and all(slot.is_ready for slot in self._slots)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, self._drain, number)
                for slot in self._slots:
                    group.create_task(self._keep(slot))
        except* WorkerFailed as failures:
            reason = str(failures.exceptions[0])
        else:
            return
        raise WorkerFailed(reason)

    def _drain(self, number: signal.Signals) -> None:
        self._signals += 1
        self._status = 0 if self._signals == 1 else SIGNALLED + number
        self._log.info("gateway.draining")
        for slot in self._slots:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.send_signal(signal.SIGTERM)

    async def _take_up(self, settings: Settings) -> None:
        """Have every worker run by these; one that is not ready yet is given them when it is."""
        read_material(settings)
        self._settings = settings
        self._log.set_level(settings.log_level)
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                if slot.link is not None:
                    group.create_task(self._give(slot, slot.link))

    async def _give(self, slot: _Slot, link: WorkerLink) -> None:
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                if not await link.give(self._settings):
                    self._log.error("worker.differs", worker=slot.number)
        except LinkClosed:
            return  # its successor gets them
        except TimeoutError:
            self._log.error("worker.silent", worker=slot.number, error="did not take up the configuration")

    async def _keep(self, slot: _Slot) -> None:
        """One worker after the other, until draining."""
        loop = asyncio.get_running_loop()
        ever_ready = False
        while not self._is_draining:
            started = loop.time()
            async with self._worker(slot) as process:
                ever_ready = ever_ready or slot.is_ready
                status = await self._wait_end(slot, process)
            self._pages.end(slot.number)
            if self._is_draining:
                return
            if not ever_ready:
                raise WorkerFailed(f"worker {slot.number} ended with status {status} before it was ready")
            self._metrics.worker_deaths.inc()
            self._log.warning("worker.died", worker=slot.number, exit_status=status)
            if loop.time() - started < RESPAWN_SECONDS:
                await asyncio.sleep(RESPAWN_SECONDS)

    async def _wait_end(self, slot: _Slot, process: asyncio.subprocess.Process) -> int:
        """The status of a worker that ended, or was killed because it answers no more."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._end_silent(slot, process))
            status = await process.wait()
            listening.cancel()
        return status

    async def _end_silent(self, slot: _Slot, process: asyncio.subprocess.Process) -> None:
        await wait_silent(slot.admin)
        self._log.error("worker.hung", worker=slot.number, pid=process.pid)
        process.kill()

    @asynccontextmanager
    async def _worker(self, slot: _Slot) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker that is ready, or has ended; killed if we are cancelled."""
        ours, theirs = socket.socketpair()
        with ours:
            link, settings = WorkerLink(ours), self._settings
            with theirs:
                process = slot.process = await self._spawn(slot, theirs)
            try:
                with suppress(LinkClosed):
                    await link.give(settings)
                    slot.link = link
                self._log.info("worker.started", worker=slot.number, pid=process.pid, ready=slot.is_ready)
                if slot.link is not None and settings is not self._settings:
                    await self._give(slot, slot.link)  # others were taken up while it started
                if self._is_ready():
                    self._log.info("gateway.open", workers=len(self._slots))
                if self._is_draining and process.returncode is None:
                    process.send_signal(signal.SIGTERM)  # the signal came before there was a process to pass it on to
                yield process
            finally:
                slot.link = None
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
