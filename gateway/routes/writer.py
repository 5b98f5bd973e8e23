"""The one writer of the route table: applies every change of its source, says what was refused.

What a change ends is reported to the doors, so that nothing stays open towards a workspace that is no more.
"""

from collections.abc import Callable, Iterable

from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.model import Refusal, Relisted, RouteChange
from routing.table import RouteTable


class RouteWriter:
    """Writes the route table and tells of it."""

    def __init__(self, table: RouteTable, *, ended: Callable[[str], None], metrics: Metrics, log: Log) -> None:
        """`ended` is called with the uid of each workspace that left the table."""
        self._table = table
        self._ended = ended
        self._metrics = metrics
        self._log = log

    def write(self, change: RouteChange, refusals: Iterable[Refusal]) -> None:
        """Apply a change, of which some parts may have been refused before it came to this."""
        applied = self._table.apply(change)
        self._metrics.routes.set(len(self._table))
        self._metrics.workspaces.set(self._table.workspace_count)
        self._metrics.route_contested.set(self._table.contested)
        for refusal in refusals:
            self._metrics.route_failures.inc()
            self._log.warning("routes.refused", service=refusal.key, reason=refusal.reason)
        for conflict in applied.conflicts:
            self._metrics.route_conflicts.inc()
            self._log.warning("routes.conflict", claim=conflict.name, refused=conflict.refused, holder=conflict.holder)
        for uid in applied.ended:
            self._ended(uid)
        if _is_whole(change):
            self._log.info("routes.applied", routes=len(self._table), workspaces=self._table.workspace_count)


def _is_whole(change: RouteChange) -> bool:
    return isinstance(change, Relisted) or change.is_complete
