"""Starting for owners, whichever door they stand at: once for all of them, counted, timed and on record."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from auth.gitlab import GitLabClient, open_gitlab
from auth.mandates import Mandate, mandate_of_token
from auth.model import Denied, Unavailable, User, WorkspaceRecord
from auth.wishes import NotTold, Told, Wishes
from config.settings import AuthSettings
from gateway.demo.gitlab import Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from gateway.waking import RECORD_SECONDS, Waker, Way
from routing.model import Workspace, WorkspaceState
from tests.clock import Clock

APPLE = Workspace("993", "uid-993", "apple", "ns", "1", WorkspaceState.STOPPED, None)


@dataclass
class World:
    """A waker before a stand-in GitLab, in which the workspace 993 of jo is stopped."""

    waker: Waker
    state: GitLabState
    gitlab: StandInGitLab
    client: GitLabClient
    jo: User
    clock: Clock
    metrics: Metrics
    log: io.StringIO
    wished: list[str] = field(default_factory=list)
    """Every change of the desired state."""

    def mandate(self, scope: str = "api") -> Mandate:
        user = self.state.users[self.jo.id]
        return mandate_of_token(SecretStr(self.state.add_token(user, (scope,))))

    def events(self, name: str) -> list[Mapping[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"workspaces_gateway_{name}", labels) or 0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, state, metrics, log = Clock(), GitLabState(), Metrics(), io.StringIO()
    gitlab = StandInGitLab(state)
    jo = state.add_user("jo")
    state.add_workspace(jo, "apple", id=993, actual_state="Stopped")
    async with (
        gitlab.serve() as url,
        open_gitlab(AuthSettings(host=url, timeout=30), lambda *_: None) as client,
        Waker(Wishes(client), metrics, open_log("debug", log), clock) as waker,
    ):
        made = World(waker, state, gitlab, client, User(jo.id, "jo"), clock, metrics, log)
        state.subscribe(lambda _before, after: made.wished.append(after.desired_state))
        yield made


async def test_who_started_what_by_which_way_is_on_record(world: World) -> None:
    """And whose token it was."""
    await world.waker.start(APPLE, world.jo, (world.mandate(),), Way.SSH)

    (line,) = world.events("audit.workspace_started")
    facts = {"user_id": world.jo.id, "workspace_id": "993", "workspace": "apple", "way": "ssh", "by": "token"}
    assert facts.items() <= line.items()
    assert world.sample("wakes_total", way="ssh", result="started") == 1


async def test_many_at_once_start_it_once(world: World) -> None:
    """From all doors; those who come while GitLab is asked wait for that answer."""
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(world.waker.start(APPLE, world.jo, (world.mandate(),), way)) for way in list(Way) * 5
        ]

    assert all(isinstance(task.result(), Told) for task in asked)
    assert world.wished == ["Running"]
    assert len(world.events("audit.workspace_started")) == 1


async def test_who_only_reads_does_not_spoil_it_for_who_may_start(world: World) -> None:
    """Several of one person's logins, with different tokens; the ones that cannot say so."""
    scopes = ("read_api", "read_api", "api")
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(world.waker.start(APPLE, world.jo, (world.mandate(scope),), Way.SSH)) for scope in scopes
        ]

    assert isinstance(asked[2].result(), Told)
    assert world.wished == ["Running"]
    first = asked[0].result()
    assert isinstance(first, NotTold)
    assert first.lacks_scope


async def test_who_leaves_ends_the_waiting_and_not_the_start(world: World) -> None:
    """As with Ctrl-C while GitLab is slow."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    mandate = world.mandate()

    async def find_token() -> SecretStr:
        arrived.set()
        await go_on.wait()
        return await mandate.find_token()

    waiting = asyncio.get_running_loop().create_future()

    async def start() -> None:
        await world.waker.start(APPLE, world.jo, (Mandate("token", find_token),), Way.SSH)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(start())
        await arrived.wait()
        task.cancel()
        world.state.subscribe(lambda _before, after: waiting.set_result(after.desired_state))
        go_on.set()

    assert task.cancelled()
    async with asyncio.timeout(10):
        assert await waiting == "Running"


async def test_what_gitlab_said_is_said_again_for_some_seconds(world: World) -> None:
    """Fifty logins and a page that reloads are one question; another person's answer is none of theirs."""
    own = (world.mandate(),)
    first = await world.waker.find_record(APPLE, world.jo, own)
    world.state.set_actual_state(993, "Starting")
    second = await world.waker.find_record(APPLE, world.jo, own)
    other = await world.waker.find_record(APPLE, User(999, "eve"), own)
    world.clock.now += RECORD_SECONDS
    third = await world.waker.find_record(APPLE, world.jo, own)

    assert isinstance(first, WorkspaceRecord)
    assert isinstance(third, WorkspaceRecord)
    assert (first, third.actual_state) == (second, "Starting")
    assert isinstance(other, Denied)


async def test_a_start_is_news_to_whoever_asks_next(world: World) -> None:
    """What was known before it counts no more."""
    own = (world.mandate(),)
    await world.waker.find_record(APPLE, world.jo, own)
    await world.waker.start(APPLE, world.jo, own, Way.BUTTON)
    record = await world.waker.find_record(APPLE, world.jo, own)

    assert isinstance(record, WorkspaceRecord)
    assert record.desired_state == "Running"


async def test_a_start_is_timed_until_its_owner_is_in(world: World) -> None:
    """Once, however many of theirs arrive; and never where another process started it."""
    world.waker.arrived(APPLE)
    await world.waker.start(APPLE, world.jo, (world.mandate(),), Way.NAVIGATION)
    world.clock.now += 42
    world.waker.arrived(APPLE)
    world.waker.arrived(APPLE)

    assert world.sample("wake_seconds_sum", way="navigation") == 42
    assert world.sample("wake_seconds_count", way="navigation") == 1


async def test_every_end_is_counted_by_its_kind(world: World) -> None:
    """What is under way already is no refusal."""
    own = (world.mandate(),)
    await world.waker.start(APPLE, world.jo, (world.mandate("read_api"),), Way.SSH)
    await world.waker.start(APPLE, world.jo, (), Way.SSH)
    await world.waker.start(APPLE, world.jo, own, Way.SSH)
    await world.waker.start(APPLE, world.jo, own, Way.SSH)
    world.state.want_state(993, "Terminated")
    await world.waker.start(APPLE, world.jo, own, Way.SSH)
    world.gitlab.switches[Endpoint.GRAPHQL].fault = Fault.UNAVAILABLE
    assert isinstance(await world.waker.start(APPLE, world.jo, own, Way.SSH), Unavailable)

    results = ("read_only", "denied", "started", "underway", "refused", "unavailable")
    assert [world.sample("wakes_total", way="ssh", result=result) for result in results] == [1] * 6
    assert [line["result"] for line in world.events("wake.refused")] == [
        "read_only",
        "denied",
        "refused",
        "unavailable",
    ]
