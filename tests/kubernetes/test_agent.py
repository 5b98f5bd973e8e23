"""What GitLab's agent does every hour, with kubectl in its place: it writes each object again, and ours must stay.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from routing.visibility_annotation import ANNOTATION
from tests.kubernetes.clusters import Rights
from tests.kubernetes.follower import follow
from tests.kubernetes.objects import service
from tests.kubernetes.real import RealCluster, RealServer, open_real_cluster

Name = Callable[[str], str]


@pytest.fixture
async def real_cluster(real_server: RealServer, tmp_path: Path) -> AsyncIterator[RealCluster]:
    async with open_real_cluster(real_server, tmp_path) as cluster:
        yield cluster


@pytest.mark.parametrize("flags", ["", "--server-side --field-manager=agentk", "--server-side --force-conflicts"])
async def test_the_agent_leaves_what_owners_declared(real_cluster: RealCluster, name: Name, flags: str) -> None:
    """Whether it applies on its own side or on the server's, and whatever else it changes."""
    apple = service(name("apple"), name("ns"), workspace_id="993")
    await real_cluster.apply(apple)
    await real_cluster.kubectl("apply", *flags.split(), "--filename=-", told=yaml.safe_dump(apple))
    async with follow(await real_cluster.connect(Rights())) as follower:
        await follower.declare(name("apple"), 3000, "public")
        again = service(name("apple"), name("ns"), workspace_id="993", ports=(3000, 8080), annotations={"team": "blue"})
        await real_cluster.kubectl("apply", *flags.split(), "--filename=-", told=yaml.safe_dump(again))
        await follower.wait_for(lambda: follower.route(8080, name("apple")))

        route = follower.route(3000, name("apple"))
        assert route is not None
        assert route.declared == "public"
    annotations = (await real_cluster.read(apple))["metadata"]["annotations"]
    assert (json.loads(annotations[ANNOTATION]), annotations["team"]) == ({"3000": "public"}, "blue")


async def test_the_annotation_is_a_field_of_the_gateway(real_cluster: RealCluster, name: Name) -> None:
    """So that an agent that applies on the server's side does not take it for its own."""
    apple = service(name("apple"), name("ns"), workspace_id="993")
    await real_cluster.apply(apple)
    async with follow(await real_cluster.connect(Rights())) as follower:
        await follower.declare(name("apple"), 3000, "public")

    kind, place = "service", f"--namespace={name('ns')}"
    told = await real_cluster.kubectl("get", kind, name("apple"), place, "--output=json", "--show-managed-fields")
    owned = {entry["manager"]: entry["fieldsV1"] for entry in json.loads(told)["metadata"]["managedFields"]}
    assert owned["workspaces-gateway"] == {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}
