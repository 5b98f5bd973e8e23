"""How late the event loop is, is seen by whoever reads the metrics."""

import asyncio
import time

from gateway.telemetry.loop_lag import measure_lag
from gateway.telemetry.metrics import Metrics

STALL = 0.6  # seconds, longer than two looks lie apart


async def test_a_loop_that_stood_still_was_late_by_so_much() -> None:
    metrics = Metrics()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(measure_lag(metrics.loop_lag))
        await asyncio.sleep(0)
        time.sleep(STALL)  # noqa: ASYNC251 - what is measured
        async with asyncio.timeout(30):
            while not sum(metrics.loop_lag.counts):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        watch.cancel()

    assert metrics.loop_lag.sum >= STALL / 2
    assert b'workspaces_gateway_loop_lag_seconds_bucket{le="0.25"} 0.0' in metrics.render()
