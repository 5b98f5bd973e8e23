"""Runs a gateway in this process: from its settings to a signal, through its drain, to the end."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from config.settings import Settings
from gateway.app import Gateway
from gateway.descriptors import raise_limit
from gateway.listening import Listeners
from gateway.running import running
from gateway.telemetry.log import Log

SIGNALLED = 128  # plus the number of a signal: the status of a process that it ended, as shells tell it

Follow = Callable[[Gateway], Coroutine[Any, Any, None]]
"""Has a gateway take up new settings, as long as it runs."""


async def serve(settings: Settings, log: Log, listeners: Listeners, ready: Callable[[], None], follow: Follow) -> int:
    """Run a gateway until SIGTERM or SIGINT, then drain it; a second signal ends it at once. The exit status.

    That is 0 after a drain, whether or not everybody had left when the grace was over, and that of a process which the
    signal had ended if a second one cut it short. `ready` is called when the doors are open and every route is known.
    """
    loop = asyncio.get_running_loop()
    signalled: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.put_nowait, number)
    raise_limit()
    async with (
        Gateway(settings, log, listeners) as gateway,
        running(_announce(gateway, ready)),
        running(follow(gateway)),
    ):
        _spare_collections()
        await signalled.get()
        log.info("gateway.draining")
        status = await _drain(gateway, signalled)
    log.info("gateway.closed", exit_status=status)
    return status


async def _drain(gateway: Gateway, signalled: "asyncio.Queue[signal.Signals]") -> int:
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(gateway.drain())
        impatient = group.create_task(signalled.get())
        await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
        status = SIGNALLED + impatient.result() if impatient.done() else 0
        draining.cancel()
        impatient.cancel()
    return status


async def _announce(gateway: Gateway, ready: Callable[[], None]) -> None:
    await gateway.wait_ready()
    ready()


def _spare_collections() -> None:
    """Keep what lives as long as the process out of garbage collections, and have fewer of them.

    Exchanges free themselves by reference counts; walking 100,000 routes at each collection cost a quarter of all
    requests. Connections do not, and an SSH session holds 50 kB: those that lived long are freed by the rarest kind of
    collection, which comes after two million objects here, some 1,300 sessions. At Python's own 100 times 50 times
    20,000 it would come after gigabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
