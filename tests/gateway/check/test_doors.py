"""The doors as people reach them, and what may stand there instead."""

import asyncio
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from gateway.check.doors import look_at_portal, look_at_zones
from gateway.check.model import Status
from gateway.check.ssh_door import look_at_authorities, look_at_host_keys, look_at_ssh_door
from gateway.demo.gitlab import Fault
from gateway.demo.workspace import WorkspaceServers
from tests.gateway.check.conftest import Looked


def new_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()


async def test_doors_that_are_the_gateways_are_found(looked: Looked) -> None:
    """All of them."""
    steps = (look_at_portal, look_at_zones, look_at_host_keys, look_at_ssh_door)
    found = [await look(looked.site) for look in steps]

    assert [finding.status for finding in found] == [Status.OK] * 4
    assert "sign in at the portal" in found[1].detail
    assert "SHA256:" in found[2].detail


@pytest.mark.parametrize("look", [look_at_portal, look_at_zones])
async def test_a_door_where_nobody_is_is_said(looked: Looked, look: type) -> None:
    """The discard port, on this machine."""
    looked.change(auth={"redirect_uri": "http://workspaces.localhost:9/auth/callback"})

    found = await look(looked.site)

    assert found.status is Status.FAULT
    assert "does not answer on port 9" in found.detail
    assert "a pod of the gateway is ready" in found.advice


@pytest.mark.parametrize("look", [look_at_portal, look_at_zones])
async def test_another_server_at_the_door_is_said(looked: Looked, look: type) -> None:
    """Such as the default page of an ingress."""
    async with WorkspaceServers() as servers:
        looked.change(auth={"redirect_uri": f"http://workspaces.localhost:{servers.site_port}/auth/callback"})
        found = await look(looked.site)

    assert found.status is Status.FAULT
    assert "as no gateway does" in found.detail
    assert "Host header" in found.advice


async def test_a_gateway_with_other_settings_is_said(looked: Looked) -> None:
    """It would sign people in with another application."""
    looked.change(auth={"client_id": "another-application"})

    found = await look_at_portal(looked.site)

    assert found.status is Status.FAULT
    assert "restart the pods" in found.advice


async def test_a_gateway_that_cannot_reach_gitlab_is_said(looked: Looked) -> None:
    """From where it runs, which may be elsewhere than the check."""
    looked.world.gitlab.switches.everywhere.fault = Fault.UNAVAILABLE

    found = await look_at_portal(looked.site)

    assert found.status is Status.FAULT
    assert "answers 503" in found.detail


async def test_a_gateway_without_workspaces_is_told_to_know_its_zone(looked: Looked) -> None:
    """The first has not been started yet."""
    looked.world.routes.write_text("workspaces: []\n")
    looked.world.gateway.reload_routes()

    found = await look_at_zones(looked.site)

    assert found.status is Status.OK
    assert "set routing.zones to workspaces.localhost" in found.advice


async def test_authorities_of_users_are_read(looked: Looked, tmp_path: Path) -> None:
    """As serve reads them: how many, or which file cannot be used."""
    path = tmp_path / "user_ca.pub"
    looked.change(ssh={"user_ca_files": (path,)})
    path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    good = await look_at_authorities(looked.site)
    path.write_text("no key at all\n")
    bad = await look_at_authorities(looked.site)

    assert (good.status, bad.status) == (Status.OK, Status.FAULT)
    assert good.detail == f"1 from {path}"
    assert str(path) in bad.detail


async def test_an_unreadable_host_key_is_said(looked: Looked) -> None:
    """And not shown."""
    looked.change(ssh={"host_key": SecretStr("no key at all")})

    found = await look_at_host_keys(looked.site)

    assert found.status is Status.FAULT
    assert "ssh-keygen" in found.advice
    assert "no key at all" not in repr(found)


async def test_another_ssh_server_is_said(looked: Looked) -> None:
    """Such as the sshd of the node, where a load balancer took its port."""
    looked.change(ssh={"host_key": SecretStr(new_key())})

    found = await look_at_ssh_door(looked.site)

    assert found.status is Status.FAULT
    assert "with another host key" in found.detail
    assert "the sshd of a node" in found.advice


async def test_the_address_that_people_type_is_tried(looked: Looked) -> None:
    """Where it is another than the gateway's own."""
    looked.names.records["ssh.example.dev"] = ("127.0.0.1",)
    port = looked.world.settings.ssh.port
    looked.change(ssh={"public_host": "ssh.example.dev", "public_port": port, "port": 9})

    found = await look_at_ssh_door(looked.site)

    assert found.status is Status.OK
    assert found.detail.startswith(f"ssh.example.dev:{port} is the gateway")


async def test_an_ssh_name_that_leads_nowhere_is_said(looked: Looked) -> None:
    """With the setting that names another."""
    looked.change(ssh={"public_host": "ssh.example.dev"})

    found = await look_at_ssh_door(looked.site)

    assert found.status is Status.FAULT
    assert "ssh.public_host" in found.advice


@pytest.mark.parametrize("who", ["nobody", "a web server"])
async def test_no_ssh_server_is_said(looked: Looked, who: str) -> None:
    """Nobody, or somebody who speaks something else."""
    looked.change(ssh={"port": looked.world.settings.http.port if who == "a web server" else 9})

    found = await look_at_ssh_door(looked.site)

    assert found.status is Status.FAULT
    assert "does not answer as an SSH server does" in found.detail
    assert "SSH Service" in found.advice


async def test_a_door_for_load_balancers_alone_stays_open(looked: Looked) -> None:
    """From here it cannot be told."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        looked.change(ssh={"port": server.sockets[0].getsockname()[1], "proxy_protocol": ("10.0.0.0/8",)})
        found = await look_at_ssh_door(looked.site)

    assert found.status is Status.UNKNOWN
    assert "ssh.proxy_protocol" in found.advice


async def test_ssh_that_is_off_is_not_looked_at(looked: Looked) -> None:
    """Neither door nor key."""
    looked.change(ssh={"enabled": False})

    found = [await look(looked.site) for look in (look_at_host_keys, look_at_ssh_door)]

    assert [finding.status for finding in found] == [Status.UNKNOWN] * 2
