"""So many ask at once as there is room for, and nobody waits for long."""

import asyncio

import pytest

from auth import turns as module
from auth.circuit import FAILURES, FIRST_PAUSE, ROOM, Circuit
from auth.model import GitLabUnavailable
from auth.turns import WAITING_MAX, Turns
from tests.clock import Clock


class Visitors:
    """People who ask at once, and hold their turns until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.may_go = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.done = 0
        self.refused: list[GitLabUnavailable] = []

    async def visit(self, asker: str = "ada") -> None:
        try:
            async with self._turns.turn(asker):
                self.inside += 1
                self.most = max(self.most, self.inside)
                try:
                    await self.may_go.wait()
                    await asyncio.sleep(0)
                finally:
                    self.inside -= 1
                self.done += 1
        except GitLabUnavailable as fault:
            self.refused.append(fault)


async def settle() -> None:
    """Let everybody do what they can do now."""
    for _ in range(5):
        await asyncio.sleep(0)


def break_circuit(circuit: Circuit) -> None:
    for number in range(FAILURES):
        circuit.note_failure(circuit.openings, f"asker {number}", 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock, lambda: 0.5)


@pytest.fixture
def visitors(circuit: Circuit) -> Visitors:
    return Visitors(Turns(circuit))


async def test_ten_thousand_ask_fifty_at_once_and_the_rest_is_told_when_to_come_back(
    visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand wait, the others hear at once that they cannot."""
    # A busy machine takes longer to make ten thousand than they would wait.
    monkeypatch.setattr(module, "PATIENCE", 600)
    async with asyncio.TaskGroup() as group:
        for _ in range(10_000):
            group.create_task(visitors.visit())
        await settle()
        assert visitors.inside == ROOM
        assert len(visitors.refused) == 10_000 - ROOM - WAITING_MAX
        visitors.may_go.set()

    assert (visitors.most, visitors.done) == (ROOM, ROOM + WAITING_MAX)
    assert len({fault.retry_after for fault in visitors.refused}) > 10


async def test_nobody_waits_longer_than_they_would_for_a_page(
    visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever gave up costs nobody a turn."""
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM):
            group.create_task(visitors.visit())
        await settle()
        await visitors.visit()
        assert len(visitors.refused) == 1
        visitors.may_go.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM):
            group.create_task(visitors.visit())
    assert visitors.done == 2 * ROOM


async def test_who_leaves_while_waiting_or_inside_costs_nobody_a_turn(visitors: Visitors) -> None:
    """Or every closed tab would make the room smaller."""
    async with asyncio.TaskGroup() as group:
        leaving = [group.create_task(visitors.visit()) for _ in range(2 * ROOM)]
        await settle()
        for task in leaving:
            task.cancel()
    assert visitors.inside == 0

    visitors.may_go.set()
    async with asyncio.TaskGroup() as group:
        for _ in range(3 * ROOM):
            group.create_task(visitors.visit())
    assert visitors.done == 3 * ROOM


async def test_who_leaves_as_they_are_let_in_costs_nobody_a_turn(circuit: Circuit) -> None:
    """Both happen in the same round of the loop."""
    turns, may_go = Turns(circuit), asyncio.Event()

    async def hold() -> None:
        async with turns.turn("ada"):
            await may_go.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM):
            group.create_task(hold())
        waiting = group.create_task(hold())
        await settle()
        may_go.set()
        await asyncio.sleep(0)  # the first of them has left, and whoever waited has a turn without knowing it
        waiting.cancel()

    assert turns._inside == 0


async def test_all_who_wait_are_told_when_gitlab_fails(visitors: Visitors, circuit: Circuit) -> None:
    """Nobody waits for a time-out of their own."""
    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM + 100):
            group.create_task(visitors.visit())
        await settle()
        break_circuit(circuit)
        assert not visitors.refused
        visitors.may_go.set()

    assert (visitors.done, len(visitors.refused)) == (ROOM, 100)


async def test_one_finds_out_whether_gitlab_is_back_and_nobody_waits_for_it(
    visitors: Visitors, circuit: Circuit, clock: Clock
) -> None:
    """Even while everything that was asked before the pause still hangs."""
    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM):
            group.create_task(visitors.visit())
        await settle()
        break_circuit(circuit)
        clock.now += FIRST_PAUSE
        for _ in range(100):
            group.create_task(visitors.visit())
        await settle()
        assert visitors.inside == ROOM + 1
        assert len(visitors.refused) == 99
        visitors.may_go.set()

    assert visitors.done == ROOM + 1
