"""Packets pass as they are, answers keep their order, and what a hostile end does stays with that end."""

import asyncio

import pytest
from asyncssh.packet import Boolean, String, UInt32

from gateway.ssh import limits
from gateway.ssh.parting import Parting
from tests.gateway.ssh.conftest import Bench, Peer

HOST_KEYS_PROVE = "hostkeys-prove-00@openssh.com"
SUCCESS, FAILURE = b"\x51", b"\x52"
MARK = b"\x5e" + UInt32(0) + String("mark")  # data of channel 0, which is always passed on


def global_request(name: str, rest: bytes = b"", *, reply: bool = True) -> bytes:
    return b"\x50" + String(name) + Boolean(reply) + rest


def channel_open(kind: str, number: int = 0) -> bytes:
    return b"\x5a" + String(kind) + UInt32(number) + UInt32(1 << 21) + UInt32(32768) + String("rest")


def channel_request(name: str) -> bytes:
    return b"\x62" + UInt32(0) + String(name) + Boolean(True)  # noqa: FBT003 - the encoder takes it so


def refusal(number: int) -> bytes:
    return b"\x5c" + UInt32(number) + UInt32(1) + String("Not allowed by the gateway") + String("")


@pytest.mark.parametrize(
    "payload",
    [
        channel_open("session"),
        channel_open("direct-tcpip", 0xFFFFFFFF),
        channel_open("what-nobody-knows@example.com"),
        b"\x5b" + UInt32(3) + UInt32(4) + UInt32(5) + UInt32(6),
        b"\x5c" + UInt32(3) + UInt32(2) + String("refused") + String("en"),
        b"\x5d" + UInt32(9) + UInt32(1),
        b"\x5e" + UInt32(0xFFFFFFFF) + String(bytes(32768)),
        b"\x5f" + UInt32(0) + UInt32(77) + String(b"an unknown kind of extended data"),
        b"\x60" + UInt32(0),
        b"\x61" + UInt32(0),
        channel_request("exit-status") + UInt32(0xFFFFFFFF),
        channel_request("winadj@putty.projects.tartarus.org"),
        b"\x63" + UInt32(0),
        b"\x64" + UInt32(0),
        global_request("no-more-sessions@openssh.com", reply=False),
        global_request("tcpip-forward", String("") + UInt32(0)),
        global_request("what-nobody-knows@example.com", b"\xff"),
        global_request("keepalive@openssh.com"),
    ],
    ids=lambda payload: f"{payload[0]}-{len(payload)}",
)
async def test_a_clients_packet_reaches_the_workspace_byte_for_byte(bench: Bench, payload: bytes) -> None:
    _, client, workspace = await bench.join()
    client.leg.send(payload)

    assert await workspace.receive() == payload


@pytest.mark.parametrize("kind", ["session", "direct-tcpip", "forwarded-tcpip", "auth-agent@openssh.com", "x11", "?"])
async def test_a_channel_the_workspace_opens_unasked_is_refused_and_never_seen(bench: Bench, kind: str) -> None:
    _, client, workspace = await bench.join()
    await client.receive()  # the gateway's host keys
    workspace.leg.send(channel_open(kind, 5))
    workspace.leg.send(MARK)

    assert await workspace.receive() == refusal(5)
    assert await client.receive() == MARK


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (channel_request("auth-agent-req@openssh.com"), "auth-agent@openssh.com"),
        (channel_request("x11-req"), "x11"),
        (global_request("tcpip-forward"), "forwarded-tcpip"),
        (global_request("streamlocal-forward@openssh.com"), "forwarded-streamlocal@openssh.com"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_channel_the_client_asked_for_passes(bench: Bench, asked: bytes, kind: str) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    client.leg.send(asked)
    await workspace.receive()
    workspace.leg.send(channel_open(kind))

    assert await client.receive() == channel_open(kind)


async def test_a_workspace_cannot_ask_on_the_clients_behalf(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    workspace.leg.send(channel_request("auth-agent-req@openssh.com"))
    workspace.leg.send(channel_open("auth-agent@openssh.com", 1))

    assert await workspace.receive() == refusal(1)


async def test_a_network_interface_is_refused_by_the_gateway_itself(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    client.leg.send(channel_open("tun@openssh.com", 8))
    client.leg.send(MARK)

    assert await client.receive() == refusal(8)
    assert await workspace.receive() == MARK


async def test_the_client_hears_of_the_gateways_host_keys_and_never_of_the_workspaces(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    workspace.leg.send(global_request("hostkeys-00@openssh.com", String("the key of the pod"), reply=False))
    workspace.leg.send(MARK)

    assert (await client.receive()).startswith(global_request("hostkeys-00@openssh.com", reply=False))
    assert await client.receive() == MARK


@pytest.mark.parametrize("name", ["tcpip-forward", "hostkeys-prove-00@openssh.com", "what-nobody-knows"])
async def test_a_workspaces_global_request_fails_without_reaching_the_client(bench: Bench, name: str) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    workspace.leg.send(global_request(name))
    workspace.leg.send(MARK)

    assert await workspace.receive() == FAILURE
    assert await client.receive() == MARK


async def test_the_workspaces_own_keepalive_is_answered_by_the_client(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    workspace.leg.send(global_request("keepalive@openssh.com"))
    assert await client.receive() == global_request("keepalive@openssh.com")
    client.leg.send(FAILURE)

    assert await workspace.receive() == FAILURE


async def test_answers_come_in_the_order_of_the_questions_whoever_gives_them(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    for name, rest in (("first", b""), (HOST_KEYS_PROVE, String("no key")), ("third", b"")):
        client.leg.send(global_request(name, rest))
    assert [await workspace.receive(), await workspace.receive()] == [global_request("first"), global_request("third")]
    workspace.leg.send(SUCCESS + UInt32(1))
    workspace.leg.send(SUCCESS + UInt32(3))

    assert [await client.receive() for _ in range(3)] == [SUCCESS + UInt32(1), FAILURE, SUCCESS + UInt32(3)]


@pytest.mark.parametrize("answer", [SUCCESS, FAILURE])
async def test_an_answer_to_no_question_ends_both_legs(bench: Bench, answer: bytes) -> None:
    _, client, workspace = await bench.join()
    workspace.leg.send(answer)

    assert await workspace.wait_parting() == Parting(2, "Answer to no global request")
    assert await client.wait_parting() == Parting(10, "workspace connection lost")


async def test_a_flood_of_questions_ends_when_too_many_are_open(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    for _ in range(limits.PENDING_REPLIES + 1):
        client.leg.send(global_request("keepalive@openssh.com"))

    assert await client.wait_parting() == Parting(2, "Too many unanswered global requests")
    assert workspace.received.qsize() <= limits.PENDING_REPLIES


@pytest.mark.parametrize("kind", [51, 52, 83, 101, 150])
async def test_packets_of_no_channel_stay_on_their_leg(bench: Bench, kind: int) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    workspace.leg.send(bytes((kind,)) + UInt32(0))
    workspace.leg.send(MARK)

    if kind in (51, 52):  # a second end of the login
        assert await client.wait_parting() == Parting(10, "workspace connection lost")
    else:
        assert await client.receive() == MARK


async def test_the_last_words_of_the_workspace_come_after_all_it_sent(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    client.leg.set_reading(reading=False)
    data = [b"\x5e" + UInt32(0) + String(bytes((n,)) * 32768) for n in range(100)]
    for payload in data:
        workspace.leg.send(payload)
    workspace.leg.disconnect(2, "\x1b[2Jgood\nbye\x9b")
    await workspace.leg.gone
    client.leg.set_reading(reading=True)

    assert [await client.receive() for _ in data] == data
    assert await client.wait_parting() == Parting(2, "[2Jgood bye")


async def test_the_last_words_of_the_client_reach_the_workspace(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    client.leg.send(MARK)
    assert await workspace.receive() == MARK
    client.leg.send(MARK)
    client.leg.disconnect(11, "disconnected by user")

    assert await workspace.receive() == MARK
    assert await workspace.wait_parting() == Parting(11, "disconnected by user")


@pytest.mark.parametrize("ended", ["client", "workspace"])
async def test_an_end_that_vanishes_ends_the_other(bench: Bench, ended: str) -> None:
    gateway, client, workspace = await bench.join()
    gone, left = (client, workspace) if ended == "client" else (workspace, client)
    gone.leg.kill()

    assert await left.wait_parting() == Parting(10, f"{ended} connection lost")
    left.leg.kill()
    await gateway.door.drain(5)
    assert gateway.events("ssh.closed")[0]["reason"] == f"{ended} connection lost"


@pytest.mark.parametrize("silent", ["client", "workspace"])
async def test_an_end_that_answers_no_keepalive_ends_both(bench: Bench, silent: str) -> None:
    _, client, workspace = await bench.join(keepalive_interval=0.05, keepalive_count=2)
    quiet, other = (client, workspace) if silent == "client" else (workspace, client)
    answering = asyncio.get_running_loop().create_task(_answer_keepalives(other))

    assert await other.wait_parting() == Parting(10, f"{silent} connection lost")
    answering.cancel()
    assert await quiet.wait_parting() is None


async def _answer_keepalives(peer: Peer) -> None:
    while True:
        if await peer.receive() == global_request("keepalive@openssh.com"):
            peer.leg.send(FAILURE)
