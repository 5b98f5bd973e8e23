"""What several workers say on their admin sockets, as one: metrics added up, activity and slow requests of all."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from gateway.idle.standing import merge_reports
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slowest import merge_slow
from gateway.telemetry.totals import Totals
from gateway.workers.admin_socket import ask_worker

ANSWER_SECONDS = 5.0  # for a worker to say something: it takes milliseconds, and a stuck one must not hide the others
_PARENT = -1  # among the numbers of workers, which count from 0

Ready = Mapping[int, Path]
"""The admin socket of each worker that is ready."""


class WorkerPages:
    """Asks all workers for a page, and makes one of what they say."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        """`metrics` are those of this process, which serves nobody but whoever asks."""
        self._metrics = metrics
        self._totals = Totals(metrics.catalogue.described)
        self._log = log

    async def render_metrics(self, ready: Ready) -> bytes:
        """The metrics of all; a worker that does not answer in time is told by what it said last."""
        for worker, page in await self._ask_all(ready, "metrics"):
            self._totals.update(worker, page.decode())
        self._totals.update(_PARENT, self._metrics.render().decode())
        return self._totals.render()

    async def report_activity(self, ready: Ready) -> bytes:
        """Which workspace was used when, at whichever of them."""
        return await merge_reports(report for _, report in await self._ask_all(ready, "activity"))

    async def report_slow(self, ready: Ready) -> bytes:
        """The slowest requests of all."""
        return merge_slow(report for _, report in await self._ask_all(ready, "slowest"))

    def end(self, worker: int) -> None:
        """The worker is no more."""
        self._totals.end(worker)

    async def _ask_all(self, ready: Ready, page: str) -> list[tuple[int, bytes]]:
        """What the workers answer; one that does not in time is left out."""
        async with asyncio.TaskGroup() as group:
            asked = [(worker, group.create_task(self._ask(worker, admin, page))) for worker, admin in ready.items()]
        answers = ((worker, task.result()) for worker, task in asked)
        return [(worker, answer) for worker, answer in answers if answer is not None]

    async def _ask(self, worker: int, admin: Path, page: str) -> bytes | None:
        try:
            return await ask_worker(admin, page, ANSWER_SECONDS)
        except (aiohttp.ClientError, TimeoutError) as exc:
            self._log.warning("worker.silent", worker=worker, error=type(exc).__name__)
            return None
