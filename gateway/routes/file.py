"""The route file as the source of routes: read at start, and again whenever it changes."""

import asyncio

from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.watch import FileWatch
from routing.file import RouteFile, RouteFileError
from routing.visibility_store import RouteFileVisibility, VisibilityStore


class FileRoutes:
    """Keeps the table equal to the route file."""

    def __init__(self, source: RouteFile, writer: RouteWriter, metrics: Metrics, log: Log) -> None:
        self._source = source
        self._writer = writer
        self._watch = FileWatch(source.path)
        self._metrics = metrics
        self._log = log
        self.visibility: VisibilityStore = RouteFileVisibility(source.path, self.reload)

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    def reload(self) -> None:
        """Read the file now.

        Raises:
            RouteFileError: if it cannot be read or understood; the table is left as it is.
        """
        self._watch.mark()
        self._writer.write(*self._source.read())

    async def follow(self) -> None:
        """Read it again at every change, for ever. A file that became unreadable leaves the routes as they are."""
        async for _ in self._watch.changes():
            try:
                self._watch.mark()
                change, refusals = await asyncio.to_thread(self._source.read)  # a large file takes seconds
                self._writer.write(change, refusals)
            except RouteFileError as exc:
                self._metrics.route_failures.inc()
                self._log.error("routes.unreadable", error=str(exc))
            except Exception:  # noqa: BLE001 - whatever a file does to us, the routes that we have still stand
                self._metrics.route_failures.inc()
                self._log.exception("routes.crashed")
