"""The same question asked by many at once is asked once."""

import asyncio

import pytest

from auth.flights import Flights
from auth.model import GitLabUnavailable


class Source:
    """Answers when it may, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def ask(self) -> str:
        self.asked += 1
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return f"answer {self.asked}"


async def test_a_hundred_share_one_answer() -> None:
    """Who comes after it asks anew."""
    flights, source = Flights[str, str](), Source()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flights.join("q", source.ask)) for _ in range(100)]
        await asyncio.sleep(0)
        source.may_answer.set()

    assert {task.result() for task in tasks} == {"answer 1"}
    assert await flights.join("q", source.ask) == "answer 2"


async def test_another_question_is_asked_beside_it() -> None:
    """A key is a question."""
    flights, source = Flights[str, str](), Source()
    source.may_answer.set()
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(flights.join(f"q {number}", source.ask))

    assert source.asked == 10


async def test_an_outage_is_everybodys() -> None:
    """Nobody asks again only to wait for the same, and everybody has an exception of their own."""
    flights, source = Flights[str, str](), Source()
    source.fault = GitLabUnavailable("down", 7)
    tasks = [asyncio.Task(flights.join("q", source.ask)) for _ in range(100)]
    await asyncio.sleep(0)
    source.may_answer.set()
    faults = await asyncio.gather(*tasks, return_exceptions=True)

    assert source.asked == 1
    assert {fault.retry_after for fault in faults if isinstance(fault, GitLabUnavailable)} == {7}
    assert len({id(fault) for fault in faults}) == 100


async def test_the_next_one_asks_when_the_first_leaves() -> None:
    """A closed tab takes no answer away from others."""
    flights, source = Flights[str, str](), Source()
    first = asyncio.Task(flights.join("q", source.ask))
    await asyncio.sleep(0)
    others = [asyncio.Task(flights.join("q", source.ask)) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    for _ in range(3):
        await asyncio.sleep(0)  # one of the others asks now
    source.may_answer.set()

    assert set(await asyncio.gather(*others)) == {"answer 2"}
    assert source.asked == 2


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    """Neither from the one who asks nor from those who wait."""
    flights, source = Flights[str, str](), Source()
    first, leaving, staying = (asyncio.Task(flights.join("q", source.ask)) for _ in range(3))
    await asyncio.sleep(0)
    leaving.cancel()
    source.may_answer.set()

    assert {await first, await staying} == {"answer 1"}
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_fault_of_ours_is_only_the_one_who_met_it() -> None:
    """The others ask for themselves."""
    flights, source = Flights[str, str](), Source()
    source.fault = ZeroDivisionError()
    tasks = [asyncio.Task(flights.join("q", source.ask)) for _ in range(3)]
    await asyncio.sleep(0)
    source.may_answer.set()
    faults = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(fault, ZeroDivisionError) for fault in faults)
    assert source.asked == 3
