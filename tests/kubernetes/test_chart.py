"""The chart in a real cluster: the API server takes its objects, and it follows GitLab's chart in place."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from tests.helm.engine import NAMESPACE, RELEASE, VALUES, Helm, Object, find, open_helm, read_values, values_files
from tests.kubernetes.real import RealCluster, RealServer, open_real_cluster

PREDECESSOR = Path(__file__).parent / "predecessor"
ELSEWHERE = {"ServiceMonitor", "PrometheusRule", "HTTPRoute", "TCPRoute"}  # kinds that others bring into a cluster
IMAGE = {"image": {"repository": "registry.example.com/workspaces-gateway"}}


@pytest.fixture(scope="module")
def helm() -> Iterator[Helm]:
    with open_helm() as opened:
        yield opened


@pytest.fixture
async def cluster(real_server: RealServer, tmp_path: Path) -> AsyncIterator[RealCluster]:
    async with open_real_cluster(real_server, tmp_path) as opened:
        for namespace in (NAMESPACE, "team-a", "team-b"):
            await opened.make_namespace(namespace)
        yield opened


async def read(cluster: RealCluster, kind: str, name: str = RELEASE) -> Object:
    told = await cluster.kubectl("get", kind, name, f"--namespace={NAMESPACE}", "--output=json")
    found: Object = json.loads(told)
    return found


async def names(cluster: RealCluster) -> set[str]:
    kinds = "deployment,service,configmap,serviceaccount,poddisruptionbudget,ingress"
    return set((await cluster.kubectl("get", kinds, f"--namespace={NAMESPACE}", "--output=name")).split())


@pytest.mark.parametrize("file", values_files(), ids=lambda file: file.stem)
async def test_the_api_server_takes_every_object(helm: Helm, cluster: RealCluster, file: Path) -> None:
    """Of every row of the table, without an unknown field."""
    objects = [made for made in helm.template(read_values(file)) if made["kind"] not in ELSEWHERE]
    flags = ("--dry-run=server", "--validate=strict", f"--namespace={NAMESPACE}", "--filename=-")
    for place in {made["metadata"].get("namespace", "") for made in objects}:
        there = [made for made in objects if made["metadata"].get("namespace", "") == place]
        told = await cluster.kubectl(
            "apply", *flags[:2], *((flags[2],) if not place else ()), flags[3], told=dump(there)
        )
        assert len(told.splitlines()) == len(there)


async def test_it_follows_gitlabs_chart_under_its_name_and_goes_back(helm: Helm, cluster: RealCluster) -> None:
    """The same Deployment and Services, changed in place, with the values that the release had; a rollback undoes it.

    In the place of GitLab's chart is one with the names and selectors that GitLab documents of it.
    """
    given = read_values(VALUES / "documented.yaml")
    admin = cluster.server.admin
    await asyncio.to_thread(helm.install, admin, PREDECESSOR, given)
    try:
        before, http = await read(cluster, "deployment"), await read(cluster, "service")
        alone = await names(cluster)
        await asyncio.to_thread(helm.upgrade, admin, {**given, **IMAGE})
        after, http_after = await read(cluster, "deployment"), await read(cluster, "service")
        ssh = await read(cluster, "service", f"{RELEASE}-ssh")
        ingress = await read(cluster, "ingress")
        both = await names(cluster)
        await asyncio.to_thread(helm.roll_back, admin)
        back = await read(cluster, "deployment")
        left = await names(cluster)
    finally:
        await asyncio.to_thread(helm.uninstall, admin)

    uids = {deployment["metadata"]["uid"] for deployment in (before, after, back)}
    assert len(uids) == 1
    assert http["spec"]["clusterIP"] == http_after["spec"]["clusterIP"]
    made = after["spec"]["template"]["spec"]["containers"]
    assert [container["image"].partition(":")[0] for container in made] == [IMAGE["image"]["repository"]]
    assert {port["name"] for port in made[0]["ports"]} == {"http", "ssh", "admin"}
    assert (ssh["spec"]["ports"][0]["port"], ssh["spec"]["ports"][0]["targetPort"]) == (22, "ssh")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == [host["host"] for host in given["ingress"]["hosts"]]
    assert alone < both
    assert left == alone
    assert back["spec"]["template"]["spec"] == before["spec"]["template"]["spec"]


def dump(objects: list[Object]) -> str:
    text: str = yaml.safe_dump_all(objects)
    return text


@pytest.mark.parametrize("row", ["default", "original", "several"])
async def test_its_pods_pass_the_strictest_standard(helm: Helm, cluster: RealCluster, row: str) -> None:
    """Where a namespace enforces `restricted` (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    template = find(helm.template(read_values(VALUES / f"{row}.yaml")), "Deployment")["spec"]["template"]
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "restricted", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "gateway", "namespace": "restricted"},
        "spec": template["spec"],
    }
    await cluster.kubectl("apply", "--filename=-", told=yaml.safe_dump(namespace))

    told = await cluster.kubectl("apply", "--dry-run=server", "--filename=-", told=yaml.safe_dump(pod))
    assert "created" in told
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        await cluster.kubectl("apply", "--dry-run=server", "--filename=-", told=yaml.safe_dump(pod))
