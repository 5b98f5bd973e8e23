"""The JSON lines that the gateway logs. None holds a token, a cookie or a query."""

import logging
import sys
from typing import Any, Protocol, TextIO

import structlog

from gateway.lines import LineWriter

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class Log(structlog.typing.FilteringBoundLogger, Protocol):
    """A structured logger whose stream also takes lines that were rendered elsewhere."""

    def bind(self, **new_values: Any) -> "Log": ...
    def batch_line(self, line: str) -> None: ...


def open_log(level: str, stream: TextIO = sys.stdout) -> Log:
    """A logger that writes one JSON line per event to `stream`.

    An event is a stable name (`ssh.connected`); what varies goes into fields that are named alike everywhere.
    """
    log: Log = structlog.wrap_logger(
        LineWriter(stream),
        wrapper_class=_logger_class(_LEVELS[level]),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
    )
    return log


def _logger_class(level: int) -> type[Any]:
    filtering: type[Any] = structlog.make_filtering_bound_logger(level)

    class Batching(filtering):  # type: ignore[misc]  # structlog makes the class at run time
        def batch_line(self, line: str) -> None:
            """A line of the level info, written together with others."""
            if level <= logging.INFO:
                self._logger.batch(line)

    return Batching
