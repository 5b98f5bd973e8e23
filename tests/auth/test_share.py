"""Strangers have a share of the connections to GitLab, and no more."""

import asyncio

import pytest
from pydantic import SecretStr

from auth import share as module
from auth.circuit import ROOM
from auth.model import GitLabUnavailable, Granted, Unavailable
from auth.share import KNOWN_PROGRAMS, PORTAL_TOKENS, PROGRAMS, SIGN_INS, SSH_TOKENS, Share
from auth.shared_access import SharedAccess
from gateway.demo.gitlab import Endpoint
from tests.auth.conftest import World


def test_all_strangers_together_leave_some_to_people_who_are_in() -> None:
    """Every fifth connection at least."""
    assert SIGN_INS + PROGRAMS + KNOWN_PROGRAMS + PORTAL_TOKENS + SSH_TOKENS <= ROOM * 0.8


async def test_no_more_than_its_slots_are_taken_at_once() -> None:
    """The others wait their turn."""
    share, inside, most = Share(3), 0, 0

    async def use() -> None:
        nonlocal inside, most
        async with share.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(use())

    assert (most, inside) == (3, 0)


async def test_who_waits_too_long_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the slot of somebody who gave up is lost to nobody."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    share = Share(1)
    async with share.slot():
        with pytest.raises(GitLabUnavailable) as caught:
            async with share.slot():
                pytest.fail("there was no room")

    assert caught.value.retry_after > 0
    async with share.slot():
        pass


async def test_a_failure_inside_gives_the_slot_back() -> None:
    """Or GitLab's faults would shut everybody out in time."""
    share = Share(1)
    for _ in range(3):
        with pytest.raises(ArithmeticError):
            async with share.slot():
                raise ArithmeticError

    async with share.slot():
        pass


async def test_a_flood_of_ssh_tokens_asks_gitlab_within_the_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it the verdict is Unavailable, which is neither yes nor no."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    access = SharedAccess(world.policy(), Share(4))
    tokens = [SecretStr(world.state.add_token(world.jo)) for _ in range(5)]
    gate = world.gitlab.switches[Endpoint.GRAPHQL].gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        flood = [group.create_task(access.decide_workspace(token, "993")) for token in tokens[:4]]
        await asyncio.sleep(0)  # they have their slots
        late = await access.decide_workspace(tokens[4], "993")
        gate.set()

    assert isinstance(late, Unavailable)
    assert all(isinstance(task.result(), Granted) for task in flood)
