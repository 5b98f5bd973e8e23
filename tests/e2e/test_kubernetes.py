"""`python -m gateway serve` with a cluster as its source of routes, from before there is an API server to its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncssh
import pytest

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.e2e.conftest import Setup, running
from tests.kubernetes.clusters import Rights, StandInCluster, open_stand_in_cluster
from tests.kubernetes.objects import Object, service

ZONE = "workspaces.localhost"
APPLE = service("apple", "ns", workspace_id="993", zone=ZONE)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[StandInCluster]:
    async with open_stand_in_cluster(tmp_path) as opened:
        yield opened


async def use(setup: Setup, cluster: StandInCluster, rights: Rights) -> None:
    """Take the routes from the cluster, with these rights."""
    kubeconfig = await cluster.connect(rights)
    del setup.settings["routing"]
    setup.settings["kubeconfig"] = str(kubeconfig)


def admin(setup: Setup, path: str) -> str:
    return f"http://127.0.0.1:{setup.ports.admin}{path}"


async def wait_until(setup: Setup, path: str, text: str) -> str:
    """The page of the admin port, once it says this."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, _, page = await setup.get(admin(setup, path))
            except aiohttp.ClientConnectionError:
                page = ""  # its port is not open yet
            if text in f"\n{page}":
                return page
            await asyncio.sleep(0.05)  # there is nothing else to wait for


async def put(setup: Setup, token: str, level: str) -> tuple[int, Object]:
    """What the API says to a new visibility of the port 3000 of apple."""
    url = f"http://127.0.0.1:{setup.ports.http}/api/v1/workspaces/apple/ports/3000"
    headers = {"Host": f"{ZONE}:{setup.ports.http}", "X-Workspaces-Token": token}
    async with (
        aiohttp.ClientSession() as client,
        client.put(url, headers=headers, json={"visibility": level}) as answer,
    ):
        return answer.status, await answer.json()


async def test_the_doors_are_open_before_the_routes_are_known(setup: Setup, cluster: StandInCluster) -> None:
    """Not ready, alive, and a page or a line for everybody who comes; ready as soon as the API server is there."""
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights())
    await cluster.stop()
    host = {"Host": f"3000-apple.{ZONE}"}
    async with running(*setup.write()):
        page = await wait_until(setup, "/readyz", "away")
        assert page.startswith("not ready\nservices in all namespaces: away: ")
        assert (await setup.get(admin(setup, "/healthz")))[0] == 200
        status, headers, text = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", **host)
        assert (status, headers["X-Workspaces-Gateway"]) == (503, "not_ready")
        assert "does not know the workspaces yet" in text
        with pytest.raises(asyncssh.DisconnectError, match="does not know the workspaces yet"):
            await asyncssh.connect("127.0.0.1", setup.ports.ssh, username="apple", password="x", known_hosts=None)

        await cluster.start()
        await wait_until(setup, "/readyz", "\nready\n")
        status, _, _ = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", **host)
        assert status == 401


async def test_an_api_server_that_goes_away_is_told_and_costs_no_route(setup: Setup, cluster: StandInCluster) -> None:
    """Whoever is in goes on working: ready, with a remark."""
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights())
    async with setup.serve():
        await cluster.stop()
        page = await wait_until(setup, "/readyz", "away")
        status, _, _ = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", Host=f"3000-apple.{ZONE}")
        metrics = await wait_until(setup, "/metrics", 'workspaces_gateway_watches{state="away"} 2.0')

    assert page.startswith("ready\n")
    assert status == 401
    assert "workspaces_gateway_routes 1.0" in metrics
    assert "workspaces_gateway_watch_age_seconds " in metrics


async def test_a_forbidden_namespace_is_told_where_operators_look(setup: Setup, cluster: StandInCluster) -> None:
    """The others are served."""
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights(namespaces=("ns",)))
    setup.settings["watch_namespaces"] = ["ns", "other"]
    async with setup.serve():
        page = await wait_until(setup, "/readyz", "services in namespace other: forbidden: 403: services is forbidden")

    assert page.startswith("ready\n")


async def test_an_owner_changes_a_port_in_the_cluster(setup: Setup, cluster: StandInCluster) -> None:
    """Through the API, and for visitors at once."""
    state, token = _gitlab()
    gitlab = StandInGitLab(state)
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights())
    async with gitlab.serve() as url:
        setup.settings["auth"]["host"] = str(url)
        async with setup.serve():
            status, told = await put(setup, token, "public")
            visited, _, _ = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", Host=f"3000-apple.{ZONE}")

    assert (status, told["visibility"]) == (200, "public")
    assert visited != 401
    annotations = (await cluster.read(APPLE))["metadata"]["annotations"]
    assert annotations["workspaces.gitlab.com/port-visibility"] == '{"3000":"public"}'


async def test_a_right_that_the_gateway_lacks_is_explained_to_the_owner(setup: Setup, cluster: StandInCluster) -> None:
    """Who has to give it, and which."""
    state, token = _gitlab()
    gitlab = StandInGitLab(state)
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights(visibility=False))
    async with gitlab.serve() as url:
        setup.settings["auth"]["host"] = str(url)
        async with setup.serve():
            status, told = await put(setup, token, "public")

    assert (status, told["error"]) == (503, "visibility_not_allowed")
    assert "the verb patch on services" in told["hint"]


async def test_without_a_route_file_and_a_cluster_it_says_what_to_set(setup: Setup) -> None:
    """And ends."""
    del setup.settings["routing"]
    status, said = await setup.fail()

    assert status == 1
    assert "set routing.file to a route file, or kubeconfig to the kubeconfig of a cluster" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("just words", "it is not a kubeconfig"),
        ("a: [glpat-secret", "it is not a kubeconfig"),
        ("- a\n- list", "it is not a kubeconfig"),
        ("apiVersion: v1\nkind: Config", "Expected key current-context"),
    ],
)
async def test_a_kubeconfig_that_is_none_is_said(setup: Setup, text: str, why: str) -> None:
    """With its name, and nothing of what is in it."""
    del setup.settings["routing"]
    (setup.folder / "kubeconfig").write_text(text)
    setup.settings["kubeconfig"] = str(setup.folder / "kubeconfig")
    status, said = await setup.fail()

    assert status == 1
    assert "kubeconfig: " in said
    assert "kubeconfig cannot be used: " in said
    assert why in said
    assert "Traceback" not in said
    assert "glpat" not in said


async def test_workers_are_ready_when_each_knows_the_routes(setup: Setup, cluster: StandInCluster) -> None:
    """They follow the cluster each for itself."""
    await cluster.apply(APPLE)
    await use(setup, cluster, Rights())
    setup.settings["workers"] = 2
    setup.settings["http"]["enabled"] = False
    setup.settings["auth"] = {"host": setup.settings["auth"]["host"]}
    await cluster.stop()
    async with running(*setup.write()):
        await wait_until(setup, "/readyz", "not ready")
        await cluster.start()
        await wait_until(setup, "/readyz", "\nready\n")
        metrics = await wait_until(setup, "/metrics", 'workspaces_gateway_watches{state="live"} 2.0')

    assert "workspaces_gateway_routes 1.0" in metrics


def _gitlab() -> tuple[GitLabState, str]:
    """A GitLab where ada owns the workspace 993, and her token."""
    state = GitLabState()
    ada = state.add_user("ada")
    state.add_workspace(ada, "apple", id=993)
    return state, state.add_token(ada)
