"""Builds what watches the use of workspaces, and runs it while a block does."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from auth.stopping import Stopper
from config.settings import Settings
from gateway.extras import needs_extra
from gateway.idle.ledger import Ledger
from gateway.idle.sharing import Alone, Apart, Sharing
from gateway.idle.stops import Stops
from gateway.idle.uses import Uses
from gateway.idle.watch import Directory, IdleWatch
from gateway.running import running
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Idle:
    """What the rest of the gateway knows of it."""

    ledger: Ledger
    uses: Uses
    """For the doors to tell."""
    watch: IdleWatch
    adopt: Callable[[Settings], None]
    """Go on by these settings."""


@asynccontextmanager
async def open_idle(
    settings: Settings,
    directory: Directory,
    stopper: Stopper,
    *,
    tell: Callable[[str, str], None],
    metrics: Metrics,
    log: Log,
    clock: Callable[[], float],
) -> AsyncIterator[Idle]:
    """Watch while the block runs. `clock` is one that nobody sets.

    Raises:
        ExtraMissing: if the package for Redis is not installed.
    """
    ledger = Ledger(clock)
    uses = Uses(settings.idle, ledger)
    metrics.measure_idle = ledger.all_idle
    async with AsyncExitStack() as stack:
        sharing = await stack.enter_async_context(_open_sharing(settings))
        stops = Stops(settings.idle, ledger, sharing, stopper, tell=tell, metrics=metrics, log=log)
        watch = IdleWatch(settings.idle, directory, ledger, uses, sharing=sharing, stops=stops, log=log)
        await stack.enter_async_context(stops)
        await stack.enter_async_context(running(watch.run()))

        def adopt(new: Settings) -> None:
            for part in (uses, stops, watch):
                part.adopt(new.idle)
            sharing.adopt(new.sessions)

        yield Idle(ledger, uses, watch, adopt)


@asynccontextmanager
async def _open_sharing(settings: Settings) -> AsyncIterator[Sharing]:
    if settings.sessions.store == "memory":
        yield Alone() if settings.workers == 1 else Apart()
        return
    # Imported here: Redis is an extra, which a gateway of one process does without.
    with needs_extra("redis", "sessions.store"):
        from gateway.idle.redis_sharing import open_redis_sharing  # noqa: PLC0415 - see above

    async with open_redis_sharing(settings.sessions) as sharing:
        yield sharing
