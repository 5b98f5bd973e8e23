"""How a soak passes: a first load to warm up, the baseline, the long load with a line now and then, and the end.

The baseline is what the process takes once everything has been used and all clients are gone. After the long load and
the same rest, descriptors and tasks must be no more than that. Memory may be more by what is meant to be kept:
sessions of people who never signed out, remembered tokens, keys and grants, all bounded; and by what an allocator that
never gives back a page with one live object on it cannot return.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.load import run_load
from tests.soak.stage import Stage
from tests.soak.vitals import Vitals

WARM_UP_SECONDS = 20
REST_SECONDS = 20  # idle connections to workspaces end after 5 s, those to GitLab after 15
LATE_SECONDS = 60  # what has not ended by then never will
GROWTH = 24 << 20  # bytes above the baseline; see above


EXPECTED_ERRORS = ("error config.refused",)
"""What the load provokes."""


@dataclass
class Course:
    """What was seen on the way."""

    baseline: Vitals | None = None
    seen: list[tuple[float, Vitals]] = field(default_factory=list)
    """In the long load: after how many seconds, and what."""
    end: Vitals | None = None

    def table(self) -> str:
        """The process's vitals from the baseline over the quarters of the long load to the end."""
        last = self.seen[-1][0]
        wanted = [last * quarter / 4 for quarter in range(5)]
        nearest = [min(self.seen, key=lambda seen: abs(seen[0] - moment)) for moment in wanted]
        rows = [(f"{seconds / 60:.1f} min", vitals) for seconds, vitals in nearest]
        return "\n".join(
            f"{name:<10}{vitals}" for name, vitals in [("baseline", self.baseline), *rows, ("end", self.end)]
        )


async def run_course(stage: Stage, seconds: float, tell: Callable[[str], None]) -> Course:
    """Pass through all of it in about that many seconds; what goes wrong is in the ledger of the stage."""
    loop, course = asyncio.get_running_loop(), Course()
    deadline = loop.time() + seconds
    tell(f"warming up for {WARM_UP_SECONDS} s")
    await run_load(stage, WARM_UP_SECONDS)
    await asyncio.sleep(REST_SECONDS)
    course.baseline = await stage.vitals()
    tell(f"baseline: {course.baseline}")
    stage.ledger.kinds.clear()  # what is told is the long load; a fault of the first stays one
    load = max(WARM_UP_SECONDS, deadline - loop.time() - WARM_UP_SECONDS)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_keep_telling(stage, course, 10 if load < 1000 else 30, tell))
        await run_load(stage, load)
        telling.cancel()
    course.end = await _rest(stage, course.baseline)
    _judge(stage, course.baseline, course.end)
    return course


async def _keep_telling(stage: Stage, course: Course, pause: float, tell: Callable[[str], None]) -> None:
    """A line every so many seconds."""
    loop, kinds = asyncio.get_running_loop(), stage.ledger.kinds
    start, last, spent = loop.time(), await stage.vitals(), time.process_time()
    while True:
        await asyncio.sleep(pause)
        vitals, passed = await stage.vitals(), loop.time() - start
        course.seen.append((passed, vitals))
        tell(
            f"{passed:6.0f} s  {sum(kind.begun for kind in kinds.values()):,} begun,"
            f" {sum(kind.open for kind in kinds.values())} open,"
            f" {sum(kind.sent for kind in kinds.values()) >> 20:,} MiB up,"
            f" {sum(kind.received for kind in kinds.values()) >> 20:,} down, {len(stage.ledger.faults)} faults;"
            f" {vitals}; {(vitals.cpu - last.cpu) / pause:.0%} of a core,"
            f" the load {(time.process_time() - spent) / pause:.0%}"
        )
        last, spent = vitals, time.process_time()


async def _rest(stage: Stage, baseline: Vitals) -> Vitals:
    """Look until the process takes no more descriptors and tasks than at the baseline, or it is too late for that."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LATE_SECONDS
    while True:
        vitals = await stage.vitals()
        if (vitals.descriptors <= baseline.descriptors and vitals.tasks <= baseline.tasks) or loop.time() > deadline:
            return vitals
        await asyncio.sleep(1)


def _judge(stage: Stage, baseline: Vitals, end: Vitals) -> None:
    ledger = stage.ledger
    if end.descriptors > baseline.descriptors:
        ledger.fault("descriptors", f"{end.descriptors} after {baseline.descriptors}")
    if end.tasks > baseline.tasks:
        ledger.fault("tasks", f"{end.tasks} after {baseline.tasks}")
    if end.resident > baseline.resident + GROWTH:
        ledger.fault("memory", f"{end} after {baseline}")
    for said, times in stage.logged().items():
        if said.startswith("error") and said not in EXPECTED_ERRORS:
            ledger.fault("log", f"{times} x {said}")
    if stage.status is not None:
        ledger.fault("gateway", f"ended with {stage.status}")
    for name, kind in ledger.kinds.items():
        if not kind.done and not kind.expected:
            ledger.fault(name, "was never done")
