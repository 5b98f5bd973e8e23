"""What the log says of an exception that nobody expected: its kind and the way to it. Never its text. Pure.

The text of an exception is made of what was at hand (`KeyError: 'glpat-…'`, an address with its query), so no list of
words could keep secrets out of it. Kind and place are enough to find the line that failed.
"""

import errno
import traceback
from collections.abc import Iterator

_FRAMES = 12  # the innermost: what called them is the event loop
_LINKS = 8  # of a chain of causes; nobody has seen a longer one that meant something


def describe_crash(exc: BaseException) -> str:
    """The exception with its causes, each with the lines that led to it, the innermost first."""
    return "; because of ".join(map(_describe, _chain(exc)))


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_LINKS):
        if exc is None:
            return
        yield exc
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


def _describe(exc: BaseException) -> str:
    frames = traceback.extract_tb(exc.__traceback__)
    way = " < ".join(f"{frame.name} ({_place(frame)})" for frame in frames[: -_FRAMES - 1 : -1])
    inner = f" of [{', '.join(map(_describe, exc.exceptions))}]" if isinstance(exc, BaseExceptionGroup) else ""
    return f"{_kind(exc)}{inner} in {way}" if way else f"{_kind(exc)}{inner}"


def _kind(exc: BaseException) -> str:
    name = type(exc).__qualname__
    code = errno.errorcode.get(exc.errno or 0) if isinstance(exc, OSError) else None
    return f"{name} {code}" if code else name


def _place(frame: traceback.FrameSummary) -> str:
    return f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"
