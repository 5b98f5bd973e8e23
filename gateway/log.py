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
    def set_level(self, level: str) -> None:
        """Log from this level on (as the setting `log_level` names it), with every logger bound of this one or to be.

        What was taken off a logger before (`write = log.info`) keeps its level.
        """

    def batch_line(self, line: str) -> None: ...


def open_log(level: str, stream: TextIO = sys.stdout) -> Log:
    """A logger that writes one JSON line per event to `stream`.

    An event is a stable name (`ssh.connected`); what varies goes into fields that are named alike everywhere.
    """
    log: Log = structlog.wrap_logger(
        LineWriter(stream),
        wrapper_class=_new_logger_class(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
    ).bind()
    log.set_level(level)
    return log


def _new_logger_class() -> type[Any]:
    """The class of one log's loggers.

    structlog has a class for each level, in which the methods below it do nothing, so a line that is not wanted costs
    a call. A change of level puts the methods of another one into this class, and with it into all its loggers.
    """

    class Logger(structlog.make_filtering_bound_logger(logging.DEBUG)):  # type: ignore[misc]  # made at run time
        @classmethod
        def set_level(cls, level: str) -> None:
            at_level = structlog.make_filtering_bound_logger(_LEVELS[level])
            for name, method in vars(at_level).items():
                if callable(method):
                    setattr(cls, name, method)

        def batch_line(self, line: str) -> None:
            """A line of the level info, written together with others."""
            if self.is_enabled_for(logging.INFO):
                self._logger.batch(line)

    return Logger
