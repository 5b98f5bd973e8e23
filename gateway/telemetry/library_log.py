"""What the libraries have to say, in the lines of our own log.

asyncio, aiohttp and asyncssh log by `logging`, which without a handler prints warnings as plain text on standard error.
Here a warning or an error becomes an event: which library, what it says before it fills anything in, and the crash it
is about. What they would fill in (addresses, requests, the repr of a task with its exception) is none of ours to print,
and their lines of debugging, which are made of nothing else, are dropped at every level.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from gateway.telemetry.crash import describe_crash

_SAID_MAX = 200  # characters: a template is shorter


@contextmanager
def libraries_told(log: structlog.typing.FilteringBoundLogger) -> Iterator[None]:
    """Log what libraries warn of while the block runs."""
    root, handler = logging.getLogger(), _Handler(log)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts = {"library": record.name, "error": str(record.msg).partition("\n")[0][:_SAID_MAX]}
        if record.exc_info and record.exc_info[1]:
            facts["crash"] = describe_crash(record.exc_info[1])
        if record.levelno >= logging.ERROR:
            self._log.error("library.failed", **facts)
        else:
            self._log.warning("library.warned", **facts)
