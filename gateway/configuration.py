"""The configuration in force, and how a process that runs takes up what an operator wrote anew.

As a whole or not at all: where anything is wrong with it, or anything in it needs a restart, every fault is said and
all of it is refused. So what runs is always exactly one configuration that somebody wrote, never parts of two.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from config.changes import find_changes, find_restarts
from config.faults import Fault, SettingsError
from config.load import Sources
from config.rules import find_unused
from config.settings import Settings
from gateway.material import MATERIAL_FAULTS
from gateway.running import running
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.watch import FileWatch

Take = Callable[[Settings], Awaitable[None]]
"""Has everything that runs take up new settings; or raises one of `MATERIAL_FAULTS` or SettingsError, and nothing has
changed."""


class Configuration:
    """What one process, with its workers, runs by."""

    def __init__(self, sources: Sources) -> None:
        """Load it.

        Raises:
            SettingsError: if anything is wrong with it.
        """
        self._sources = sources
        self._watch = FileWatch(*sources.paths)
        self._watch.mark()
        self.settings = sources.load()

    def say_unused(self, log: Log) -> None:
        """Have an operator know of what they set in vain."""
        if unused := find_unused(self.settings):
            log.warning("config.unused", settings=unused, reason="routing.file is set")

    async def follow(self, take: Take, metrics: Metrics, log: Log) -> None:
        """Load it anew at SIGHUP and whenever its file or folder has changed, for ever."""
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        async with running(self._notice_changes(asked)):
            while True:
                await asked.wait()
                asked.clear()
                await self._reload(take, metrics, log)

    async def _notice_changes(self, asked: asyncio.Event) -> None:
        async for _ in self._watch.changes():
            await self._watch.wait_settled()
            asked.set()

    async def _reload(self, take: Take, metrics: Metrics, log: Log) -> None:
        self._watch.mark()
        try:
            wanted = self._sources.load()
            self._refuse_restarts(wanted)
            await take(wanted)
        except (SettingsError, *MATERIAL_FAULTS) as exc:
            _refuse(str(exc).splitlines(), metrics, log)
        except Exception:
            log.exception("config.crashed")
            _refuse([], metrics, log)
        else:
            changed, self.settings = find_changes(self.settings, wanted), wanted
            log.info("config.reloaded", changed=changed)
            self.say_unused(log)
            metrics.config_reloads.labels("taken up").value += 1
            metrics.config_successful.set(1)
            metrics.config_time.set_to_current_time()

    def _refuse_restarts(self, wanted: Settings) -> None:
        if restarts := find_restarts(self.settings, wanted):
            problem = "changes with a restart only; until then, or until it is set back, nothing else is taken up"
            raise SettingsError(tuple(Fault("", path, problem) for path in restarts))


def _refuse(faults: list[str], metrics: Metrics, log: Log) -> None:
    log.error("config.refused", faults=faults)
    metrics.config_reloads.labels("refused").value += 1
    metrics.config_successful.set(0)
