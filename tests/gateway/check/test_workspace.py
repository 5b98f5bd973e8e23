"""Where routes come from, the ports of a workspace, and the store of the sessions."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from redis.asyncio import Redis

from gateway.check.model import Status
from gateway.check.sessions import look_at_sessions
from gateway.check.workspace import look_at_ports, look_at_sshd
from tests.gateway.check.conftest import Looked, Looker
from tests.redis_server import run_redis


def rewrite(looked: Looked, **ports: int) -> None:
    """Lead the ports of the running workspace elsewhere, by their names with _ for -."""
    routes: dict[str, Any] = yaml.safe_load(looked.world.routes.read_text())
    for entry in routes["workspaces"][0]["ports"]:
        entry["port"] = ports.get(entry["name"].replace("-", "_"), entry["port"])
    looked.world.routes.write_text(yaml.safe_dump(routes))


@contextmanager
def silent() -> Iterator[int]:
    """A port whose queue is full, so that the kernel drops who knocks, as a NetworkPolicy does."""
    with socket.socket() as taken, socket.socket() as first, socket.socket() as second:
        taken.bind(("127.0.0.1", 0))
        taken.listen(0)
        port: int = taken.getsockname()[1]
        for sock in (first, second):
            sock.settimeout(0)
            sock.connect_ex(("127.0.0.1", port))
        yield port


async def test_a_workspace_that_answers_is_found(looked: Looked) -> None:
    """Its ports and its sshd."""
    routes = await looked.read_routes()
    ports, sshd = await look_at_ports(looked.site), await look_at_sshd(looked.site)

    assert (routes.status, routes.detail) == (Status.OK, "3 workspaces with 6 hosts")
    assert (ports.status, ports.detail) == (Status.OK, "apple-bear-blue listens on 60001, 3000")
    assert sshd.status is Status.OK
    assert "apple-bear-blue has SSH-2.0-" in sshd.detail


async def test_a_port_that_nobody_listens_on_is_its_developers_affair(looked: Looked) -> None:
    """The editor answers, so the workspace can be reached."""
    rewrite(looked, http_3000=9)
    await looked.read_routes()

    found = await look_at_ports(looked.site)

    assert (found.status, found.detail) == (Status.OK, "apple-bear-blue listens on 60001, nobody on 3000")


async def test_a_workspace_where_nothing_listens_is_said(looked: Looked) -> None:
    """Not even its editor."""
    rewrite(looked, http_3000=9, editor_server=9, ssh_server=9)
    await looked.read_routes()

    ports, sshd = await look_at_ports(looked.site), await look_at_sshd(looked.site)

    assert ports.status is Status.FAULT
    assert "/tmp/workspace-logs" in ports.advice  # noqa: S108 - a path in a pod
    assert sshd.status is Status.FAULT
    assert "needs an sshd in its PATH" in sshd.advice


async def test_a_workspace_that_is_cut_off_is_said(looked: Looked) -> None:
    """With the label that its NetworkPolicy asks for."""
    looked.lose_patience()
    with silent() as port:
        rewrite(looked, editor_server=port, ssh_server=port)
        await looked.read_routes()
        found = [await look(looked.site) for look in (look_at_ports, look_at_sshd)]

    for finding in found:
        assert finding.status is Status.FAULT
        assert "nothing within 0.1 s" in finding.detail
        assert "app.kubernetes.io/name: gitlab-workspaces-proxy" in finding.advice


async def test_something_else_on_the_ssh_port_is_said(looked: Looked) -> None:
    """It speaks first, and not SSH."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.dev ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        rewrite(looked, ssh_server=server.sockets[0].getsockname()[1])
        await looked.read_routes()
        found = await look_at_sshd(looked.site)

    assert found.status is Status.FAULT
    assert "is no SSH server" in found.detail


async def test_a_service_without_an_ssh_port_is_said(looked: Looked) -> None:
    """Of the workspace that was named."""
    routes: dict[str, Any] = yaml.safe_load(looked.world.routes.read_text())
    entry = routes["workspaces"][1]
    entry["ports"] = [port for port in entry["ports"] if port["name"] != "ssh-server"]
    looked.world.routes.write_text(yaml.safe_dump(routes))
    looked.look_for(entry["name"])
    await looked.read_routes()

    found = await look_at_sshd(looked.site)

    assert found.status is Status.FAULT
    assert f"the Service of {entry['name']} has no SSH port" in found.detail


@pytest.mark.parametrize("look", [look_at_ports, look_at_sshd])
async def test_an_unknown_workspace_is_said(looked: Looked, look: type) -> None:
    """And no other one is looked at instead."""
    looked.look_for("no-such-workspace")
    await looked.read_routes()

    found = await look(looked.site)

    assert found.status is Status.FAULT
    assert "no-such-workspace" in found.detail


@pytest.mark.parametrize("look", [look_at_ports, look_at_sshd])
async def test_without_workspaces_there_is_nothing_to_try(alone: Looker, look: type) -> None:
    """Which is no fault."""
    found = await look(alone.site)

    assert found.status is Status.UNKNOWN
    assert "start one in GitLab" in found.advice


async def test_a_route_file_that_is_none_is_said(looked: Looked) -> None:
    """On one line."""
    looked.world.routes.write_text("workspaces: [{name: apple}]\n")

    found = await looked.read_routes()

    assert found.status is Status.FAULT
    assert "host_template" in found.detail
    assert "\n" not in found.detail


async def test_refused_routes_are_said(looked: Looked) -> None:
    """A host that belongs to the portal, and one that stands twice."""
    routes: dict[str, Any] = yaml.safe_load(looked.world.routes.read_text())
    routes["workspaces"][0]["host_template"] = "workspaces.localhost"
    routes["workspaces"][2]["host_template"] = routes["workspaces"][1]["host_template"]
    looked.world.routes.write_text(yaml.safe_dump(routes))

    found = await looked.read_routes()

    assert found.status is Status.FAULT
    assert routes["workspaces"][0]["name"] in found.detail
    assert f"{routes['workspaces'][1]['name']}'s" in found.detail


async def test_a_redis_that_answers_is_found(alone: Looker) -> None:
    """And one that is gone is said."""
    async with run_redis() as redis:
        alone.change(sessions={"store": redis.url})
        there = await look_at_sessions(alone.site)
        await redis.stop()
        gone = await look_at_sessions(alone.site)

    assert (there.status, there.detail) == (Status.OK, f"{redis.url} answers")
    assert gone.status is Status.FAULT
    assert "sessions.password" in gone.advice


async def test_a_wrong_password_of_the_redis_is_said(alone: Looker) -> None:
    """And not shown."""
    async with run_redis() as redis:
        async with Redis.from_url(redis.url) as client:
            await client.config_set("requirepass", "another-password")
        alone.change(sessions={"store": redis.url, "password": SecretStr("a-password-that-is-wrong")})
        found = await look_at_sessions(alone.site)

    assert found.status is Status.FAULT
    assert "a-password-that-is-wrong" not in repr(found)


async def test_sessions_in_memory_need_nothing(alone: Looker) -> None:
    """Which is said, because it is not enough for several replicas."""
    found = await look_at_sessions(alone.site)

    assert found.status is Status.UNKNOWN
    assert "sessions.store" in found.detail
