"""The legs: what asyncssh does not do by itself about congestion, key changes, noise and hostile peers."""

import asyncio
from contextlib import suppress

import asyncssh
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.packet import Boolean, String, UInt32

from gateway.ssh import limits
from gateway.ssh.parting import Parting
from tests.gateway.ssh.conftest import LOOPBACK, Bench, Gateway, Peer

HOST_KEYS_PROVE = "hostkeys-prove-00@openssh.com"
MARK = b"\x5e" + UInt32(0) + String("mark")  # data of channel 0


def global_request(name: str, rest: bytes = b"") -> bytes:
    return b"\x50" + String(name) + Boolean(True) + rest  # noqa: FBT003 - the encoder takes it so


def watch(peer: Peer, kind: int) -> list[bytes]:
    """Fills up with the packets of one type that the peer's leg would keep to itself."""
    seen: list[bytes] = []
    own = peer.leg._packet_handlers
    peer.leg._packet_handlers = {**own, kind: lambda *args: seen.append(args[-1].get_full_payload())}
    return seen


async def test_a_ping_is_answered_by_the_gateway(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    pongs = watch(client, 193)
    client.leg.send(b"\xc0" + String("keystroke"))
    client.leg.send(MARK)
    await workspace.receive()
    client.leg.send(global_request(HOST_KEYS_PROVE, String("no key")))
    await client.receive()
    await client.receive()

    assert pongs == [b"\xc1" + String("keystroke")]


async def test_a_host_key_is_proven_once_in_an_answer(bench: Bench) -> None:
    """A packet has room for thousands of names of one key, and the loop would stand still for their signatures."""
    gateway, client, _ = await bench.join()
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    (key, *_) = connection._leg._all_server_host_keys
    client.leg.send(global_request(HOST_KEYS_PROVE, String(key) * 3000))
    client.leg.send(global_request(HOST_KEYS_PROVE, String(key)))
    answers = [await client.receive(), await client.receive()]
    while answers[0][0] not in (81, 82):  # the announcement of the keys may come first
        answers = [answers[1], await client.receive()]

    assert [answer[0] for answer in answers] == [82, 81]


async def test_proofs_without_end_are_refused(bench: Bench) -> None:
    gateway, client, _ = await bench.join()
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    (key, *_) = connection._leg._all_server_host_keys
    for _ in range(9):
        client.leg.send(global_request(HOST_KEYS_PROVE, String(key)))

    assert await client.wait_parting() == Parting(2, "Too many requests to prove host keys")


async def test_a_client_that_pings_and_reads_nothing_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, client, _ = await bench.join()
    monkeypatch.setattr(limits, "BACKLOG_MAX", 4 * limits.WRITE_HIGH)
    client.leg.set_reading(reading=False)
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    async with asyncio.timeout(20):
        while connection._leg.is_open:
            client.leg.send(b"\xc0" + String(bytes(32768)))
            await asyncio.sleep(0)

    assert not connection._leg.is_open


async def test_both_legs_change_keys_at_once_while_data_crosses(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    data = [b"\x5e" + UInt32(0) + String(bytes((n,)) * 32768) for n in range(64)]
    for index, payload in enumerate(data):
        for end in (client, workspace):
            end.leg.send(payload)
            if index % 16 == 8 and end.leg._kex_complete:
                end.leg._send_kexinit()
                end.leg._kexinit_sent = True
        await asyncio.sleep(0)

    assert [await client.receive() for _ in data] == data
    assert [await workspace.receive() for _ in data] == data


async def test_a_client_that_does_not_read_stops_the_workspace_and_not_the_gateway(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    client.leg.set_reading(reading=False)
    payload = b"\x5e" + UInt32(0) + String(bytes(32768))
    async with asyncio.timeout(20):
        while not workspace.leg.is_congested:  # its bytes pile up at its own end
            workspace.leg.send(payload)
            await asyncio.sleep(0)
        (connection,) = gateway.door._connections
        while connection._upstream is not None and connection._upstream._is_reading:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    assert connection._leg._transport is not None

    assert connection._leg._transport.get_write_buffer_size() < 2 * limits.WRITE_HIGH
    assert workspace.leg.is_open


async def test_no_packet_is_preceded_by_noise(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    noise = watch(client, 2) + watch(workspace, 2)
    await client.receive()
    for _ in range(20):
        client.leg.send(MARK)
        workspace.leg.send(MARK)
    for end in (client, workspace):
        assert [await end.receive() for _ in range(20)] == [MARK] * 20

    assert noise == []


async def test_a_key_exchange_that_never_ends_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, client, workspace = await bench.join()
    monkeypatch.setattr(limits, "REKEY_DEADLINE", 0.1)
    await client.receive()
    watch(client, 20)  # swallows the gateway's KEXINIT
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    connection._leg._send_kexinit()

    assert await workspace.wait_parting() == Parting(10, "client connection lost")


async def test_data_in_the_middle_of_a_key_exchange_ends_the_leg(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    client.leg._send_kexinit()
    client.leg._kexinit_sent = True
    client.leg._kex_complete = True  # so that it does not wait for the exchange
    SSHConnection.send_packet(client.leg, MARK[0], MARK[1:])

    assert await client.wait_parting() == Parting(2, "Packet during key exchange")
    assert await workspace.wait_parting() == Parting(10, "client connection lost")


async def test_a_peer_that_takes_nothing_is_cut_off_before_memory_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, client, workspace = await bench.join()
    monkeypatch.setattr(limits, "BACKLOG_MAX", 4 * limits.WRITE_HIGH)
    client.leg.set_reading(reading=False)
    (connection,) = gateway.door._connections
    assert connection._upstream is not None
    monkeypatch.setattr(connection._upstream, "set_reading", lambda *, reading: None)  # noqa: ARG005 - as if unstoppable
    payload = b"\x5e" + UInt32(0) + String(bytes(32768))
    async with asyncio.timeout(20):
        while workspace.leg.is_open:
            workspace.leg.send(payload)
            await asyncio.sleep(0)

    assert await workspace.wait_parting() == Parting(10, "client connection lost")


async def test_a_client_that_asks_much_and_reads_nothing_before_login_is_cut_off(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    await reader.readline()
    writer.write(b"SSH-2.0-flood\r\n" + (bytes((0, 0, 0, 12, 10, 9)) + bytes(10)) * 40_000)  # unknown packets
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(bytes(1024))
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()

    await gateway.door.drain(5)
    assert gateway.sample("ssh_connections", state="login") == 0


@pytest.mark.parametrize("length", [0, 1, 256 * 1024 + 1, 0xFFFFFFFF])
async def test_a_packet_of_impossible_length_ends_the_connection_at_once(gateway: Gateway, length: int) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.write(b"SSH-2.0-giant\r\n" + UInt32(length) + bytes(64))
    writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()

    await gateway.door.drain(5)
    assert repr(gateway.door) == "SshDoor(connections=0, listening=False)"


async def test_garbage_below_the_cipher_ends_both_legs(bench: Bench) -> None:
    _, client, workspace = await bench.join()
    await client.receive()
    assert client.leg._socket is not None
    client.leg._socket.write(bytes(1024))

    parting = await client.wait_parting()
    assert parting is not None
    assert parting.code == asyncssh.DISC_MAC_ERROR
    assert await workspace.wait_parting() == Parting(10, "client connection lost")
