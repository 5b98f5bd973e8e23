"""What happens when one of several workers is killed, or stops, under load: the others serve, and it is replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.conftest import PATIENCE, SITE, Stage, assert_nobody_gets_in, open_stage, wait_for
from tests.e2e.conftest import Setup
from tests.redis_server import run_redis

VISITORS = 16


@pytest.fixture
async def team(setup: Setup) -> AsyncIterator[Stage]:
    """Two workers on one Redis."""
    async with run_redis() as redis:
        setup.settings["sessions"] = {"store": redis.url}
        setup.settings["workers"] = 2
        async with open_stage(setup) as stage:
            yield stage


def workers_of(stage: Stage) -> list[int]:
    """Their pids."""
    assert stage.process is not None
    pid = stage.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Load:
    """Visitors who ask again and again, each time on a new connection, and count what they get."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.answers: dict[str, int] = {}
        self.in_a_row = 0

    async def run(self) -> None:
        while True:
            await self._ask()

    async def _ask(self) -> None:
        url = f"http://127.0.0.1:{self._stage.setup.ports.http}/"
        host = self._stage.url(SITE).removeprefix("http://").rstrip("/")
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as client,
                client.get(url, headers={"Host": host}) as answer,
            ):
                got = str(answer.status)
                await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            got = type(exc).__name__
        self.answers[got] = self.answers.get(got, 0) + 1
        self.in_a_row = self.in_a_row + 1 if got == "200" else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_lost_worker_is_replaced_and_its_clients_are_served_by_the_others(
    team: Stage, number: signal.Signals
) -> None:
    """At most what it had in hand is lost with one that is killed; one that hangs is noticed, however long that takes.

    Whoever connects meanwhile waits for the successor, since the sockets of a worker outlive it.
    """
    lost = workers_of(team)[0]
    load = Load(team)
    async with asyncio.TaskGroup() as group, team.person("ada") as ada:
        visitors = [group.create_task(load.run()) for _ in range(VISITORS)]
        await wait_for(lambda: _has(load.answers.get("200", 0), 100), "the load")
        os.kill(lost, number)

        async def is_replaced() -> bool:
            return lost not in workers_of(team) and len(workers_of(team)) == 2 and await _is_ready(team)

        await wait_for(is_replaced, "another worker")
        load.in_a_row = 0
        await wait_for(lambda: _has(load.in_a_row, 100), "answers without a failure")
        for task in visitors:
            task.cancel()
        assert (await ada.navigate(team.url())).status == 200  # the grant is of no one worker
        failed = sum(count for got, count in load.answers.items() if got != "200")
        if number is signal.SIGKILL:
            assert failed <= VISITORS, load.answers
        await assert_nobody_gets_in(team)
        assert await team.metric("worker_deaths_total") == 1


async def _has(count: int, wanted: int) -> bool:
    return count >= wanted


async def _is_ready(stage: Stage) -> bool:
    return (await stage.admin("/readyz"))[0] == 200
