"""A task that runs for as long as a block does: how what follows, watches or measures has an owner."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something while the block runs, and no longer. What the block itself raises is in no group."""
    raised: Exception | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(coroutine)
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - raised again below: a fault at start is told by its type
            raised = exc
        finally:
            task.cancel()
    if raised is not None:
        raise raised
