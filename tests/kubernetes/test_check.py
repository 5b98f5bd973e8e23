"""What `check` finds out about a cluster: the rights it has there, and the Services of workspaces."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from config.settings import Settings
from gateway.check.model import Status
from gateway.check.rights import look_at_rights
from gateway.check.routes import look_at_routes
from gateway.check.site import Site
from gateway.localhost import LocalhostResolver
from routing.cluster_api import ClusterAway
from routing.rights import read_review
from tests.kubernetes.clusters import ClusterUnderTest, Rights
from tests.kubernetes.objects import endpoint_slice, service

Name = Callable[[str], str]


def site_of(kubeconfig: Path | None, *namespaces: str) -> Site:
    """A check with these credentials."""
    told: Mapping[str, Any] = {
        "auth": {"host": "https://gitlab.example.com", "redirect_uri": "https://ws.example.dev/auth/callback"},
        "watch_namespaces": list(namespaces),
    }
    settings = Settings.model_validate(told).model_copy(update={"kubeconfig": kubeconfig})
    return Site(settings, LocalhostResolver())


async def test_the_rights_that_the_chart_grants_are_all_there_are(cluster: ClusterUnderTest, name: Name) -> None:
    """Cluster-wide, and in the namespaces that are watched."""
    everywhere = await look_at_rights(site_of(await cluster.connect(Rights())))
    kubeconfig = await cluster.connect(Rights((name("a"), name("b"))))
    somewhere = await look_at_rights(site_of(kubeconfig, name("a"), name("b")))

    assert (everywhere.status, everywhere.detail) == (Status.OK, "all 6 rights are granted")
    assert (somewhere.status, somewhere.detail) == (Status.OK, "all 12 rights are granted")


@pytest.mark.parametrize(
    ("rights", "missing", "loss"),
    [
        (Rights(visibility=False), "patch services in all namespaces", "owners cannot change"),
        (Rights(slices=False), "list endpointslices in all namespaces, watch endpointslices", "a workspace that is st"),
    ],
)
async def test_what_is_lost_without_a_right_is_said(
    cluster: ClusterUnderTest, rights: Rights, missing: str, loss: str
) -> None:
    """The gateway works without it."""
    found = await look_at_rights(site_of(await cluster.connect(rights)))

    assert found.status is Status.OK
    assert missing in found.detail
    assert found.advice.startswith(loss)
    assert "rbac." in found.advice


async def test_a_namespace_without_rights_is_said(cluster: ClusterUnderTest, name: Name) -> None:
    """And so is the whole cluster, where only a part of it was granted."""
    kubeconfig = await cluster.connect(Rights((name("a"),)))
    other = await look_at_rights(site_of(kubeconfig, name("a"), name("b")))
    everywhere = await look_at_rights(site_of(kubeconfig))

    assert other.status is Status.FAULT
    assert f"list services in namespace {name('b')}" in other.detail
    assert f"in namespace {name('a')}" not in other.detail
    assert everywhere.status is Status.FAULT
    assert "list services in all namespaces" in everywhere.detail


async def test_credentials_that_are_none_are_said(cluster: ClusterUnderTest) -> None:
    """Not shown."""
    kubeconfig = await cluster.connect(Rights())
    token = kubeconfig.read_text().partition("token: ")[2].split()[0]
    kubeconfig.write_text(kubeconfig.read_text().replace(token, "a-token-of-nobody"))

    found = await look_at_rights(site_of(kubeconfig))

    assert found.status is Status.FAULT
    assert "401" in found.detail
    assert "a-token-of-nobody" not in repr(found)


async def test_an_api_server_that_is_away_is_said(cluster: ClusterUnderTest) -> None:
    """And how to mend it."""
    site = site_of(await cluster.connect(Rights()))
    await cluster.stop()
    try:
        found = await look_at_rights(site)
    finally:
        await cluster.start()

    assert found.status is Status.FAULT
    assert "could not be asked" in found.detail


async def test_no_cluster_at_all_is_said(tmp_path: Path) -> None:
    """Outside of a pod and without a kubeconfig, or with one that is none."""
    (tmp_path / "config").write_text("[]")

    for kubeconfig in (None, tmp_path / "config"):
        found = await look_at_rights(site_of(kubeconfig))
        assert found.status is Status.FAULT
        assert "in the gateway's pod" in found.advice


async def test_a_route_file_needs_no_rights(tmp_path: Path) -> None:
    """Nobody is asked."""
    site = site_of(None)
    routing = site.settings.routing.model_copy(update={"file": tmp_path / "routes.yaml"})
    settings = site.settings.model_copy(update={"routing": routing})

    assert (await look_at_rights(replace(site, settings=settings))).status is Status.UNKNOWN


async def test_workspaces_are_known_by_their_services(cluster: ClusterUnderTest, name: Name) -> None:
    """The first that runs is the one to try; a Service that is refused is said."""
    place = name("ns")
    await cluster.apply(
        service(name("apple"), place, workspace_id="1"),
        endpoint_slice(name("apple"), place),  # stopped
        service(name("berry"), place, workspace_id="2"),
        endpoint_slice(name("berry"), place, *(True,)),
        service(name("cherry"), place, workspace_id="no number"),
    )
    site = site_of(await cluster.connect(Rights((place,))), place)

    found = await look_at_routes(site)

    assert found.status is Status.FAULT
    assert found.detail.startswith("2 workspaces with 2 hosts, and refused: ")
    assert name("cherry") in found.detail
    workspace = site.get_workspace()
    assert workspace is not None
    assert workspace.name == name("berry")
    assert site.zones == ("ws.example.dev",)


async def test_the_command_asks_the_cluster(cluster: ClusterUnderTest, name: Name, tmp_path: Path) -> None:
    """As an operator types it; whatever else is at fault there."""
    await cluster.apply(service(name("apple"), name("ns"), workspace_id="1"))
    kubeconfig = await cluster.connect(Rights((name("ns"),)))
    (tmp_path / "host_key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    flags = {
        "auth-host": "http://127.0.0.1:9",
        "http-enabled": "false",
        "ssh-host-key-files": str(tmp_path / "host_key"),
        "kubeconfig": str(kubeconfig),
        "watch-namespaces": name("ns"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "check", "--json", *(f"--{flag}={text}" for flag, text in flags.items())),
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()

    steps = {step["name"]: step for step in json.loads(output)["steps"]}
    assert process.returncode == 1  # there is no GitLab
    assert steps["rights in the cluster"]["detail"] == "all 6 rights are granted"
    assert steps["routes"]["detail"] == "1 workspaces with 1 hosts"


@pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": {"allowed": "yes"}}])
def test_an_answer_that_says_neither_yes_nor_no_is_none(answer: dict[str, Any]) -> None:
    """Least of all a yes."""
    with pytest.raises(ClusterAway):
        read_review(answer)
