"""Where spans go, as the settings say: to a collector, or nowhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import TracingSettings
from gateway.extras import needs_extra
from gateway.telemetry.log import Log
from gateway.telemetry.spans import Tracing


@asynccontextmanager
async def open_tracing(settings: TracingSettings, log: Log) -> AsyncIterator[Tracing | None]:
    """What records spans; None where nothing is traced.

    Raises:
        ExtraMissing: if OpenTelemetry is not installed.
    """
    if not settings.endpoint:
        yield None
        return
    # Imported here: OpenTelemetry is an extra, which a gateway that traces nothing does without.
    with needs_extra("opentelemetry", "tracing.endpoint"):
        from gateway.telemetry.tracing import open_recording  # noqa: PLC0415 - see above

    async with open_recording(settings, log) as recording:
        yield recording
