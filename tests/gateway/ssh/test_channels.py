"""What the ends of a connection may open and ask for is a matter of the settings; what they did stands in the log."""

import asyncio
from typing import Any

import pytest
from asyncssh.packet import Boolean, String, UInt32

from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh import limits
from gateway.ssh.channels import RateOfNotes, readable
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, Bench, Peer
from tests.gateway.ssh.test_relay import FAILURE, MARK, channel_open, channel_request, global_request, refusal


def opening(kind: str, number: int, rest: bytes) -> bytes:
    return b"\x5a" + String(kind) + UInt32(number) + UInt32(1 << 21) + UInt32(32768) + rest


def too_many(number: int) -> bytes:
    return b"\x5c" + UInt32(number) + UInt32(4) + String("Too many channels") + String("")


def confirmed(number: int) -> bytes:
    return b"\x5b" + UInt32(number) + UInt32(number) + UInt32(1 << 21) + UInt32(32768)


def close(number: int) -> bytes:
    return b"\x61" + UInt32(number)


@pytest.mark.parametrize(
    ("switch", "kind"),
    [("forward_local", "direct-tcpip"), ("forward_sockets", "direct-streamlocal@openssh.com")],
)
async def test_a_forward_that_is_off_is_refused_by_the_gateway(bench: Bench, switch: str, kind: str) -> None:
    _, client, workspace = await bench.join(**{switch: False})
    await client.receive()  # the gateway's host keys
    client.leg.send(channel_open(kind, 3))
    client.leg.send(MARK)

    assert await client.receive() == refusal(3)
    assert await workspace.receive() == MARK


@pytest.mark.parametrize(
    ("switch", "name"),
    [("forward_remote", "tcpip-forward"), ("forward_sockets", "streamlocal-forward@openssh.com")],
)
async def test_a_listener_that_is_off_fails_in_its_turn(bench: Bench, switch: str, name: str) -> None:
    _, client, workspace = await bench.join(**{switch: False})
    await client.receive()
    client.leg.send(global_request("first@example.com"))
    client.leg.send(global_request(name, String("") + UInt32(0)))
    assert await workspace.receive() == global_request("first@example.com")
    workspace.leg.send(b"\x51")

    assert [await client.receive() for _ in range(2)] == [b"\x51", FAILURE]


@pytest.mark.parametrize(
    ("switch", "name", "kind"),
    [
        ("forward_agent", "auth-agent-req@openssh.com", "auth-agent@openssh.com"),
        ("forward_agent", "agent-req", "agent-connect"),
        ("forward_x11", "x11-req", "x11"),
    ],
)
async def test_a_request_that_is_off_is_answered_by_the_workspace_in_its_place(
    bench: Bench, switch: str, name: str, kind: str
) -> None:
    _, client, workspace = await bench.join(**{switch: False})
    await client.receive()
    client.leg.send(b"\x62" + UInt32(9) + String(name) + Boolean(False))  # noqa: FBT003 - nobody waits for an answer
    client.leg.send(channel_request(name))

    assert await workspace.receive() == channel_request("refused-by-gateway@workspaces.gitlab.com")
    workspace.leg.send(channel_open(kind, 2))
    assert await workspace.receive() == refusal(2)


async def test_a_shell_works_where_the_agent_is_not_forwarded(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), forward_agent=False)
    async with gateway.start("ssh-agent", "-D", "-a", str(gateway.folder / "agent")) as agent:
        assert agent.stdout is not None
        await agent.stdout.readline()
        argv = ("ssh", *gateway.options, "-A", f"apple@{LOOPBACK}", 'echo "agent:$SSH_AUTH_SOCK"')
        done = await gateway.run(*argv, SSH_AUTH_SOCK=str(gateway.folder / "agent"))

    assert (done.code, done.out) == (0, b"agent:\n")


async def test_a_cancelled_forward_lets_no_more_channels_in(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    for name in ("tcpip-forward", "tcpip-forward", "cancel-tcpip-forward", "cancel-tcpip-forward"):
        client.leg.send(global_request(name, String("") + UInt32(80)))
        await workspace.receive()
    workspace.leg.send(channel_open("forwarded-tcpip", 1))

    assert await workspace.receive() == refusal(1)


async def test_a_cancel_of_nothing_takes_nothing_from_the_next_forward(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    for name in ("cancel-tcpip-forward", "tcpip-forward"):
        client.leg.send(global_request(name, String("") + UInt32(80)))
        await workspace.receive()
    workspace.leg.send(channel_open("forwarded-tcpip", 1))

    assert await client.receive() == channel_open("forwarded-tcpip", 1)


async def _open(client: Peer, workspace: Peer, number: int) -> None:
    client.leg.send(channel_open("session", number))
    await workspace.receive()
    workspace.leg.send(confirmed(number))
    await client.receive()


async def test_one_channel_more_than_allowed_is_refused_until_one_is_closed_by_both(bench: Bench) -> None:
    gateway, client, workspace = await bench.join(max_channels=3)
    await client.receive()
    for number in range(3):
        await _open(client, workspace, number)
    client.leg.send(channel_open("session", 3))
    assert await client.receive() == too_many(3)
    assert gateway.sample("ssh_channels_open") == 3

    workspace.leg.send(close(0))
    await client.receive()
    client.leg.send(channel_open("session", 3))
    assert await client.receive() == too_many(3)

    client.leg.send(close(0))
    await workspace.receive()
    await _open(client, workspace, 3)
    assert gateway.sample("ssh_channels_opened_total", type="session", direction="received", result="refused") == 2


async def test_a_channel_the_workspace_refuses_counts_for_nothing(bench: Bench) -> None:
    gateway, client, workspace = await bench.join(max_channels=1)
    await client.receive()
    for number in range(5):
        client.leg.send(channel_open("session", number))
        assert await workspace.receive() == channel_open("session", number)
        workspace.leg.send(refusal(number))
        assert await client.receive() == refusal(number)

    assert gateway.sample("ssh_channels_open") == 0


async def test_a_workspace_cannot_make_room_by_closing_what_is_open(bench: Bench) -> None:
    _, client, workspace = await bench.join(max_channels=1)
    await client.receive()
    await _open(client, workspace, 0)
    for _ in range(5):
        workspace.leg.send(close(0))
        await client.receive()
    client.leg.send(channel_open("session", 1))

    assert await client.receive() == too_many(1)


async def test_the_512_channels_of_a_connection_are_gone_with_it(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    for number in range(512):
        client.leg.send(channel_open("session", number))
    for _ in range(512):
        await workspace.receive()
    client.leg.send(channel_open("session", 512))
    assert await client.receive() == too_many(512)

    client.leg.kill()
    await workspace.wait_parting()
    await gateway.door.drain(10)
    assert gateway.sample("ssh_channels_open") == 0


@pytest.mark.parametrize(
    ("payload", "event", "facts"),
    [
        (
            opening("direct-tcpip", 0, String("db.internal") + UInt32(5432) + String("127.0.0.1") + UInt32(40000)),
            "audit.ssh_channel",
            {"type": "direct-tcpip", "by": "client", "forward_address": "db.internal", "forward_port": 5432},
        ),
        (
            opening("direct-streamlocal@openssh.com", 0, String("/run/x\n\x1b[31m") + String("") + UInt32(0)),
            "audit.ssh_channel",
            {"type": "direct-streamlocal@openssh.com", "forward_path": "/run/x??[31m"},
        ),
        (opening("direct-tcpip", 0, b"\xff"), "audit.ssh_channel", {"malformed": True}),
        (opening("session", 0, b""), "audit.ssh_channel", {"type": "session", "by": "client"}),
        (opening("x" * 5000, 0, b""), "audit.ssh_channel", {"type": "x" * 256}),
        (
            global_request("tcpip-forward", String("192.0.2.1") + UInt32(8080)),
            "audit.ssh_forward",
            {"type": "tcpip-forward", "forward_address": "192.0.2.1", "forward_port": 8080, "refused": False},
        ),
        (global_request("tcpip-forward"), "audit.ssh_forward", {"malformed": True}),
        (
            global_request("streamlocal-forward@openssh.com", String("/run/s")),
            "audit.ssh_forward",
            {"type": "streamlocal-forward@openssh.com", "forward_path": "/run/s"},
        ),
        (channel_request("auth-agent-req@openssh.com"), "audit.ssh_forward", {"type": "auth-agent-req@openssh.com"}),
        (channel_request("shell"), "audit.ssh_run", {"type": "shell", "program": ""}),
        (channel_request("subsystem") + String("sftp"), "audit.ssh_run", {"type": "subsystem", "program": "sftp"}),
        (
            channel_request("exec") + String("TOKEN=hunter2 X=1 mysql -phunter2 db"),
            "audit.ssh_run",
            {"type": "exec", "program": "mysql"},
        ),
        (channel_request("exec") + String(b"\xff\x00" * 400), "audit.ssh_run", {"type": "exec"}),
        (channel_request("exec") + String("A=1"), "audit.ssh_run", {"program": ""}),
        (channel_request("exec"), "audit.ssh_run", {"program": ""}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_was_opened_and_run_is_in_the_log_and_no_secret_with_it(
    bench: Bench, payload: bytes, event: str, facts: dict[str, Any]
) -> None:
    gateway, client, workspace = await bench.join()
    client.leg.send(payload)
    assert await workspace.receive() == payload
    (line,) = gateway.events(event)

    assert {name: line[name] for name in facts} == facts
    assert (line["user"], line["workspace"]) == ("ada", "apple")
    assert "hunter2" not in gateway.log.getvalue()
    assert max(map(len, gateway.log.getvalue().splitlines())) < 1500


async def test_a_refused_channel_is_in_the_log_too(bench: Bench) -> None:
    gateway, _, workspace = await bench.join()
    workspace.leg.send(channel_open("auth-agent@openssh.com", 1))
    await workspace.receive()
    (line,) = gateway.events("audit.ssh_channel_refused")

    assert (line["type"], line["by"]) == ("auth-agent@openssh.com", "workspace")


def test_notes_without_end_are_cut_short_and_go_on_a_minute_later() -> None:
    noted: list[str] = []
    now = [0.0]
    rate = RateOfNotes(lambda event, **_facts: noted.append(event), lambda: now[0])
    for _ in range(limits.NOTES_MAX + 100):
        rate("audit.ssh_channel")

    assert noted == ["audit.ssh_channel"] * limits.NOTES_MAX + ["audit.ssh_notes_dropped"]
    now[0] += limits.NOTES_WINDOW
    rate("audit.ssh_run")
    assert noted[-1] == "audit.ssh_run"


@pytest.mark.parametrize(("text", "shown"), [(b"a\r\nb", "a??b"), (b"\xff", "\ufffd"), (b"x" * 999, "x" * 256)])
def test_what_a_peer_wrote_is_one_short_line(text: bytes, shown: str) -> None:
    assert readable(text) == shown


async def test_a_session_without_data_is_closed_and_one_with_data_is_not(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), idle_timeout=0.5)
    busy, idle = await asyncio.gather(
        gateway.ssh("for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.2; done"),
        gateway.ssh("-o", "ServerAliveInterval=1", "sleep 20"),
    )

    assert busy.out.split()[-1] == b"9"
    assert idle.code == 255
    assert ":11: closed after 0.5 s without data" in idle.err
    assert gateway.sample("ssh_ended_total", reason="idle") == 1


async def test_questions_whether_somebody_is_there_are_no_data(bench: Bench) -> None:
    gateway, client, workspace = await bench.join(idle_timeout=0.3)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asking = group.create_task(_ask_without_end(client, workspace))
        parting = await client.wait_parting()
        asking.cancel()

    assert parting is not None
    assert parting.text == "closed after 0.3 s without data"
    assert gateway.events("ssh.closed") == [] or gateway.events("ssh.closed")[0]["reason"] == parting.text


async def _ask_without_end(client: Peer, workspace: Peer) -> None:
    while True:
        client.leg.send(global_request("keepalive@openssh.com"))
        workspace.leg.send(b"\x62" + UInt32(0) + String("keepalive@openssh.com") + Boolean(True))  # noqa: FBT003 - a reply is wanted
        await asyncio.sleep(0.02)


async def test_a_session_lasts_no_longer_than_it_may(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), max_session=0.5)
    done = await gateway.ssh("while echo busy; do sleep 0.1; done")

    assert done.code == 255
    assert ":11: closed after 0.5 s, the longest a session may last" in done.err
    assert gateway.sample("ssh_ended_total", reason="old") == 1


async def test_nobody_makes_room_by_refusing_what_was_never_asked(bench: Bench) -> None:
    _, client, workspace = await bench.join(max_channels=1)
    await client.receive()
    await _open(client, workspace, 0)
    for end, other in ((client, workspace), (workspace, client)):
        for number in range(5):
            end.leg.send(refusal(number))
            await other.receive()
    client.leg.send(channel_open("session", 1))

    assert await client.receive() == too_many(1)
