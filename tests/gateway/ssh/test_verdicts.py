"""What GitLab said is remembered for a while, for the same token and workspace, and never longer."""

import asyncio
import gc
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from auth.model import Denied, Granted, ScopeMissing, Unavailable, User, Verdict, WorkspaceRecord, refused
from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.verdicts import RememberedAccess
from gateway.telemetry.metrics import Metrics
from tests.clock import Clock
from tests.gateway.ssh.conftest import PATIENCE, TOKEN, Access, Gateway

TOKEN_OF_ADA = SecretStr(TOKEN)
REFUSED = Denied("401", is_token_refused=True)
SETTINGS = SshSettings(grant_memory=60, refusal_memory=10)


@dataclass
class Memory:
    """An access, what remembers it, and the time both live in."""

    access: Access
    clock: Clock
    remembered: RememberedAccess

    async def ask(self, token: SecretStr = TOKEN_OF_ADA, workspace_id: str = "7") -> Verdict:
        return await self.remembered.decide_workspace(token, workspace_id)


@pytest.fixture
def memory() -> Memory:
    access, clock = Access(), Clock()
    return Memory(access, clock, RememberedAccess(access, SETTINGS, Metrics(), clock))


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (None, 60),
        (Denied("not the owner"), 10),
        (REFUSED, 10),
        (Unavailable("timeout"), limits.UNAVAILABLE_MEMORY),
    ],
    ids=["granted", "denied", "refused", "unavailable"],
)
async def test_an_answer_counts_for_its_time_and_no_longer(
    memory: Memory, answer: Verdict | Exception | None, seconds: float
) -> None:
    memory.access.answer = answer
    await memory.ask()
    memory.clock.now += seconds - 0.01
    await memory.ask()
    assert memory.access.asked == ["7"]
    memory.clock.now += 0.02
    await memory.ask()

    assert memory.access.asked == ["7", "7"]


async def test_a_remembered_refusal_says_what_it_said(memory: Memory) -> None:
    memory.access.answer = refused(ScopeMissing("403"))

    assert await memory.ask() == await memory.ask() == refused(ScopeMissing("403"))


@pytest.mark.parametrize("state", ["Stopped", "Starting", "Failed"])
async def test_that_a_workspace_does_not_run_is_asked_every_time(memory: Memory, state: str) -> None:
    memory.access.state = state
    await memory.ask()
    memory.access.state = "Running"
    verdict = await memory.ask()

    assert isinstance(verdict, Granted)
    assert verdict.workspace == WorkspaceRecord("7", "apple", 1, "Running")


@pytest.mark.parametrize(("token", "workspace_id"), [(TOKEN, "8"), (f"{TOKEN}x", "7"), (TOKEN[:-1], "7")])
async def test_a_yes_is_none_to_another_token_or_workspace(memory: Memory, token: str, workspace_id: str) -> None:
    await memory.ask()
    verdict = await memory.ask(SecretStr(token), workspace_id)

    assert not isinstance(verdict, Granted)
    assert memory.access.asked == ["7", workspace_id]


async def test_many_who_ask_at_once_are_one_question(memory: Memory) -> None:
    memory.access.gate = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        askers = [group.create_task(memory.ask()) for _ in range(20)]
        group.create_task(_open_when_asked(memory))

    assert memory.access.asked == ["7"]
    assert {type(asker.result()) for asker in askers} == {Granted}


async def test_who_asked_first_and_left_takes_no_answer_from_the_others(memory: Memory) -> None:
    memory.access.gate = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first, second = group.create_task(memory.ask()), group.create_task(memory.ask())
        await asyncio.sleep(0)
        first.cancel()
        group.create_task(_open_when_asked(memory))

    assert isinstance(second.result(), Granted)


async def test_a_fault_of_the_gateway_is_not_remembered(memory: Memory) -> None:
    memory.access.answer = RuntimeError()
    with pytest.raises(RuntimeError):
        await memory.ask()
    memory.access.answer = None

    assert isinstance(await memory.ask(), Granted)


async def test_what_is_remembered_holds_no_token() -> None:
    token = SecretStr("glpat-in-no-memory")
    memory = Memory(access := Access(), Clock(), RememberedAccess(access, SETTINGS, Metrics()))
    for answer in (Granted(User(1, "ada")), REFUSED):
        access.answer = answer
        await memory.ask(token)
    access.answer = None
    del answer
    gc.collect()

    assert [each for each in gc.get_referrers(token) if isinstance(each, tuple | list | dict)] == []
    assert repr(memory.remembered) == "RememberedAccess(known=1)"


async def test_five_logins_in_a_row_ask_gitlab_once(gateway: Gateway) -> None:
    outputs = [(await gateway.ssh("echo in")).out for _ in range(5)]

    assert outputs == [b"in\n"] * 5
    assert gateway.access.asked == ["7"]


async def _open_when_asked(memory: Memory) -> None:
    assert memory.access.gate is not None
    while not memory.access.asked:  # noqa: ASYNC110 - the fake has no event for it
        await asyncio.sleep(0)
    memory.access.gate.set()


async def test_a_flood_of_tokens_leaves_gitlab_to_others(memory: Memory) -> None:
    memory.access.gate = asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for number in range(3 * limits.TOKEN_QUESTIONS):
            group.create_task(memory.ask(SecretStr(f"glpat-{number}")))
        while len(memory.access.asked) < limits.TOKEN_QUESTIONS:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0)
        memory.access.gate.set()

    assert memory.access.most_open_questions == limits.TOKEN_QUESTIONS
    assert len(memory.access.asked) == 3 * limits.TOKEN_QUESTIONS
