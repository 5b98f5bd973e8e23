"""A workspace that nobody uses is stopped, after a warning, by one gateway, and never under somebody's hands."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import SecretStr

from auth.gitlab import GitLabClient, open_gitlab
from auth.owners import WorkspaceOwners
from auth.profiles import ProfileClient
from auth.stopping import Stopper
from config.settings import AuthSettings, IdleSettings, SessionSettings
from gateway.demo.gitlab import Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.idle.ledger import Ledger, Use
from gateway.idle.redis_sharing import RedisSharing, open_redis_sharing
from gateway.idle.sharing import Alone, Apart, Heard, Sharing
from gateway.idle.stops import GRACE_SECONDS, RETRY_MAX, RETRY_SECONDS, TURN_SECONDS, Stops
from gateway.idle.uses import LOOK_SECONDS, Uses
from gateway.idle.watch import IdleWatch
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.model import Workspace, WorkspaceState
from tests.clock import Clock
from tests.eventually import eventually
from tests.redis_server import RedisServer, run_redis

APPLE = Workspace("993", "uid-993", "apple", "ns", "1", WorkspaceState.RUNNING, None)
TIMEOUT, WARNING = 1800.0, 300.0
IDLE = IdleSettings(timeout=TIMEOUT, warning=WARNING)


@dataclass
class Workspaces:
    """The route table, as far as it is looked at."""

    workspaces: tuple[Workspace, ...] = (APPLE,)

    def is_eldest(self, workspace: Workspace) -> bool:
        return workspace.uid == APPLE.uid


@dataclass
class Watcher:
    """One gateway, as far as it watches the use of workspaces."""

    watch: IdleWatch
    stops: Stops
    ledger: Ledger
    metrics: Metrics
    log: io.StringIO
    told: list[tuple[str, str]]
    """What those who are in by SSH were told."""

    async def look(self) -> None:
        await self.watch.look()
        await self.stops.wait_done()

    def events(self, name: str) -> list[Mapping[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def count(self, result: str) -> float:
        labels = {"result": result}
        return self.metrics.registry.get_sample_value("workspaces_gateway_idle_stops_total", labels) or 0


@dataclass
class World:
    """A stand-in GitLab in which the workspace 993 of jo runs, and gateways that may stop it."""

    stack: AsyncExitStack
    state: GitLabState
    gitlab: StandInGitLab
    client: GitLabClient
    jo: GitLabUser
    clock: Clock = field(default_factory=Clock)
    table: Workspaces = field(default_factory=Workspaces)
    wished: list[str] = field(default_factory=list)
    """Every change of the desired state."""

    async def open(
        self, *, scope: str = "api", settings: IdleSettings = IDLE, sharing: Sharing | None = None, token: bool = True
    ) -> Watcher:
        """A gateway with the service token of an administrator, that has looked once."""
        root = self.state.add_user(f"root-{scope}", admin=True)
        service = SecretStr(self.state.add_token(root, (scope,)) if token else "")
        owners = WorkspaceOwners(self.client, ProfileClient(self.client.calls, self.clock), service)
        metrics, log, told, ledger = Metrics(), io.StringIO(), list[tuple[str, str]](), Ledger(self.clock)
        self.owners, shared, written = owners, sharing or Alone(), open_log("debug", log)
        stops = Stops(
            settings,
            ledger,
            shared,
            Stopper(self.client, owners),
            tell=lambda number, text: told.append((number, text)),
            metrics=metrics,
            log=written,
        )
        await self.stack.enter_async_context(stops)
        watch = IdleWatch(
            settings, self.table, ledger, Uses(settings, ledger), sharing=shared, stops=stops, log=written
        )
        watcher = Watcher(watch, stops, ledger, metrics, log, told)
        await watcher.look()
        return watcher

    async def pass_time(self, seconds: float, *watchers: Watcher) -> None:
        self.clock.now += seconds
        for watcher in watchers:
            await watcher.look()

    def break_gitlab(self, fault: Fault | None = Fault.UNAVAILABLE) -> None:
        self.gitlab.switches[Endpoint.GRAPHQL].fault = fault


@pytest.fixture
async def world() -> AsyncIterator[World]:
    state = GitLabState()
    gitlab = StandInGitLab(state)
    jo = state.add_user("jo")
    state.add_workspace(jo, "apple", id=993)
    async with (
        gitlab.serve() as url,
        open_gitlab(AuthSettings(host=url, timeout=30), lambda *_: None) as client,
        AsyncExitStack() as stack,
    ):
        made = World(stack, state, gitlab, client, jo)
        state.subscribe(lambda _before, after: made.wished.append(after.desired_state))
        yield made


async def test_it_is_warned_of_and_then_stopped_and_both_are_on_record(world: World) -> None:
    """The warning says how long nobody came, and how long there is."""
    watcher = await world.open()
    await world.pass_time(TIMEOUT - WARNING, watcher)
    warned, before = list(watcher.told), list(world.wished)
    await world.pass_time(WARNING + GRACE_SECONDS, watcher)

    assert warned == [("993", "nobody has used this workspace for 25 min; it stops in 5 min unless somebody does")]
    assert (before, world.wished) == ([], ["Stopped"])
    (line,) = watcher.events("audit.workspace_stopped")
    assert (line["workspace"], line["by"], line["timeout_seconds"]) == ("apple", "service", TIMEOUT)
    assert watcher.count("stopped") == 1


async def test_nobody_is_warned_twice(world: World) -> None:
    watcher = await world.open()
    for _ in range(3):
        await world.pass_time(WARNING / 10, watcher)
    await world.pass_time(TIMEOUT - WARNING, watcher)
    for _ in range(3):
        await world.pass_time(LOOK_SECONDS, watcher)

    assert len(watcher.told) == 1


async def test_it_is_not_stopped_without_a_time_out(world: World) -> None:
    """Which is the default."""
    watcher = await world.open(settings=IdleSettings())
    await world.pass_time(30 * 86_400, watcher)

    assert (world.wished, watcher.told) == ([], [])


async def test_its_own_annotation_stops_it(world: World) -> None:
    """Where the operator says nothing."""
    world.table.workspaces = (replace(APPLE, idle_timeout="10m"),)
    watcher = await world.open(settings=IdleSettings())
    await world.pass_time(601 + GRACE_SECONDS, watcher)

    assert world.wished == ["Stopped"]


@pytest.mark.parametrize("use", [Use.REQUEST, Use.WEBSOCKET, Use.SSH, Use.KEPT])
async def test_any_use_before_the_end_cancels_it(world: World, use: Use) -> None:
    """And the next warning comes as late as the first one."""
    watcher = await world.open()
    await world.pass_time(TIMEOUT - 1, watcher)
    watcher.ledger.note("993", use)
    await world.pass_time(WARNING, watcher)
    await world.pass_time(TIMEOUT - WARNING - 1 - WARNING, watcher)

    assert world.wished == []
    assert (len(watcher.told), watcher.ledger.ending) == (1, set())


async def test_a_use_while_gitlab_is_asked_cancels_it(world: World) -> None:
    """Nothing is changed, as it is looked at again right before."""
    watcher = await world.open()
    gate = world.gitlab.switches[Endpoint.GRAPHQL].gate = asyncio.Event()
    world.clock.now += TIMEOUT + GRACE_SECONDS
    await watcher.watch.look()
    watcher.ledger.note("993", Use.REQUEST)
    gate.set()
    await watcher.stops.wait_done()

    assert world.wished == []
    assert watcher.count("left_alone") == 1


async def test_a_use_after_gitlab_was_asked_takes_it_back(world: World) -> None:
    """The workspace goes on, or is started again, as the agent of GitLab finds it."""
    watcher = await world.open()
    world.state.subscribe(
        lambda _before, after: watcher.ledger.note("993", Use.REQUEST) if after.desired_state == "Stopped" else None
    )
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == ["Stopped", "Running"]
    assert len(watcher.events("audit.workspace_stop_taken_back")) == 1


async def test_a_gateway_that_just_started_stops_nothing(world: World) -> None:
    """Whatever was before: the time counts from its first look."""
    world.clock.now += 30 * 86_400
    watcher = await world.open()
    await world.pass_time(TIMEOUT - 1, watcher)

    assert world.wished == []


@pytest.mark.parametrize("before", [0.0, 100 * TIMEOUT])
async def test_a_time_out_that_is_set_or_lowered_leaves_the_time_of_the_warning(world: World, before: float) -> None:
    """Whoever is in a workspace that was unused for long learns of it as early as everybody else."""
    watcher = await world.open(settings=IdleSettings(timeout=before, warning=WARNING))
    await world.pass_time(10 * TIMEOUT, watcher)
    watcher.watch.adopt(IDLE)
    watcher.stops.adopt(IDLE)
    await watcher.look()
    await world.pass_time(WARNING - 1, watcher)

    assert world.wished == []
    assert [text for _, text in watcher.told] == [
        "nobody has used this workspace for 25 min; it stops in 5 min unless somebody does"
    ]
    await world.pass_time(1 + GRACE_SECONDS, watcher)
    assert world.wished == ["Stopped"]


@pytest.mark.parametrize("state", ["Stopped", "Stopping", "Starting", "CreationRequested", "Failed", "Unknown"])
async def test_what_does_not_run_as_gitlab_says_is_left_alone(world: World, state: str) -> None:
    """And not asked about again before another time-out has passed."""
    world.state.set_actual_state(993, state)
    world.wished.clear()
    watcher = await world.open()
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)
    await world.pass_time(LOOK_SECONDS, watcher)

    assert world.wished == []
    assert watcher.count("left_alone") == 1


@pytest.mark.parametrize("state", [WorkspaceState.STOPPED, WorkspaceState.STARTING])
async def test_what_does_not_run_as_the_cluster_says_is_not_asked_about(world: World, state: WorkspaceState) -> None:
    world.table.workspaces = (replace(APPLE, state=state),)
    watcher = await world.open()
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == []
    assert world.gitlab.switches is not None
    assert watcher.count("left_alone") == 0


async def test_of_a_workspace_that_was_started_the_time_counts_from_then(world: World) -> None:
    watcher = await world.open()
    await world.pass_time(TIMEOUT - 1, watcher)
    world.table.workspaces = (replace(APPLE, state=WorkspaceState.STOPPED),)
    await world.pass_time(60, watcher)
    world.table.workspaces = (APPLE,)
    await world.pass_time(60, watcher)
    await world.pass_time(TIMEOUT - 1, watcher)

    assert world.wished == []


async def test_another_name_than_gitlabs_stops_nothing(world: World) -> None:
    """A Service may say that it is any workspace of GitLab."""
    world.table.workspaces = (replace(APPLE, name="pear"),)
    watcher = await world.open()
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == []
    assert watcher.count("denied") == 1


async def test_the_sign_in_of_its_owner_does_without_a_service_token(world: World) -> None:
    watcher = await world.open(token=False)
    token = SecretStr(world.state.add_token(world.jo))

    async def find_token() -> SecretStr:
        return token

    world.owners.learn("993", find_token)
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == ["Stopped"]
    assert watcher.events("audit.workspace_stopped")[0]["by"] == "session"


async def test_a_sign_in_of_somebody_else_stops_nothing(world: World) -> None:
    """An administrator's, who may read it."""
    watcher = await world.open(token=False)
    token = SecretStr(world.state.add_token(world.state.add_user("eve", admin=True)))

    async def find_token() -> SecretStr:
        return token

    world.owners.learn("993", find_token)
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == []


async def test_without_any_token_it_runs_on_and_that_is_said_once(world: World) -> None:
    """In the log, in a metric, and in how it stands."""
    watcher = await world.open(token=False)
    for _ in range(5):
        await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)
    standing = watcher.watch.get_standing(APPLE)

    assert world.wished == []
    (line,) = watcher.events("idle.not_stopped")
    assert line["result"] == "nobody"
    assert watcher.count("nobody") >= 1
    assert standing is not None
    assert standing.problem == "there is neither auth.service_token nor a sign-in of its owner"


async def test_a_token_that_may_only_read_is_said(world: World) -> None:
    """The scope that it lacks."""
    watcher = await world.open(scope="read_api")
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)

    assert world.wished == []
    (line,) = watcher.events("idle.not_stopped")
    assert "auth.service_token" in line["reason"]
    assert "api" in line["reason"]


async def test_a_gitlab_that_fails_is_asked_again_later_and_later(world: World) -> None:
    """Until it answers."""
    watcher = await world.open()
    world.break_gitlab()
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)
    tries = []
    for _ in range(round(4 * RETRY_MAX / RETRY_SECONDS)):
        await world.pass_time(RETRY_SECONDS, watcher)
        tries.append(watcher.count("unavailable"))
    world.break_gitlab(None)
    await world.pass_time(2 * RETRY_MAX, watcher)

    assert 5 < tries[-1] < 13
    assert world.wished == ["Stopped"]
    assert len(watcher.events("idle.not_stopped")) == 1


async def test_a_use_during_the_back_off_ends_it(world: World) -> None:
    watcher = await world.open()
    world.break_gitlab()
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)
    watcher.ledger.note("993", Use.SSH)
    world.break_gitlab(None)
    await world.pass_time(RETRY_SECONDS * 2, watcher)

    assert (world.wished, watcher.stops.get_problem("993")) == ([], "")


async def test_several_workers_that_cannot_speak_to_each_other_stop_nothing(world: World) -> None:
    """And say so once."""
    watcher = await world.open(sharing=Apart())
    await world.pass_time(TIMEOUT + GRACE_SECONDS, watcher)
    await world.pass_time(LOOK_SECONDS, watcher)

    assert world.wished == []
    assert len(watcher.events("idle.sharing_unavailable")) == 1


class Broken(Alone):
    """A fault of ours."""

    async def exchange(self, used: Collection[str], running: Collection[str]) -> Heard:
        del used, running
        raise ArithmeticError


async def test_a_fault_of_ours_does_not_end_the_watch(world: World) -> None:
    """Nor, by its task group, the gateway."""
    watcher = await world.open()
    watcher.watch._sharing = Broken()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watcher.watch.run())
        await eventually(lambda: bool(watcher.events("idle.look_failed")))
        still_runs = not running.done()
        running.cancel()

    assert still_runs


# Several gateways on one Redis


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with run_redis() as server:
        yield server


@asynccontextmanager
async def open_shared(server: RedisServer) -> AsyncIterator[RedisSharing]:
    async with open_redis_sharing(SessionSettings(store=server.url)) as sharing:
        yield sharing


async def open_pair(world: World, redis: RedisServer) -> tuple[Watcher, Watcher]:
    """Two gateways that share."""
    one = await world.open(sharing=await world.stack.enter_async_context(open_shared(redis)))
    return one, await world.open(sharing=await world.stack.enter_async_context(open_shared(redis)))


async def test_only_one_of_two_gateways_acts(world: World, redis: RedisServer) -> None:
    one, other = await open_pair(world, redis)
    world.clock.now += TIMEOUT + GRACE_SECONDS
    async with asyncio.TaskGroup() as group:
        for watcher in (one, other):
            group.create_task(watcher.look())

    assert world.wished == ["Stopped"]
    assert one.count("stopped") + other.count("stopped") == 1


async def test_a_workspace_that_one_gateway_stopped_begins_anew_at_the_other(world: World, redis: RedisServer) -> None:
    """Where its state is unknown, nobody could see that it stopped: started again, it has its whole time."""
    world.table.workspaces = (replace(APPLE, state=WorkspaceState.UNKNOWN),)
    one, other = await open_pair(world, redis)
    await world.pass_time(TIMEOUT + GRACE_SECONDS, one)
    await one.look()
    await other.look()

    assert world.wished == ["Stopped"]
    assert [one.ledger.idle("993"), other.ledger.idle("993")] == [0, 0]


async def test_an_owner_who_signs_in_is_noticed_soon(world: World) -> None:
    """However long nobody could stop it."""
    watcher = await world.open(token=False)
    for _ in range(20):
        await world.pass_time(TIMEOUT, watcher)
    token = SecretStr(world.state.add_token(world.jo))

    async def find_token() -> SecretStr:
        return token

    world.owners.learn("993", find_token)
    await world.pass_time(RETRY_SECONDS, watcher)

    assert world.wished == ["Stopped"]


async def test_what_one_gateway_sees_counts_at_the_other(world: World, redis: RedisServer) -> None:
    """From when it is heard, whatever the clocks of both say."""
    one, other = await open_pair(world, redis)
    await world.pass_time(TIMEOUT - 60, one, other)
    other.ledger.note("993", Use.SSH)
    await other.look()
    await world.pass_time(120 + GRACE_SECONDS, one)

    assert world.wished == []
    last = one.ledger.get("993")
    assert last is not None
    assert last.use is Use.ELSEWHERE


async def test_a_use_at_another_gateway_while_gitlab_is_asked_cancels_it(world: World, redis: RedisServer) -> None:
    """What is about to be stopped is told of at once."""
    one, other = await open_pair(world, redis)
    gate = world.gitlab.switches[Endpoint.GRAPHQL].gate = asyncio.Event()
    world.clock.now += TIMEOUT + GRACE_SECONDS
    await one.watch.look()
    other.ledger.note("993", Use.REQUEST)
    await other.watch.look()
    gate.set()
    await one.stops.wait_done()

    assert world.wished == []


async def test_a_use_of_what_is_about_to_be_stopped_is_told_at_once(world: World, redis: RedisServer) -> None:
    """Not at the next look."""
    one, other = await open_pair(world, redis)
    await world.pass_time(TIMEOUT - 1, one, other)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(other.watch.run())
        await asyncio.sleep(0)
        other.ledger.note("993", Use.REQUEST)
        async with asyncio.timeout(LOOK_SECONDS - 5):
            while one.ledger.idle("993"):
                await one.watch.look()
                await asyncio.sleep(0.05)
        running.cancel()

    assert one.ledger.ending == set()


async def test_while_redis_is_away_nothing_is_stopped(world: World, redis: RedisServer) -> None:
    """Nobody knows what the others see; when it is back, what was seen meanwhile is told."""
    one, other = await open_pair(world, redis)
    await redis.stop()
    await world.pass_time(TIMEOUT / 2, one, other)
    other.ledger.note("993", Use.SSH)
    await world.pass_time(TIMEOUT / 2 + GRACE_SECONDS, one, other)
    during = list(world.wished)
    await redis.start()
    await other.look()
    await one.look()
    await one.look()

    assert (during, world.wished) == ([], [])
    assert len(one.events("idle.sharing_unavailable")) == 1


async def test_a_gateway_that_starts_later_goes_on_counting(world: World, redis: RedisServer) -> None:
    """But gives the time of a warning in any case."""
    one = await world.open(sharing=await world.stack.enter_async_context(open_shared(redis)))
    await world.pass_time(TIMEOUT / 2, one)
    await redis_forgets_who_wrote(redis)
    await one.look()
    late = await world.open(sharing=await world.stack.enter_async_context(open_shared(redis)))

    assert late.ledger.idle("993") == TIMEOUT / 2


async def redis_forgets_who_wrote(redis: RedisServer) -> None:
    """As it does a minute later."""
    async with open_shared(redis) as sharing:
        await sharing._redis.delete("workspaces-gateway:idle:remembering")


async def wait_turn(sharing: RedisSharing) -> None:
    while True:
        if await sharing.take_turn("993", TURN_SECONDS):
            return
        await asyncio.sleep(0.05)


async def test_a_turn_ends_by_itself(redis: RedisServer) -> None:
    """A gateway that dies in it holds nobody up for ever."""
    async with open_shared(redis) as one, open_shared(redis) as other:
        taken = await one.take_turn("993", 0.2)
        refused = await other.take_turn("993", TURN_SECONDS)
        async with asyncio.timeout(10):
            await wait_turn(other)

    assert (taken, refused) == (True, False)


async def test_what_does_not_run_any_more_leaves_nothing_in_redis(world: World, redis: RedisServer) -> None:
    sharing = await world.stack.enter_async_context(open_shared(redis))
    one = await world.open(sharing=sharing)
    one.ledger.note("993", Use.SSH)
    await one.look()
    kept = await sharing._redis.hlen("workspaces-gateway:idle:used")
    world.table.workspaces = ()
    await one.look()

    assert kept == 1
    assert await sharing._redis.hlen("workspaces-gateway:idle:used") == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_second_service_of_the_same_number_neither_keeps_it_running_nor_has_it_stopped_sooner(
    world: World,
    is_first: bool,  # noqa: FBT001 - of the table above
) -> None:
    """Whoever may write a Service beside it could do both, and GitLab itself may give it another one."""
    other = replace(APPLE, name="pear", uid="uid-pear", idle_timeout="1m")
    world.table.workspaces = (other, APPLE) if is_first else (APPLE, other)
    watcher = await world.open()
    await world.pass_time(TIMEOUT - WARNING - 1, watcher)
    early = list(watcher.told)
    await world.pass_time(WARNING + 1, watcher)
    await world.pass_time(GRACE_SECONDS, watcher)

    assert (early, world.wished) == ([], ["Stopped"])
