"""Looks again and again at who uses which workspace.

Whoever may not be asked for the time (a clock that is set, another machine's) is not: a workspace whose past is unknown
counts from the first look at it.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from config.settings import IdleSettings
from gateway.idle.ledger import Ledger
from gateway.idle.standing import Standing
from gateway.idle.timeouts import Timeout, find_timeout
from gateway.idle.uses import LOOK_SECONDS, Uses
from gateway.log import Log
from routing.model import Workspace, WorkspaceState

_BATCH = 1000  # workspaces that are looked at in one turn of the loop, a few milliseconds
_RUNNING = frozenset((WorkspaceState.RUNNING, WorkspaceState.UNKNOWN))
"""Where nobody may read the state of pods, it is unknown of all of them, and GitLab is asked."""


class Directory(Protocol):
    """The part of the route table that is looked at."""

    @property
    def workspaces(self) -> tuple[Workspace, ...]: ...


class IdleWatch:
    """Knows how every workspace stands."""

    def __init__(self, settings: IdleSettings, directory: Directory, ledger: Ledger, uses: Uses, log: Log) -> None:
        self._settings = settings
        self._directory = directory
        self._ledger = ledger
        self._uses = uses
        self._log = log
        self._remarked: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<IdleWatch {self._ledger!r} {self._uses!r}>"

    def adopt(self, settings: IdleSettings) -> None:
        """Measure by these settings from now on."""
        self._settings = settings

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One look at everything that is open, and at every workspace."""
        self._uses.look()
        running = {each.id: each for each in self._directory.workspaces if each.state in _RUNNING}
        self._ledger.keep_only(running)
        for number, workspace in enumerate(running.values()):
            self._ledger.begin(workspace.id)
            self._find_timeout(workspace)
            if number % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)

    def get_standing(self, workspace: Workspace) -> Standing | None:
        """None where it does not run, or was not looked at yet."""
        last = self._ledger.get(workspace.id)
        if last is None:
            return None
        timeout = find_timeout(workspace, self._settings)
        return Standing(max(0.0, self._ledger.now() - last.at), last.use, timeout.seconds)

    def all_standings(self) -> Iterator[tuple[Workspace, Standing]]:
        """Of every workspace that runs."""
        for workspace in self._directory.workspaces:
            standing = self.get_standing(workspace)
            if standing is not None:
                yield workspace, standing

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
