"""Whether the workspaces of a cluster can be seen, as the check says it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import AuthSettings, Settings
from gateway.check.routes import look_at_routes
from gateway.check.site import Site
from gateway.localhost import LocalhostResolver
from tests.kubernetes.clusters import Rights, StandInCluster, open_stand_in_cluster
from tests.kubernetes.objects import endpoint_slice, service


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[StandInCluster]:
    """Two workspaces in two namespaces."""
    async with open_stand_in_cluster(tmp_path) as opened:
        await opened.apply(service("apple", "a", workspace_id="1"), endpoint_slice("apple", "a"))
        await opened.apply(service("pear", "b", workspace_id="2"))
        yield opened


async def site(cluster: StandInCluster, rights: Rights, *namespaces: str) -> Site:
    """A gateway with these rights that watches these namespaces."""
    auth = AuthSettings(host="https://gitlab.test", redirect_uri="https://portal.ws.example.dev/auth/callback")
    kubeconfig = await cluster.connect(rights)
    return Site(Settings(auth=auth, kubeconfig=kubeconfig, watch_namespaces=namespaces), LocalhostResolver())


async def test_what_is_there_is_counted_and_known_to_the_steps_after_it(cluster: StandInCluster) -> None:
    """With the state of each."""
    looked = await site(cluster, Rights())
    found = await look_at_routes(looked)

    assert (found.status, found.detail, found.advice) == ("ok", "2 workspaces with 2 hosts", "")
    apple = looked.table.get_workspace("apple")
    assert apple is not None
    assert apple.state == "stopped"


async def test_a_forbidden_namespace_is_a_fault_and_the_others_count(cluster: StandInCluster) -> None:
    """With the right that is lacking."""
    found = await look_at_routes(await site(cluster, Rights(namespaces=("a",)), "a", "b"))

    assert found.status == "fault"
    assert found.detail.startswith("1 workspaces with 1 hosts; b: 403: services is forbidden")
    assert "list and watch on services" in found.advice


async def test_without_endpoint_slices_it_says_what_they_would_be_good_for(cluster: StandInCluster) -> None:
    """No fault: a gateway works without them."""
    found = await look_at_routes(await site(cluster, Rights(slices=False)))

    assert found.status == "ok"
    assert "endpointslices" in found.advice


async def test_a_refused_service_is_named(cluster: StandInCluster) -> None:
    """And why."""
    hostile = service("plum", "b", workspace_id="3")
    hostile["spec"]["clusterIP"] = "None"
    await cluster.apply(hostile)
    found = await look_at_routes(await site(cluster, Rights()))

    assert found.status == "fault"
    assert "b/plum: a headless Service has no address to dial" in found.detail


async def test_an_api_server_that_is_away_is_a_fault(cluster: StandInCluster) -> None:
    """With its address."""
    looked = await site(cluster, Rights())
    await cluster.stop()
    found = await look_at_routes(looked)

    assert found.status == "fault"
    assert f"http://127.0.0.1:{cluster.server.port}" in found.detail


async def test_no_cluster_at_all_is_a_fault() -> None:
    """It says what to set."""
    settings = Settings(auth=AuthSettings(host="https://gitlab.test"))
    found = await look_at_routes(Site(settings, LocalhostResolver()))

    assert found.status == "fault"
    assert "set routing.file" in found.detail
