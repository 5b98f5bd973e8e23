"""Where the sessions of signed-in browsers are kept: in memory, or in Redis where the settings name one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from auth.seal import Sealer
from auth.sessions import MemorySessions, SessionStore
from config.settings import SessionSettings
from gateway.extras import needs_extra
from gateway.telemetry.metrics import Metrics


@asynccontextmanager
async def open_sessions(
    settings: SessionSettings, sealer: Sealer, clock: Callable[[], float], metrics: Metrics
) -> AsyncIterator[SessionStore]:
    """The store that the settings name. A Redis need not be reachable yet.

    Raises:
        ExtraMissing: if the package for Redis is not installed.
    """
    if settings.store == "memory":
        yield MemorySessions(settings, clock)
        return
    # Imported here: Redis is an extra, which a gateway of one process does without.
    with needs_extra("redis", "sessions.store"):
        from auth.redis_sessions import open_redis_sessions  # noqa: PLC0415 - see above

    async with open_redis_sessions(settings, sealer, clock) as sessions:
        metrics.session_store_up.labels("redis").set_function(lambda: sessions.is_listening)
        metrics.session_store_failures.set_function(lambda: sessions.failures, "redis")
        yield sessions
