"""The event loop of all inputs of a search: making one costs more than most inputs do."""

import asyncio
import atexit
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end; what it leaves behind is closed by nobody."""
    return _runner().run(main)


@cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    atexit.register(runner.close)
    return runner
