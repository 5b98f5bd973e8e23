"""Runs a gateway in this process: from its settings to a signal, through its drain, to the end."""

import asyncio
import gc
import signal
from collections.abc import Callable

from config.settings import Settings
from gateway.app import Gateway
from gateway.descriptors import raise_limit
from gateway.listening import Listeners
from gateway.log import Log
from gateway.running import running


async def serve(settings: Settings, log: Log, listeners: Listeners, ready: Callable[[], None]) -> None:
    """Run a gateway until SIGTERM or SIGINT, then drain it; a second signal ends it at once.

    `ready` is called when the doors are open and every route is known.
    """
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    raise_limit()
    async with Gateway(settings, log, listeners) as gateway, running(_announce(gateway, ready)):
        _spare_collections()
        await signalled.wait()
        signalled.clear()
        log.info("gateway.draining")
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(gateway.drain())
            impatient = group.create_task(signalled.wait())
            await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
            impatient.cancel()
    log.info("gateway.closed")


async def _announce(gateway: Gateway, ready: Callable[[], None]) -> None:
    await gateway.wait_ready()
    ready()


def _spare_collections() -> None:
    """Keep what lives as long as the process out of garbage collections, and have fewer of them.

    Exchanges free themselves by reference counts; walking 100,000 routes at each collection cost a quarter of all
    requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
