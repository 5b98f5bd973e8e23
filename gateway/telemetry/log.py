"""The JSON lines that the gateway logs. None holds a token, a cookie or a query.

An event is a stable name (`ssh.login`); what varies is in fields that are named alike everywhere. `vocabulary` lists
both.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

import structlog

from gateway.telemetry.crash import describe_crash
from gateway.telemetry.library_log import libraries_told
from gateway.telemetry.lines import LINE_MAX, LineWriter

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_render_json = structlog.processors.JSONRenderer(ensure_ascii=True)


class Lines(Protocol):
    """Takes lines, each with its newline: a `LineWriter`, or any text stream."""

    def write(self, line: str, /) -> object: ...


class Log(structlog.typing.FilteringBoundLogger, Protocol):
    """A structured logger whose stream also takes lines that were rendered elsewhere."""

    @property
    def dropped(self) -> dict[str, int]:
        """How many lines were lost so far, by why."""

    def bind(self, **new_values: Any) -> "Log": ...
    def set_level(self, level: str) -> None:
        """Log from this level on (as the setting `log_level` names it), with every logger bound of this one or to be.

        What was taken off a logger before (`write = log.info`) keeps its level.
        """

    def info_line(self, line: str) -> None:
        """A line of the level info that is rendered already, at most `LINE_MAX` bytes with its newline."""


@contextmanager
def log_to(stream: TextIO, level: str) -> Iterator[Log]:
    """The log of a process on one of its standard streams, while the block runs."""
    with LineWriter(stream.fileno()) as lines:
        log = open_log(level, lines)
        with libraries_told(log):
            yield log


def open_log(level: str, lines: Lines) -> Log:
    """A logger that writes one JSON line per event."""
    log: Log = structlog.wrap_logger(
        _Rendered(lines),
        wrapper_class=_new_logger_class(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _describe_crash,
            _render,
        ],
    ).bind()
    log.set_level(level)
    return log


class _Rendered:
    """Where structlog hands its lines to."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.write = lines.write

    def msg(self, line: str) -> None:
        self.write(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


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

        @property
        def dropped(self) -> dict[str, int]:
            return self._logger.lines.dropped if isinstance(self._logger.lines, LineWriter) else {}

        def info_line(self, line: str) -> None:
            if self.is_enabled_for(logging.INFO):
                self._logger.write(line)

    return Logger


def _describe_crash(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What `log.exception` or `exc_info=exc` says of an exception."""
    exc = fields.pop("exc_info", None)
    if exc is True:
        exc = sys.exception()
    if isinstance(exc, BaseException):
        fields["crash"] = describe_crash(exc)
    return fields


def _render(logger: object, method: str, fields: MutableMapping[str, Any]) -> str:
    line = _text(_render_json(logger, method, fields))
    while len(line) >= LINE_MAX:
        # The longest text loses its middle: the line must fit into one write, and what it is about stands at the ends.
        name = max(fields, key=lambda name: len(str(fields[name])))
        text = str(fields[name])
        kept = len(text) // 3
        fields[name] = f"{text[:kept]} … {text[len(text) - kept :]}"
        line = _text(_render_json(logger, method, fields))
    return line


def _text(rendered: str | bytes) -> str:
    return rendered if isinstance(rendered, str) else rendered.decode()
