"""The load as a whole: what is done how often, by whom, and how a soak passes from its baseline to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.demo.world import EDITOR_PORT
from tests.soak import change, http_load, ssh_load
from tests.soak.http_load import Place, Visitors
from tests.soak.person import open_person
from tests.soak.stage import INTERNAL_PORT, Stage

AT_ONCE = 30  # of one kind: where the machine is busy, work that is late is not begun again and again


@dataclass(frozen=True, slots=True)
class Work:
    """Something that is begun again and again."""

    seconds: float
    """From one to the next, on average: all of them together, both sides, take about a third of a core."""
    begin: Callable[[Stage, Visitors], Awaitable[None]]


WORKS: Sequence[Work] = (
    Work(0.05, http_load.page),
    Work(0.5, http_load.download),
    Work(0.5, http_load.upload),
    Work(1, http_load.program),
    Work(1, http_load.stranger),
    Work(1, http_load.events),
    Work(0.5, http_load.websocket),
    Work(3, ssh_load.command),
    Work(4, ssh_load.copy),
    Work(5, ssh_load.forward),
    Work(8, ssh_load.openssh),
    Work(10, ssh_load.stranger),
    Work(3, change.sign_in),
    Work(10, change.look_in),
    Work(2, change.flip),
    Work(1.5, change.share),
    Work(4, change.guest),
    Work(10, change.reload),
    Work(0.7, change.vanish),
    Work(5, change.vanish_from_ssh),
)


@asynccontextmanager
async def _open_visitors(stage: Stage) -> AsyncIterator[Visitors]:
    """People who have signed in, and opened every port that they will use."""
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(open_person(stage, name)) for name in ("ada", "grace")]
        for person in people:
            for workspace in stage.workspaces:
                await person.enter(stage.address(workspace, INTERNAL_PORT))
                if workspace.owner == person.name:
                    await person.enter(stage.address(workspace, EDITOR_PORT))
        yield Visitors(people, await stack.enter_async_context(open_person(stage)))


async def run_load(stage: Stage, seconds: float, works: Sequence[Work] = WORKS) -> None:
    """Put the load on the gateway for that long, and wait for the end of all that was begun."""
    stage.ending.clear()
    async with _open_visitors(stage) as visitors, asyncio.TaskGroup() as streams:
        for workspace in stage.workspaces:
            owner = visitors.named(workspace.owner)
            streams.create_task(http_load.stay(Place(stage, owner, workspace, EDITOR_PORT), workspace.lease))
            streams.create_task(ssh_load.stay(stage, workspace))
        beginning = [streams.create_task(_keep_beginning(work, stage, visitors)) for work in works]
        await asyncio.sleep(seconds)
        stage.ending.set()
        for task in beginning:
            task.cancel()


async def _keep_beginning(work: Work, stage: Stage, visitors: Visitors) -> None:
    """Until cancelled; then until all that was begun has ended."""
    begun: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:

        async def begin() -> None:
            await work.begin(stage, visitors)

        try:
            while True:
                await asyncio.sleep(min(stage.random.expovariate(1 / work.seconds), 3 * work.seconds))
                begun = {task for task in begun if not task.done()}
                if len(begun) < AT_ONCE:
                    begun.add(group.create_task(begin()))
        except asyncio.CancelledError:
            return  # to the end of the group, which waits for them
