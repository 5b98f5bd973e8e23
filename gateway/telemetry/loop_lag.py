"""How late the event loop does what is due, which every request and every keystroke waits for."""

import asyncio

from gateway.telemetry.tally import Buckets

_INTERVAL = 0.25  # seconds: a stall of the loop longer than that is never missed, and nobody notices four wake-ups


async def measure_lag(lag: Buckets) -> None:
    """Notes, again and again, by how many seconds a wake-up came too late; until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _INTERVAL
        await asyncio.sleep(_INTERVAL)
        lag.add(max(0.0, loop.time() - due))
