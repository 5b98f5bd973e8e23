"""Tasks that run while a block does: how what follows, watches, measures or asks has an owner."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

ResultT = TypeVar("ResultT")


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


class TaskByKey(Generic[ResultT]):
    """One task for each key, until it is done; those that are not done when the block ends are cancelled."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: dict[str, asyncio.Task[ResultT]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: str) -> bool:
        return key in self._tasks

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in tuple(self._tasks.values()):
            task.cancel()
        await self._group.__aexit__(None, None, None)

    def get(self, key: str) -> asyncio.Task[ResultT] | None:
        """The task of a key, if there is one."""
        return self._tasks.get(key)

    def start(self, key: str, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> asyncio.Task[ResultT]:
        """A task for a key that has none. It is there no more once it is done, not a moment later."""
        task = self._tasks[key] = self._group.create_task(self._run(key, work))
        return task

    async def _run(self, key: str, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        try:
            return await work()
        finally:
            del self._tasks[key]

    async def wait_done(self) -> None:
        """Until none of those that run now does any more."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))
