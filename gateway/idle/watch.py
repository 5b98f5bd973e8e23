"""Looks again and again at who uses which workspace.

Whoever may not be asked for the time (a clock that is set, another machine's) is not: a workspace whose past is unknown
counts from the first look at it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Protocol

from config.settings import IdleSettings
from gateway.idle.ledger import Ledger, Use
from gateway.idle.sharing import Sharing, SharingUnavailable
from gateway.idle.standing import Standing
from gateway.idle.stops import Stops
from gateway.idle.timeouts import Timeout, find_timeout
from gateway.idle.uses import LOOK_SECONDS, Uses
from gateway.telemetry.log import Log
from routing.model import Workspace

_BATCH = 1000  # workspaces that are looked at in one turn of the loop, a few milliseconds


class Directory(Protocol):
    """The part of the route table that is looked at."""

    @property
    def workspaces(self) -> tuple[Workspace, ...]: ...
    def is_eldest(self, workspace: Workspace) -> bool: ...


class IdleWatch:
    """Knows how every workspace stands."""

    def __init__(
        self,
        settings: IdleSettings,
        directory: Directory,
        ledger: Ledger,
        uses: Uses,
        *,
        sharing: Sharing,
        stops: Stops,
        log: Log,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._ledger = ledger
        self._uses = uses
        self._sharing = sharing
        self._stops = stops
        self._log = log
        self._remarked: set[tuple[str, str]] = set()
        self._timeouts: dict[str, float] = {}
        self._is_shared = True
        """Or nothing else was said yet, because it does not matter."""
        self._hurry = asyncio.Event()
        ledger.on_urgent = self._hurry.set

    def __repr__(self) -> str:
        return f"<IdleWatch {self._ledger!r} {self._uses!r}>"

    def adopt(self, settings: IdleSettings) -> None:
        """Measure by these settings from now on."""
        self._settings = settings

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._hurry.clear()
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a fault of ours here must not end what the gateway is for
                self._log.exception("idle.look_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._hurry.wait()

    async def look(self) -> None:
        """One look at everything that is open, and at every workspace."""
        self._uses.look()
        running = self._find_running()
        self._ledger.keep_only(running)
        self._stops.keep_only(set(running))
        self._timeouts = {each: self._timeouts[each] for each in self._timeouts.keys() & running.keys()}
        is_shared = await self._share(running)
        for number, workspace in enumerate(running.values()):
            timeout = self._find_timeout(workspace)
            self._ledger.begin(workspace.id)
            self._leave_time_to_warn(workspace.id, timeout.seconds)
            standing = self._measure(workspace.id, timeout)
            if standing is not None:
                self._stops.consider(workspace, standing, is_shared=is_shared)
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)

    def _find_running(self) -> dict[str, Workspace]:
        """By number. A younger Service of the same one says neither how it is called nor how long it may be unused."""
        running: dict[str, Workspace] = {}
        for each in self._directory.workspaces:
            if each.state.may_answer and (each.id not in running or self._directory.is_eldest(each)):
                running[each.id] = each
        return running

    @property
    def ending(self) -> AbstractSet[str]:
        """Numbers of workspaces that are about to be stopped."""
        return self._ledger.ending

    def get_standing(self, workspace: Workspace) -> Standing | None:
        """None where it does not run, or was not looked at yet."""
        return self._measure(workspace.id, find_timeout(workspace, self._settings))

    def keep(self, workspace: Workspace, user_id: int) -> None:
        """Somebody wants it to run on."""
        self._ledger.note(workspace.id, Use.KEPT)
        self._stops.forget(workspace.id)
        self._hurry.set()
        self._log.info("audit.workspace_kept", workspace_id=workspace.id, workspace=workspace.name, user_id=user_id)

    def all_standings(self) -> Iterator[tuple[Workspace, Standing]]:
        """Of every workspace that runs."""
        for workspace in self._directory.workspaces:
            standing = self.get_standing(workspace)
            if standing is not None:
                yield workspace, standing

    async def _share(self, running: Mapping[str, Workspace]) -> bool:
        """Whether all that others know is known here."""
        news = self._ledger.take_news()
        try:
            heard = await self._sharing.exchange(news, running.keys())
        except SharingUnavailable as exc:
            self._ledger.add_news(news)
            if self._is_shared and any(self._find_timeout(each).seconds for each in running.values()):
                self._log.warning("idle.sharing_unavailable", reason=str(exc))
                self._is_shared = False
            return False
        self._is_shared = True
        for workspace_id in heard.used:
            self._ledger.note(workspace_id, Use.ELSEWHERE)
        for workspace_id, idle in heard.idle.items():
            timeout = self._find_timeout(running[workspace_id]).seconds
            self._ledger.begin(workspace_id, min(idle, max(0.0, timeout - self._settings.warning)))
        with suppress(SharingUnavailable):
            await self._sharing.remember({each: self._ledger.idle(each) or 0.0 for each in running})
        return True

    def _leave_time_to_warn(self, workspace_id: str, timeout: float) -> None:
        """Whoever is in a workspace whose time-out was set or lowered just now is told as early as everybody else."""
        before = self._timeouts.get(workspace_id, timeout)
        self._timeouts[workspace_id] = timeout
        if timeout and not 0 < before <= timeout:
            self._ledger.shorten(workspace_id, max(0.0, timeout - self._settings.warning))

    def _measure(self, workspace_id: str, timeout: Timeout) -> Standing | None:
        last = self._ledger.get(workspace_id)
        if last is None:
            return None
        idle = max(0.0, self._ledger.now() - last.at)
        return Standing(idle, last.use, timeout.seconds, self._stops.get_problem(workspace_id))

    def _find_timeout(self, workspace: Workspace) -> Timeout:
        timeout = find_timeout(workspace, self._settings)
        if timeout.remark and (workspace.id, workspace.idle_timeout) not in self._remarked:
            self._remarked.add((workspace.id, workspace.idle_timeout))
            self._log.warning(
                "idle.annotation_not_understood",
                workspace=workspace.name,
                namespace=workspace.namespace,
                reason=timeout.remark,
            )
        return timeout
