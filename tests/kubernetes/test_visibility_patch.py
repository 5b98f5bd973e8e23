"""What an owner declares about a port is kept in the annotation of the Service, beside everybody else's changes."""

import asyncio
import json
from collections.abc import Callable

import pytest

from routing.visibility_annotation import ANNOTATION
from routing.visibility_store import VisibilityNotAllowed, VisibilityNotStored
from tests.kubernetes.clusters import ClusterUnderTest, Rights
from tests.kubernetes.follower import Follower, follow
from tests.kubernetes.objects import Object, service

Name = Callable[[str], str]


def declared(manifest: Object) -> object:
    return json.loads(manifest["metadata"]["annotations"][ANNOTATION])


def level(follower: Follower, port: int, name: str) -> str:
    route = follower.route(port, name)
    return route.declared if route else ""


async def test_it_is_written_to_the_service_and_all_replicas_follow(cluster: ClusterUnderTest, name: Name) -> None:
    """The cluster is the database."""
    apple = service(name("apple"), name("ns"), workspace_id="993", ports=(3000, 8080))
    await cluster.apply(apple)
    kubeconfig = await cluster.connect(Rights())
    async with follow(kubeconfig) as follower, follow(kubeconfig) as other:
        await other.find_workspace(name("apple"))
        await follower.declare(name("apple"), 3000, "public")

        assert level(follower, 3000, name("apple")) == "public"
        await other.wait_for(lambda: level(other, 3000, name("apple")) == "public")
        assert level(other, 8080, name("apple")) == "private"
        assert declared(await cluster.read(apple)) == {"3000": "public"}


async def test_two_replicas_at_once_undo_nothing(cluster: ClusterUnderTest, name: Name) -> None:
    """Each writes what it read, and tries again where the other was faster."""
    ports = tuple(range(3000, 3004))
    apple = service(name("apple"), name("ns"), workspace_id="993", ports=ports)
    await cluster.apply(apple)
    kubeconfig = await cluster.connect(Rights())
    async with follow(kubeconfig) as one, follow(kubeconfig) as other:
        wishes = zip(ports, (one, other, one, other), strict=True)
        await asyncio.gather(*(replica.declare(name("apple"), port, "public") for port, replica in wishes))

        assert declared(await cluster.read(apple)) == {str(port): "public" for port in ports}


async def test_a_missing_right_is_told_as_one(cluster: ClusterUnderTest, name: Name) -> None:
    """Nothing is changed."""
    apple = service(name("apple"), name("ns"), workspace_id="993")
    await cluster.apply(apple)
    async with follow(await cluster.connect(Rights(visibility=False))) as follower:
        with pytest.raises(VisibilityNotAllowed, match="grant the verbs get and patch on services"):
            await follower.declare(name("apple"), 3000, "public")

    assert ANNOTATION not in (await cluster.read(apple))["metadata"]["annotations"]


async def test_a_service_that_is_gone_keeps_nothing(cluster: ClusterUnderTest, name: Name) -> None:
    """Nor does another one under its name, or one without an API server."""
    apple = service(name("apple"), name("ns"), workspace_id="993")
    await cluster.apply(apple)
    async with follow(await cluster.connect(Rights())) as follower:
        workspace = await follower.find_workspace(name("apple"))
        assert follower.visibility is not None
        await cluster.delete(apple)
        with pytest.raises(VisibilityNotStored, match="404"):
            await follower.visibility.declare(workspace, 3000, "public")
        await cluster.apply(apple)
        with pytest.raises(VisibilityNotStored, match="made anew"):
            await follower.visibility.declare(workspace, 3000, "public")
        await cluster.stop()
        with pytest.raises(VisibilityNotStored):
            await follower.visibility.declare(workspace, 3000, "public")
        await cluster.start()

    assert ANNOTATION not in (await cluster.read(apple))["metadata"]["annotations"]
