"""The one task that writes the route table: reads its source, applies every change, says what was refused.

What a change ends is reported to the doors, so that nothing stays open towards a workspace that is no more.
"""

import asyncio
from collections.abc import Callable, Iterable

from gateway.telemetry import Log, Metrics
from gateway.watch import FileWatch
from routing.discovery import Refusal
from routing.file import RouteFile, RouteFileError
from routing.table import Applied, RouteTable


class RouteWriter:
    """Keeps the table equal to the route file."""

    def __init__(
        self, table: RouteTable, source: RouteFile, *, ended: Callable[[str], None], metrics: Metrics, log: Log
    ) -> None:
        """`ended` is called with the uid of each workspace that left the table."""
        self._table = table
        self._source = source
        self._watch = FileWatch(source.path)
        self._ended = ended
        self._metrics = metrics
        self._log = log

    def load(self) -> None:
        """Read the source once.

        Raises:
            RouteFileError: if it cannot be read or understood; the table is left as it is.
        """
        self._watch.mark()
        change, refusals = self._source.read()
        self._report(self._table.apply(change), refusals)

    async def follow(self) -> None:
        """Read it again at every change, for ever. A file that became unreadable leaves the routes as they are."""
        async for _ in self._watch.changes():
            try:
                self._watch.mark()
                change, refusals = await asyncio.to_thread(self._source.read)  # a large file takes seconds
                self._report(self._table.apply(change), refusals)
            except RouteFileError as exc:
                self._metrics.route_failures.inc()
                self._log.error("routes.unreadable", reason=str(exc))
            except Exception:  # noqa: BLE001 - whatever a file does to us, the routes that we have still stand
                self._metrics.route_failures.inc()
                self._log.exception("routes.crashed")

    def _report(self, applied: Applied, refusals: Iterable[Refusal]) -> None:
        self._metrics.routes.set(len(self._table))
        self._metrics.workspaces.set(len(self._table.workspaces))
        for refusal in refusals:
            self._metrics.route_failures.inc()
            self._log.warning("routes.refused", service=refusal.key, reason=refusal.reason)
        for conflict in applied.conflicts:
            self._metrics.route_conflicts.inc()
            self._log.warning("routes.conflict", claim=conflict.name, refused=conflict.refused, holder=conflict.holder)
        for uid in applied.ended:
            self._ended(uid)
        self._log.info("routes.applied", routes=len(self._table), workspaces=len(self._table.workspaces))
