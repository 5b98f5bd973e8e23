"""The door opens or says why not, closes in order, and never writes a token anywhere."""

import asyncio
import io
import logging
import socket
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr

from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.selftest import IncompatibleAsyncssh
from gateway.ssh.server import SshDoor
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, TOKEN, WORKSPACE, Access, Bench, Directory, Gateway


def _door(host_key: asyncssh.SSHKey, port: int = 22) -> SshDoor:
    key = SecretStr(host_key.export_private_key().decode())
    settings = SshSettings(address=LOOPBACK, port=port, host_key=key)
    return SshDoor(settings, Directory(), Access(), Metrics(), open_log("error", io.StringIO()))


async def test_an_occupied_port_is_an_error_that_names_it(host_key: asyncssh.SSHKey) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match=rf"SSH cannot listen on {LOOPBACK}:{port}: .*in use"):
            await _door(host_key, port).start()


async def test_a_door_without_a_host_key_does_not_come_to_be() -> None:
    with pytest.raises(HostKeyUnreadable, match="no SSH host key"):
        SshDoor(SshSettings(), Directory(), Access(), Metrics(), open_log("error", io.StringIO()))


async def test_a_changed_asyncssh_keeps_the_door_shut(
    host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(asyncssh.connection.SSHConnection, "_send_disconnect")

    with pytest.raises(IncompatibleAsyncssh, match="_send_disconnect"):
        await _door(host_key).start()


async def test_a_door_that_is_not_open_has_no_port(host_key: asyncssh.SSHKey) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        _ = _door(host_key).port


async def test_draining_waits_for_a_session_to_end_and_lets_nobody_else_in(gateway: Gateway) -> None:
    port = gateway.door.port
    async with _session(gateway) as ssh:
        draining = asyncio.get_running_loop().create_task(gateway.door.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, port)
        assert not draining.done()
        out, _ = await ssh.communicate(b"the end\n")
        await draining

    assert out == b"the end\n"


async def test_who_is_in_when_it_drains_is_told(gateway: Gateway) -> None:
    async with _session(gateway, "-v") as ssh:
        await gateway.door.drain(0.05)
        _, err = await ssh.communicate()

    assert b"Remote: Gateway is restarting, this connection ends in 0 s at the latest" in err


async def test_host_keys_are_read_again_when_they_change_and_open_sessions_go_on(
    bench: Bench, sshd: WorkspaceSshd, tmp_path: Path
) -> None:
    path = tmp_path / "host_key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), host_key=SecretStr(""), host_key_files=(path,))
    unchecked = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    async with _session(gateway, *unchecked) as ssh:
        path.write_text("damaged")
        await _wait_event(gateway, "ssh.host_keys_unreadable")
        still_in = await gateway.run("ssh", *unchecked, *gateway.options, f"{WORKSPACE}@{LOOPBACK}", "echo in")
        new = asyncssh.generate_private_key("ssh-ed25519")
        new.write_private_key(path)
        await _wait_event(gateway, "ssh.host_keys_loaded")
        seen = await gateway.run("ssh-keyscan", "-p", str(gateway.door.port), "-t", "ed25519", LOOPBACK)
        out, _ = await ssh.communicate(b"still here\n")

    assert still_in.out == b"in\n"
    assert new.export_public_key().split()[1] in seen.out
    assert out == b"still here\n"


async def _wait_event(gateway: Gateway, name: str) -> None:
    async with asyncio.timeout(10):
        while not gateway.events(name):  # noqa: ASYNC110 - the log has no event for it
            await asyncio.sleep(0.01)


async def test_who_stays_longer_than_the_grace_is_told_to_reconnect(gateway: Gateway) -> None:
    async with _session(gateway) as ssh:
        await gateway.door.drain(0.05)
        _, err = await ssh.communicate()

    assert b":11: Gateway is restarting, reconnect" in err


async def test_a_client_that_ignores_the_end_is_cut_off(bench: Bench) -> None:
    gateway, client, _ = await bench.join()
    client.leg.set_reading(reading=False)
    async with asyncio.timeout(10):
        await gateway.door.aclose()

    assert repr(gateway.door) == "SshDoor(connections=0, listening=False)"


async def test_closing_a_workspace_ends_its_sessions_and_no_other(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port))
    async with _session(gateway) as ssh:
        assert ssh.stdin is not None
        gateway.door.close_workspace("another uid")
        ssh.stdin.write(b"still here\n")
        assert ssh.stdout is not None
        assert await ssh.stdout.readline() == b"still here\n"
        gateway.door.close_workspace("uid-7")
        _, err = await ssh.communicate()

    assert b":11: The workspace is gone" in err
    assert gateway.sample("ssh_ended_total", reason="workspace_gone") == 1


async def test_closing_a_workspace_ends_a_login_into_it(gateway: Gateway) -> None:
    gateway.access.gate = asyncio.Event()
    ssh = asyncio.get_running_loop().create_task(gateway.ssh("true"))
    async with asyncio.timeout(10):
        while not gateway.access.asked:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
    gateway.door.close_workspace("uid-7")

    assert ":11: The workspace is gone" in (await ssh).err


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
async def test_no_log_of_any_level_holds_a_token(
    bench: Bench, sshd: WorkspaceSshd, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    asyncssh.set_debug_level(3)  # dumps packets; the door takes it back
    caplog.set_level(logging.DEBUG)
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port))
    for token in (TOKEN, "glpat-wrong-but-secret"):
        await gateway.ssh("-o", f"PreferredAuthentications={method}", "true", token=token)
    await gateway.door.drain(10)

    everything = gateway.log.getvalue() + caplog.text + gateway.metrics.render().decode()
    assert gateway.events("ssh.login")
    assert not [token for token in (TOKEN, "glpat-wrong", "of-the-owner") if token in everything]


async def test_one_users_bytes_never_reach_another(bench: Bench) -> None:
    one, two = await bench.join(), await bench.join()
    for _, client, workspace in (one, two):
        await client.receive()
        name = b"one" if client is one[1] else b"two"
        for number in range(50):
            client.leg.send(b"\x5e" + number.to_bytes(4, "big") + name)
            workspace.leg.send(b"\x5e" + number.to_bytes(4, "big") + name)
    for (_, client, workspace), name in ((one, b"one"), (two, b"two")):
        for end in (client, workspace):
            assert {(await end.receive())[5:] for _ in range(50)} == {name}


def _session(gateway: Gateway, *options: str) -> "_Session":
    return _Session(gateway, *options)


class _Session:
    """A session that echoes one line and ends."""

    def __init__(self, gateway: Gateway, *options: str) -> None:
        argv = ("ssh", *options, *gateway.options, f"{WORKSPACE}@{LOOPBACK}", "echo ready; head -1; head -1")
        self._program = gateway.start(*argv)

    async def __aenter__(self) -> asyncio.subprocess.Process:
        program = await self._program.__aenter__()
        assert program.stdout is not None
        assert await program.stdout.readline() == b"ready\n"
        return program

    async def __aexit__(self, *exc: object) -> None:
        await self._program.__aexit__(None, None, None)
