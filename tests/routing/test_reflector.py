"""List and watch against an API server that does what a real one does once a year."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from routing.cluster import Cluster
from routing.cluster_api import (
    ClusterApi,
    ClusterAway,
    ClusterFault,
    ClusterRefused,
    Expired,
    Forbidden,
    Manifest,
    Resource,
)
from routing.discovery import RoutingRules
from routing.model import Batch, Refusal
from routing.portions import STEP
from routing.reflector import FIRST_DELAY, JITTER, WatchState, WatchStatus
from routing.table import RouteTable
from tests.kubernetes.objects import service

Event = tuple[str, Manifest]


def known(name: str, version: int, **changes: Any) -> Manifest:
    """A Service as the server tells of it."""
    made = service(name, "ns", workspace_id=str(sum(name.encode())), **changes)
    made["metadata"] |= {
        "uid": f"uid-{name}",
        "creationTimestamp": "2026-11-27T22:14:55Z",
        "resourceVersion": str(version),
    }
    made["spec"]["clusterIP"] = "10.96.0.7"
    return made


def bookmark(version: int) -> Event:
    return "BOOKMARK", {"metadata": {"resourceVersion": str(version)}}


@dataclass(frozen=True)
class Part:
    """A page after which others come."""

    items: list[Manifest]


@dataclass
class Script(ClusterApi):
    """An API server of Services that gives the answers of a test, one after the other, and then only waits."""

    pages: Sequence[list[Manifest] | Part | ClusterFault] = ()
    watches: Sequence[Iterable[Event] | ClusterFault] = ()
    asked: list[str] = field(default_factory=list)

    async def list_page(self, resource: Resource, namespace: str, limit: int, token: str) -> Manifest:
        del namespace, limit
        if resource.plural != "services":
            raise Forbidden(403, "no slices")
        self.asked.append(f"list {token}".strip())
        page, *self.pages = self.pages
        if isinstance(page, ClusterFault):
            raise page
        metadata = {"resourceVersion": "10"}
        if isinstance(page, Part):
            return {"metadata": metadata | {"continue": "more"}, "items": page.items}
        return {"metadata": metadata, "items": page}

    async def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[list[Manifest]]:
        del resource, namespace
        self.asked.append(f"watch {version}")
        if not self.watches:
            await asyncio.Event().wait()
        events, *self.watches = self.watches
        if isinstance(events, ClusterFault):
            raise events
        yield []
        yield [{"type": kind, "object": told} for kind, told in events]

    async def get_service(self, namespace: str, name: str) -> Manifest:
        raise NotImplementedError

    async def patch_service(self, namespace: str, name: str, patch: Manifest) -> Manifest:
        raise NotImplementedError


@dataclass
class Followed:
    """The table that follows a script, and what was told on the way."""

    table: RouteTable = field(default_factory=RouteTable)
    batches: list[Batch] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    told: list[WatchStatus] = field(default_factory=list)
    stir: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, batch: Batch, refusals: tuple[Refusal, ...]) -> None:
        self.table.apply(batch)
        self.batches.append(batch)
        self.refusals += refusals
        self.stir.set()

    def tell(self, status: WatchStatus) -> None:
        self.told.append(status)
        self.stir.set()

    async def wait_for(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                self.stir.clear()
                await self.stir.wait()

    @property
    def names(self) -> list[str]:
        return sorted(workspace.name for workspace in self.table.workspaces)


@asynccontextmanager
async def follow(script: Script) -> AsyncIterator[Followed]:
    followed = Followed()
    cluster = Cluster(script, RoutingRules("portal.dev"), (), write=followed.write, tell=followed.tell)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(cluster.follow())
        try:
            yield followed
        finally:
            task.cancel()


async def test_events_that_are_late_or_told_twice_change_nothing() -> None:
    """Also one about a Service that has been deleted since."""
    events = [
        ("ADDED", known("pear", 11)),
        ("DELETED", known("apple", 12)),
        ("DELETED", known("apple", 12)),
        ("MODIFIED", known("apple", 9)),
        ("ADDED", known("pear", 11, ports=(8080,))),
        ("ADDED", known("plum", 13)),
    ]
    async with follow(Script(pages=[[known("apple", 5)]], watches=[events])) as followed:
        await followed.wait_for(lambda: "plum" in followed.names)

        assert followed.names == ["pear", "plum"]
        assert followed.table.get_route("3000-pear.ws.example.dev") is not None


async def test_a_watch_goes_on_from_the_last_bookmark() -> None:
    """The server ends it every few minutes, and nothing is listed again."""
    script = Script(pages=[[known("apple", 5)]], watches=[[bookmark(40)], [("ADDED", known("pear", 50))]])
    async with follow(script) as followed:
        await followed.wait_for(lambda: "pear" in followed.names)

    assert script.asked[:3] == ["list", "watch 10", "watch 40"]


async def test_an_old_version_is_listed_again_and_replaces_everything() -> None:
    """Whether the server says so at once, or in the middle of a watch."""
    expired = Expired(410, "too old")
    script = Script(pages=[[known("apple", 5)], [known("pear", 20)], [known("plum", 30)]], watches=[expired, expired])
    async with follow(script) as followed:
        await followed.wait_for(lambda: followed.names == ["plum"])


async def test_a_list_whose_token_grew_too_old_begins_again() -> None:
    """What was read of the first is written, and nothing vanishes by it."""
    apple, pear = known("apple", 5), known("pear", 6)
    script = Script(pages=[Part([apple]), Expired(410, "token"), Part([apple]), [pear]])
    async with follow(script) as followed:
        await followed.wait_for(lambda: followed.names == ["apple", "pear"])

    assert script.asked[:4] == ["list", "list more", "list", "list more"]


async def test_what_moves_to_another_service_between_two_lists_is_no_conflict() -> None:
    """What is gone goes first."""
    old, new = known("apple", 5), known("apple", 20)
    new["metadata"] |= {"namespace": "other", "uid": "uid-other", "creationTimestamp": "2026-11-28T22:14:55Z"}
    script = Script(pages=[[old], [new]], watches=[Expired(410, "too old")])
    async with follow(script) as followed:
        await followed.wait_for(lambda: [each.namespace for each in followed.table.workspaces] == ["other"])

        assert followed.table.contested == 0


async def test_a_server_that_refuses_for_a_moment_is_no_missing_right() -> None:
    """One that has just started does, until it has read its roles."""
    refused = Forbidden(403, "not yet")
    async with follow(Script(pages=[refused, refused, [known("apple", 5)]])) as followed:
        await followed.wait_for(lambda: followed.table.synced)

    states = [status.state for status in followed.told if status.resource == "services"]
    assert states == [WatchState.AWAY, WatchState.LIVE]


@pytest.mark.parametrize(
    "fault", [ClusterAway("garbled"), ClusterRefused(500, "oops"), ClusterRefused(429, "slow", 0.1)]
)
async def test_every_fault_is_told_and_tried_again(fault: ClusterAway | ClusterRefused) -> None:
    """With its reason, and after a while that grows."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with follow(Script(pages=[fault, [known("apple", 5)]])) as followed:
        await followed.wait_for(lambda: followed.table.synced)

    assert followed.told[0].reason == str(fault)
    assert loop.time() - began >= max(FIRST_DELAY, fault.retry_after) * (1 - JITTER)


async def test_a_service_that_cannot_be_understood_hurts_nobody_else() -> None:
    """Whatever an API server lets in; it is told once."""
    broken = known("pear", 6)
    broken["spec"]["ports"] = [{"name": "web"}]
    watches: list[Iterable[Event] | ClusterRefused | ClusterAway] = [
        [("MODIFIED", broken | {}), ("ADDED", known("plum", 12))]
    ]
    async with follow(Script(pages=[[known("apple", 5), broken]], watches=watches)) as followed:
        await followed.wait_for(lambda: "plum" in followed.names)

        assert followed.names == ["apple", "plum"]
        assert [refusal.key for refusal in followed.refusals] == ["ns/pear"]


@pytest.mark.parametrize("told", [{}, {"metadata": {}}, {"metadata": None}])
async def test_an_answer_that_is_no_object_ends_the_watch_alone(told: Manifest) -> None:
    """What came before it counts, and the watch goes on from there."""
    events = [("ADDED", known("pear", 11)), ("ADDED", told)]
    script = Script(pages=[[known("apple", 5)]], watches=[events, [("ADDED", known("plum", 12))]])
    async with follow(script) as followed:
        await followed.wait_for(lambda: followed.names == ["apple", "pear", "plum"])

    assert script.asked[:3] == ["list", "watch 10", "watch 11"]


async def test_a_long_list_is_written_in_steps() -> None:
    """So that nobody waits for the whole of it."""
    items = [known(f"apple{number}", 5) for number in range(3 * STEP)]
    for number, item in enumerate(items):
        item["metadata"]["annotations"]["workspaces.gitlab.com/id"] = str(number + 1)
    async with follow(Script(pages=[items])) as followed:
        await followed.wait_for(lambda: followed.table.synced)

        assert len(followed.names) == 3 * STEP
        assert max(len(batch.changed) for batch in followed.batches) == STEP
