"""`python -m gateway ssh-config` as a person types it, against a running gateway."""

import asyncio
import io
import os
import shutil
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from config.settings import SshSettings
from gateway.demo.world import OpenWorld, free_ports, open_world
from gateway.telemetry.log import open_log
from tests.gateway.conftest import Live, run_command


async def ssh_config(world: OpenWorld, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command for the owner of two workspaces."""
    environ = {
        "PATH": os.environ["PATH"],
        "WORKSPACES_TOKEN": world.visit.users[0].token.get_secret_value(),
        "WORKSPACES_PORTAL": world.visit.portal_url,
    }
    return await run_command("ssh-config", *arguments, environ=environ)


async def understood(config: str, folder: Path, host: str) -> dict[str, str]:
    """What OpenSSH makes of such a file for one host."""
    (folder / "config").write_text(config)
    ssh = shutil.which("ssh")
    assert ssh is not None
    process = await asyncio.create_subprocess_exec(
        ssh, "-G", "-F", str(folder / "config"), host, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return dict(line.split(" ", 1) for line in output.decode().splitlines() if " " in line)


async def test_it_prints_what_ssh_understands(live: Live, tmp_path: Path) -> None:
    """A block for each of my workspaces, the stopped one included."""
    status, output, _ = await ssh_config(live.world)

    assert status == 0
    for name in (live.world.visit.running, live.world.visit.stopped):
        told = await understood(output, tmp_path, name)
        assert (told["hostname"], told["user"]) == ("localhost", name)
        assert told["port"] == str(live.world.visit.ssh_port)


async def test_it_names_the_address_that_people_use(tmp_path: Path) -> None:
    """Which a load balancer before the gateway may make another one than the gateway's own."""
    ports = free_ports()
    sections = {
        "ssh": SshSettings(
            address="127.0.0.1",
            port=ports.ssh,
            host_key=SecretStr(asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()),
            public_host="ssh.example.dev",
            public_port=22,
        )
    }
    async with open_world(ports, open_log("error", io.StringIO()), sections=sections) as world:
        _, output, _ = await ssh_config(world, world.visit.running)

    told = await understood(output, tmp_path, world.visit.running)
    assert (told["hostname"], told["port"]) == ("ssh.example.dev", "22")
    assert "Port" not in output


async def test_named_workspaces_alone_are_printed(live: Live) -> None:
    """And one that is not mine is said, with status 1."""
    status, output, errors = await ssh_config(live.world, live.world.visit.stopped, live.world.visit.others)

    assert status == 1
    assert output.splitlines()[0] == f"Host {live.world.visit.stopped}"
    assert live.world.visit.running not in output
    assert live.world.visit.others in errors


@pytest.mark.parametrize("arguments", [("--portal", ""), ("--token", "x")])
async def test_a_wrong_command_is_explained(live: Live, arguments: tuple[str, ...]) -> None:
    """There is no argument for the token."""
    status, _, errors = await ssh_config(live.world, *arguments)

    assert status == 2
    assert "usage:" in errors
