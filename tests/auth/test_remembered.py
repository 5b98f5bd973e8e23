"""Answers that are asked for once, and forgotten by what they are."""

import asyncio

import pytest

from auth.remembered import Remembered
from tests.clock import Clock


class Oracle:
    """Counts what it is asked, and answers as the test says."""

    def __init__(self, answer: str | Exception = "yes") -> None:
        self.answer = answer
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self) -> str:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def remembered(clock: Clock, size: int = 10) -> Remembered[str, str]:
    return Remembered(size, lambda answer: {"yes": 60.0, "no": 0.0}[answer], clock)


async def test_an_answer_holds_for_its_own_time() -> None:
    """And not a second longer."""
    clock, oracle = Clock(), Oracle()
    memory = remembered(clock)
    await memory.find("a", oracle.ask)
    clock.now += 59
    await memory.find("a", oracle.ask)

    assert oracle.asked == 1
    clock.now += 1
    await memory.find("a", oracle.ask)
    assert oracle.asked == 2


async def test_an_answer_of_no_worth_is_not_remembered() -> None:
    """Whoever asks next asks anew."""
    oracle = Oracle("no")
    memory = remembered(Clock())
    await memory.find("a", oracle.ask)

    assert memory.get("a") is None
    await memory.find("a", oracle.ask)
    assert oracle.asked == 2


async def test_a_clock_that_is_set_back_lengthens_no_memory() -> None:
    """An answer of a minute does not hold for an hour and a minute."""
    clock, oracle = Clock(), Oracle()
    memory = remembered(clock)
    await memory.find("a", oracle.ask)
    clock.now -= 3600
    await memory.find("a", oracle.ask)
    assert oracle.asked == 1

    clock.now += 61
    await memory.find("a", oracle.ask)
    assert oracle.asked == 2


async def test_many_who_ask_at_once_are_one_question() -> None:
    """All of them get its answer."""
    oracle = Oracle()
    oracle.gate.clear()
    memory = remembered(Clock())
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(memory.find("a", oracle.ask)) for _ in range(20)]
        group.create_task(asyncio.sleep(0)).add_done_callback(lambda _: oracle.gate.set())

    assert [task.result() for task in asking] == ["yes"] * 20
    assert oracle.asked == 1


async def test_two_questions_do_not_wait_for_each_other() -> None:
    """A silent answer to one holds up nobody else."""
    silent, oracle = Oracle(), Oracle()
    silent.gate.clear()
    memory = remembered(Clock())
    async with asyncio.TaskGroup() as group:
        group.create_task(memory.find("a", silent.ask))
        assert await memory.find("b", oracle.ask) == "yes"
        silent.gate.set()


async def test_a_failure_is_no_answer() -> None:
    """It is raised, and the next one asks again."""
    oracle = Oracle(ArithmeticError("a failure"))
    memory = remembered(Clock())
    with pytest.raises(ArithmeticError):
        await memory.find("a", oracle.ask)
    oracle.answer = "yes"

    assert await memory.find("a", oracle.ask) == "yes"


async def test_memory_is_bounded() -> None:
    """What is too much is merely asked again."""
    oracle = Oracle()
    memory = remembered(Clock(), size=3)
    for number in range(10):
        await memory.find(str(number), oracle.ask)

    assert len(memory) == 3
