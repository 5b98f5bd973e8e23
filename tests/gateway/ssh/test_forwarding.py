"""Forwarding works through the door, and it is always the workspace that listens and dials."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.demo.quiet_ports import quiet_ports
from gateway.demo.sshd import WorkspaceSshd
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, WORKSPACE, Gateway


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    """A service that says `echo:` and everything back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo:" + await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What the service says, once we have closed our direction only."""
    writer.write(b"hello")
    writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_local_forward_reaches_a_port_of_the_workspace(gateway: Gateway, echo_port: int) -> None:
    path = f"{gateway.folder}/local"
    async with gateway.listen("-L", f"{path}:{LOOPBACK}:{echo_port}"):
        answer = await _ask(*await asyncio.open_unix_connection(path))

    assert answer == b"echo:hello"


async def test_a_local_forward_to_a_closed_port_ends_with_the_workspaces_own_words(gateway: Gateway) -> None:
    path = f"{gateway.folder}/local"
    async with gateway.listen("-L", f"{path}:{LOOPBACK}:1") as ssh:
        with suppress(ConnectionError):
            assert await _ask(*await asyncio.open_unix_connection(path)) == b""
        assert ssh.stderr is not None
        complaint = await ssh.stderr.readline()

    assert b"Connection refused" in complaint


async def test_a_remote_forward_listens_in_the_workspace_and_leads_back(gateway: Gateway, echo_port: int) -> None:
    async with gateway.listen("-R", f"{LOOPBACK}:0:{LOOPBACK}:{echo_port}") as ssh:
        assert ssh.stderr is not None
        port = re.search(rb"Allocated port (\d+) for", await ssh.stderr.readline())
        assert port is not None
        answer = await _ask(*await asyncio.open_connection(LOOPBACK, int(port[1])))

    assert answer == b"echo:hello"
    assert gateway.sample("ssh_channels_opened_total", type="forwarded-tcpip", direction="sent", result="passed") == 1


async def test_sockets_of_the_file_system_are_forwarded(gateway: Gateway, sshd: WorkspaceSshd, echo_port: int) -> None:
    there, here = f"{sshd.home}/there", f"{gateway.folder}/here"
    async with gateway.listen("-R", f"{there}:{LOOPBACK}:{echo_port}", "-L", f"{here}:{there}"):
        answer = await _ask(*await asyncio.open_unix_connection(here))

    assert answer == b"echo:hello"


async def test_a_dynamic_forward_reaches_what_the_workspace_reaches(gateway: Gateway, echo_port: int) -> None:
    (port,) = quiet_ports(1)
    async with gateway.listen("-D", f"{LOOPBACK}:{port}"):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"\5\1\0" + b"\5\1\0\1" + socket.inet_aton(LOOPBACK) + echo_port.to_bytes(2, "big"))  # RFC 1928
        assert await reader.readexactly(2 + 10)
        answer = await _ask(reader, writer)

    assert answer == b"echo:hello"


async def test_a_shell_and_socks_share_a_connection_as_an_editor_uses_it(gateway: Gateway, echo_port: int) -> None:
    (port,) = quiet_ports(1)
    argv = ("ssh", *gateway.options, "-T", "-D", str(port), "-o", "ConnectTimeout=15", f"{WORKSPACE}@{LOOPBACK}", "sh")
    async with gateway.start(*argv) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        ssh.stdin.write(b"echo listening\n")
        assert await ssh.stdout.readline() == b"listening\n"
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"\5\1\0" + b"\5\1\0\1" + socket.inet_aton(LOOPBACK) + echo_port.to_bytes(2, "big"))
        await reader.readexactly(2 + 10)

        assert await _ask(reader, writer) == b"echo:hello"


async def test_a_forwarded_agent_shows_its_keys_in_the_workspace(gateway: Gateway) -> None:
    path, key = f"{gateway.folder}/agent", f"{gateway.folder}/key"
    await gateway.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "key-of-the-person", "-f", key)
    async with gateway.start("ssh-agent", "-D", "-a", path) as agent:
        assert agent.stdout is not None
        await agent.stdout.readline()
        await gateway.run("ssh-add", key, SSH_AUTH_SOCK=path)
        argv = ("ssh", *gateway.options, "-A", f"{WORKSPACE}@{LOOPBACK}", "ssh-add -l & ssh-add -l & ssh-add -l; wait")
        done = await gateway.run(*argv, SSH_AUTH_SOCK=path)
        without = await gateway.run(*(arg for arg in argv if arg != "-A"), SSH_AUTH_SOCK=path)

    assert done.out.count(b"key-of-the-person") == 3
    assert b"key-of-the-person" not in without.out
