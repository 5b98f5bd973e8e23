"""The route table follows the Services of a cluster, whatever becomes of the watch, the rights and the API server."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from routing.cluster_api import SERVICES, Expired
from routing.kubernetes import open_cluster
from routing.model import WorkspaceState
from routing.reflector import WatchState
from tests.kubernetes.clusters import ClusterUnderTest, Rights
from tests.kubernetes.follower import Follower, follow
from tests.kubernetes.link import open_link
from tests.kubernetes.objects import AGENT, ZONE, endpoint_slice, service

Name = Callable[[str], str]


async def test_services_become_routes(cluster: ClusterUnderTest, name: Name) -> None:
    """With what the server itself added: the cluster's address, the identity, the time."""
    apple = service(name("apple"), name("ns"), workspace_id="993", ports=(3000, 8080))
    await cluster.apply(apple)
    async with follow(await cluster.connect(Rights())) as follower:
        await follower.wait_synced()
        held = await cluster.read(apple)

        route = follower.route(3000, name("apple"))
        assert route is not None
        assert (route.upstream.address, route.upstream.port) == (held["spec"]["clusterIP"], 3000)
        assert route.workspace.uid == f"{held['metadata']['uid']}.993"
        assert route.workspace.ssh is not None
        assert follower.route(8080, name("apple")) is not None
        assert follower.refusals == []


async def test_changes_are_followed(cluster: ClusterUnderTest, name: Name) -> None:
    """A new Service, a removed port, another zone, a deleted Service."""
    async with follow(await cluster.connect(Rights())) as follower:
        await follower.wait_synced()
        apple = service(name("apple"), name("ns"), workspace_id="993", ports=(3000, 8080))
        await cluster.apply(apple)
        await follower.wait_for(lambda: follower.route(8080, name("apple")))

        await cluster.apply(service(name("apple"), name("ns"), workspace_id="993", ports=(3000,)))
        await follower.wait_for(lambda: not follower.route(8080, name("apple")))
        assert follower.route(3000, name("apple")) is not None

        await cluster.apply(service(name("apple"), name("ns"), workspace_id="993", zone="other.dev"))
        await follower.wait_for(lambda: follower.table.get_route(f"3000-{name('apple')}.other.dev"))
        assert follower.route(3000, name("apple")) is None

        workspace = await follower.find_workspace(name("apple"))
        await cluster.delete(apple)
        await follower.wait_for(lambda: not follower.table.get_workspace(name("apple")))
        assert follower.ended == [workspace.uid]


async def test_a_service_that_loses_its_label_is_no_workspace_any_more(cluster: ClusterUnderTest, name: Name) -> None:
    """The server tells it as a deletion."""
    async with follow(await cluster.connect(Rights())) as follower:
        apple = service(name("apple"), name("ns"), workspace_id="993")
        await cluster.apply(apple)
        await follower.find_workspace(name("apple"))
        del apple["metadata"]["labels"][AGENT]
        await cluster.apply(apple)

        await follower.wait_for(lambda: not follower.table.get_workspace(name("apple")))


async def test_a_recreated_service_is_another_workspace(cluster: ClusterUnderTest, name: Name) -> None:
    """Under the same name: what was open to the old one is told to end."""
    apple = service(name("apple"), name("ns"), workspace_id="993")
    await cluster.apply(apple)
    async with follow(await cluster.connect(Rights())) as follower:
        before = await follower.find_workspace(name("apple"))
        await cluster.delete(apple)
        await cluster.apply(apple)
        await follower.wait_for(lambda: follower.table.get_workspace(name("apple")) not in (None, before))

        after = await follower.find_workspace(name("apple"))
        assert after.uid != before.uid
        assert follower.ended == [before.uid]


async def test_a_list_comes_in_pages(cluster: ClusterUnderTest, name: Name) -> None:
    """Each Service once; a page that is asked for too late is expired."""
    services = [service(name(f"apple{number}"), name("ns"), workspace_id=f"{number}") for number in range(1, 6)]
    await cluster.apply(*services)
    async with open_cluster(await cluster.connect(Rights())) as api:
        first = await api.list_page(SERVICES, name("ns"), 2, "")
        pages, token = [first], first["metadata"]["continue"]
        while token:
            pages.append(await api.list_page(SERVICES, name("ns"), 2, token))
            token = pages[-1]["metadata"].get("continue", "")
        assert [len(page["items"]) for page in pages] == [2, 2, 1]
        names = [item["metadata"]["name"] for page in pages for item in page["items"]]
        assert names == [item["metadata"]["name"] for item in services]

        await cluster.apply(service(name("pear"), name("ns"), workspace_id="7"))
        await cluster.forget()
        await cluster.stop()  # a real one may have kept it in its memory
        await cluster.start()
        with pytest.raises(Expired):
            await api.list_page(SERVICES, name("ns"), 2, first["metadata"]["continue"])


async def test_the_routes_stay_while_the_api_server_is_away(cluster: ClusterUnderTest, name: Name) -> None:
    """And what changes afterwards is followed again, without anybody's help."""
    await cluster.apply(service(name("apple"), name("ns"), workspace_id="993"))
    async with follow(await cluster.connect(Rights())) as follower:
        await follower.find_workspace(name("apple"))
        await cluster.stop()
        await follower.wait_state(WatchState.AWAY)
        assert follower.route(3000, name("apple")) is not None

        await cluster.start()
        await cluster.apply(service(name("pear"), name("ns"), workspace_id="994"))
        await follower.find_workspace(name("pear"))
        assert follower.ended == []
        assert follower.route(3000, name("apple")) is not None


async def test_what_the_server_has_forgotten_is_listed_again(cluster: ClusterUnderTest, name: Name) -> None:
    """Changes that no watch can tell any more (410 Gone), a deletion among them: a new list replaces everything."""
    apple, pear = (
        service(name("apple"), name("ns"), workspace_id="1"),
        service(name("pear"), name("ns"), workspace_id="2"),
    )
    await cluster.apply(apple, pear)
    async with (
        open_link(await cluster.connect(Rights())) as (link, kubeconfig),
        open_cluster(kubeconfig) as api,
        follow(kubeconfig) as follower,
    ):
        gone, stays = await follower.find_workspace(name("apple")), await follower.find_workspace(name("pear"))
        version = (await api.list_page(SERVICES, "", 500, ""))["metadata"]["resourceVersion"]
        link.cut()
        await follower.wait_state(WatchState.AWAY)
        await cluster.delete(apple)
        await cluster.apply(service(name("plum"), name("ns"), workspace_id="3"))
        await cluster.forget()
        await cluster.stop()
        await cluster.start()
        link.mend()

        with pytest.raises(Expired):
            async for _ in api.watch(SERVICES, "", version):
                pass
        await follower.find_workspace(name("plum"))
        assert follower.table.get_workspace(name("apple")) is None
        assert follower.table.get_workspace(name("pear")) == stays
        assert follower.ended == [gone.uid]


async def test_a_gateway_may_start_before_its_api_server(cluster: ClusterUnderTest, name: Name) -> None:
    """It knows nothing until then, and everything afterwards."""
    await cluster.apply(service(name("apple"), name("ns"), workspace_id="993"))
    kubeconfig = await cluster.connect(Rights())
    await cluster.stop()
    async with follow(kubeconfig) as follower:
        await follower.wait_state(WatchState.AWAY)
        assert not follower.table.synced

        await cluster.start()
        await follower.find_workspace(name("apple"))


async def test_a_forbidden_namespace_leaves_the_others_alone(cluster: ClusterUnderTest, name: Name) -> None:
    """It is told with the right that is lacking."""
    mine, other = name("mine"), name("other")
    await cluster.apply(service(name("apple"), mine, workspace_id="1"), service(name("pear"), other, workspace_id="2"))
    async with follow(await cluster.connect(Rights(namespaces=(mine,))), (mine, other)) as follower:
        await follower.find_workspace(name("apple"))
        status = await follower.wait_state(WatchState.FORBIDDEN)

        assert status.namespace == other
        assert 'cannot list resource "services"' in status.reason
        assert follower.table.get_workspace(name("pear")) is None
        await cluster.apply(service(name("plum"), mine, workspace_id="3"))
        await follower.find_workspace(name("plum"))


async def test_without_any_right_nothing_is_known(cluster: ClusterUnderTest, name: Name) -> None:
    """And a gateway that knows nothing is not ready, because all would be told that their workspace does not exist."""
    mine = name("mine")
    async with follow(await cluster.connect(Rights(namespaces=(mine,)))) as follower:
        status = await follower.wait_state(WatchState.FORBIDDEN)

        assert "at the cluster scope" in status.reason
        assert not follower.table.synced


async def test_endpoint_slices_tell_the_state(cluster: ClusterUnderTest, name: Name) -> None:
    """No pod, a pod that is not ready, a pod that is; and nothing without a slice."""
    apple, namespace = name("apple"), name("ns")
    await cluster.apply(service(apple, namespace, workspace_id="993"))
    async with follow(await cluster.connect(Rights())) as follower:
        assert (await follower.find_workspace(apple)).state is WorkspaceState.UNKNOWN
        for ready, state in (((), "stopped"), ((False,), "starting"), ((False, True), "running")):
            await cluster.apply(endpoint_slice(apple, namespace, *ready))
            await follower.wait_for(partial(_has_state, follower, apple, state))
        route = follower.route(3000, apple)
        assert route is not None
        assert route.workspace.state is WorkspaceState.RUNNING
        assert follower.ended == []

        await cluster.delete(endpoint_slice(apple, namespace))
        await follower.wait_for(partial(_has_state, follower, apple, "unknown"))


async def test_routes_work_without_the_right_to_read_endpoint_slices(cluster: ClusterUnderTest, name: Name) -> None:
    """The state is then unknown, and that is all."""
    apple, namespace = name("apple"), name("ns")
    await cluster.apply(service(apple, namespace, workspace_id="993"), endpoint_slice(apple, namespace))
    async with follow(await cluster.connect(Rights(slices=False))) as follower:
        await follower.wait_state(WatchState.FORBIDDEN, "endpointslices")

        assert (await follower.find_workspace(apple)).state is WorkspaceState.UNKNOWN


async def test_another_tenant_cannot_take_what_is_held(cluster: ClusterUnderTest, name: Name) -> None:
    """Neither the name nor the hosts nor the id of a workspace."""
    victim = service(name("apple"), name("victim"), workspace_id="993")
    await cluster.apply(victim)
    async with follow(await cluster.connect(Rights())) as follower:
        held = await follower.find_workspace(name("apple"))
        await asyncio.sleep(1.1)  # a creation time has whole seconds, and of two alike the uid would decide
        await cluster.apply(
            service(name("apple"), name("thief"), workspace_id="994"),
            service(name("pear"), name("thief"), workspace_id="993"),
        )
        await follower.wait_for(lambda: len(follower.conflicts) >= 3)

        assert follower.table.get_workspace(name("apple")) == held
        route = follower.route(3000, name("apple"))
        assert route is not None
        assert route.workspace == held
        assert follower.route(3000, name("pear")) is None
        assert {conflict.name.partition(":")[0] for conflict in follower.conflicts} == {"host", "workspace", "id"}


async def test_hosts_outside_the_zones_are_refused(cluster: ClusterUnderTest, name: Name) -> None:
    """The portal's own among them."""
    await cluster.apply(
        service(name("apple"), name("ns"), workspace_id="1", zone="elsewhere.dev"),
        service(
            name("pear"),
            name("ns"),
            workspace_id="2",
            annotations={"workspaces.gitlab.com/host-template": f"portal.{ZONE}"},
        ),
    )
    async with follow(await cluster.connect(Rights()), zones=(ZONE,)) as follower:
        await follower.wait_synced()
        await follower.find_workspace(name("apple"))

        assert len(follower.table) == 0
        reasons = "\n".join(refusal.reason for refusal in follower.refusals)
        assert "lies outside routing.zones" in reasons
        assert "the portal's own host" in reasons


def _has_state(follower: Follower, name: str, state: str) -> bool:
    workspace = follower.table.get_workspace(name)
    return workspace is not None and workspace.state == state
