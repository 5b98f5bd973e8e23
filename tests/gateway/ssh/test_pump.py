"""What the pump moves arrives as if asyncssh had parsed and sent it, at one seal, one open and few writes a packet."""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from asyncssh.packet import String, UInt32

from gateway.ssh import limits, pump
from gateway.ssh.cipher import HEADER, PacketCipher
from gateway.ssh.etm import EtmCipher
from gateway.ssh.gcm import GcmCipher
from gateway.ssh.internals.bypass import Bypass
from gateway.ssh.internals.leg import Leg
from gateway.ssh.parting import Parting
from gateway.ssh.pump import Pump
from tests.gateway.ssh.conftest import Bench, Gateway, Peer

MEBIBYTE = 1 << 20
CHUNK = 32768


def data(size: int, channel: int = 0) -> bytes:
    return b"\x5e" + UInt32(channel) + String(bytes(size))


class Wire:
    """Stands before a leg's transport: counts the writes, and keeps what is written from the socket if told to."""

    def __init__(self, leg: Leg, *, keeps: bool = False) -> None:
        assert leg._transport is not None
        self._transport: asyncio.Transport = leg._transport
        self._keeps = keeps
        self.writes = 0
        self.kept = b""
        leg._transport = self  # type: ignore[assignment]  # it does what the leg needs

    def write(self, part: bytes | memoryview) -> None:
        self.writelines([part])

    def writelines(self, parts: Iterable[bytes | memoryview]) -> None:
        self.writes += 1
        if self._keeps:
            self.kept += b"".join(parts)
        else:
            self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def legs(gateway: Gateway) -> tuple[Leg, Leg]:
    """The gateway's own: towards the client, towards the workspace."""
    (connection,) = gateway.door._connections
    assert connection._leg is not None
    assert connection._upstream is not None
    return connection._leg, connection._upstream


def pump_of(leg: Leg) -> Pump:
    assert leg._socket is not None
    protocol = leg._socket.get_protocol()
    assert isinstance(protocol, Pump)
    return protocol


def feed(reader: Pump, received: bytes) -> None:
    """As the loop does after a read."""
    reader.get_buffer(-1)[: len(received)] = received
    reader.buffer_updated(len(received))


def invocations(*ciphers: PacketCipher | None) -> list[int]:
    return [cipher.invocation for cipher in ciphers if isinstance(cipher, GcmCipher | EtmCipher)]


async def receive(peer: Peer, count: int) -> list[bytes]:
    return [await peer.receive() for _ in range(count)]


@pytest.fixture(params=["aes128-gcm@openssh.com", "aes128-ctr"], ids=["gcm", "ctr"])
def bench(bench: Bench, request: pytest.FixtureRequest) -> Bench:
    """Of each kind of cipher that the pump knows; the workspace's leg has the first of them."""
    bench.cipher = request.param
    return bench


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each read from now on."""
    sizes: list[int] = []
    own: Callable[[Pump, int], None] = Pump.buffer_updated

    def note(self: Pump, count: int) -> None:
        sizes.append(count)
        own(self, count)

    monkeypatch.setattr(Pump, "buffer_updated", note)
    return sizes


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_mebibyte_costs_one_open_and_one_seal_a_packet_and_one_write_a_read(
    bench: Bench, reads: list[int], direction: str
) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()  # the gateway's host keys
    inner, outer = legs(gateway)
    source, target, sender, receiver = (
        (inner, outer, client, workspace) if direction == "up" else (outer, inner, workspace, client)
    )
    sender.leg.send(data(1))
    await receiver.receive()
    before, wire = invocations(Bypass(source).opener, Bypass(target).sealer), Wire(target)
    reads.clear()
    packets = [data(CHUNK - 9)] * (MEBIBYTE // CHUNK)
    for payload in packets:
        sender.leg.send(payload)

    assert await receive(receiver, len(packets)) == packets
    after = invocations(Bypass(source).opener, Bypass(target).sealer)
    assert [now - then for now, then in zip(after, before, strict=True)] == [len(packets)] * 2
    assert 0 < wire.writes <= len(reads)


async def test_what_a_read_brings_leaves_in_one_write_whoever_handles_it(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    client.leg.send(data(1))
    await workspace.receive()  # the login is over
    inner, outer = legs(gateway)
    sent, wire = Wire(client.leg, keeps=True), Wire(outer)
    packets = [data(5), b"\x60" + UInt32(0), data(6), b"\x62" + UInt32(0) + String("exit-status"), data(7)]
    for payload in packets:
        client.leg.send(payload)
    feed(pump_of(inner), sent.kept)

    assert await receive(workspace, len(packets)) == packets
    assert wire.writes == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("way", ["pump", "asyncssh"])
async def test_packets_arrive_in_order_and_byte_for_byte_however_they_are_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seed: int, way: str
) -> None:
    if way == "asyncssh":
        monkeypatch.setattr(pump, "DATA", frozenset())
    chance = random.Random(seed)  # noqa: S311 - reproducible
    gateway, client, workspace = await bench.join()
    inner, _ = legs(gateway)
    sent = Wire(client.leg, keeps=True)
    packets = [_packet(chance) for _ in range(120)]
    for payload in packets:
        client.leg.send(payload)
    reader, rest = pump_of(inner), sent.kept
    while rest:
        size = chance.choice((1, 3, 4, 5, 19, 20, 21, 700, 40_000, limits.READ_SIZE))
        feed(reader, rest[:size])
        rest = rest[size:]

    assert await receive(workspace, len(packets)) == packets
    (connection,) = gateway.door._connections
    assert connection._relay is not None
    assert connection._relay.received_bytes == sum(map(len, packets))


def _packet(chance: random.Random) -> bytes:
    """One that both ends may send at any time."""
    number = UInt32(chance.choice((0, 1, 0xFFFFFFFF)))
    body = chance.randbytes(chance.choice((0, 1, 9, 100, 1000, CHUNK)))
    match chance.randrange(8):
        case 0:
            return b"\x5d" + number + UInt32(chance.randrange(1 << 32))
        case 1:
            return b"\x5f" + number + UInt32(1) + String(body)
        case 2:
            return b"\x60" + number
        case 3:
            return b"\x62" + number + String("window-change") + b"\x00" + body
        case _:
            return b"\x5e" + number + String(body)


async def test_each_end_answers_with_the_right_number_after_packets_that_were_moved(bench: Bench) -> None:
    """UNIMPLEMENTED names the number of a packet (RFC 4253 section 11.4), which the pump has to count as well."""
    gateway, client, workspace = await bench.join()
    answers: list[bytes] = []
    client.leg._packet_handlers = {
        **client.leg._packet_handlers,
        3: lambda *args: answers.append(args[-1].get_full_payload()),
    }
    await client.receive()
    for _ in range(5):
        client.leg.send(data(10))
    await receive(workspace, 5)
    number = client.leg._send_seq
    client.leg.send(b"\x96")
    client.leg.send(data(11))
    await workspace.receive()
    workspace.leg.send(data(12))
    assert await client.receive() == data(12)

    assert answers == [b"\x03" + UInt32(number)]
    inner, outer = legs(gateway)
    assert (inner._recv_seq, outer._send_seq) == (client.leg._send_seq, workspace.leg._recv_seq)
    assert (outer._recv_seq, inner._send_seq) == (workspace.leg._send_seq, client.leg._recv_seq)


@pytest.mark.parametrize("end", ["client", "workspace"])
async def test_the_gateway_changes_keys_when_enough_was_moved(bench: Bench, end: str) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    inner, outer = legs(gateway)
    leg, sender, receiver = (inner, workspace, client) if end == "client" else (outer, client, workspace)
    leg._rekey_bytes = 10 * CHUNK
    keys = {id(leg._send_encryption)}
    packets = [data(CHUNK)] * 64
    for payload in packets:
        sender.leg.send(payload)
        await asyncio.sleep(0)
        keys.add(id(leg._send_encryption))
    assert await receive(receiver, len(packets)) == packets

    assert leg._rekey_bytes_sent < 64 * CHUNK
    assert len(keys) > 1


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "aes128-ctr"])
async def test_legs_may_have_different_ciphers(gateway: Gateway, cipher: str) -> None:
    sent = random.Random(1).randbytes(3 * MEBIBYTE)  # noqa: S311 - reproducible
    done = await gateway.ssh("-c", cipher, "cat", stdin=sent)

    assert done.out == sent


@pytest.mark.parametrize("at", [3, 4, 100, -1], ids=["length", "first", "middle", "tag"])
async def test_a_forged_packet_among_good_ones_ends_the_leg_and_what_came_before_it_arrives(
    bench: Bench, at: int
) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    inner, _ = legs(gateway)
    sent = Wire(client.leg, keeps=True)
    client.leg.send(data(1))
    good = len(sent.kept)
    client.leg.send(data(500))
    forged = bytearray(sent.kept)
    forged[good + at if at >= 0 else at] ^= 16 if at == 3 else 1
    feed(pump_of(inner), bytes(forged) + bytes(64))

    assert await workspace.receive() == data(1)
    assert await workspace.wait_parting() == Parting(10, "client connection lost")
    assert workspace.received.empty()


@pytest.mark.parametrize("length", [limits.PACKET_MAX + 1, 0xFFFFFFFF])
async def test_a_length_beyond_all_measure_ends_the_leg_at_once(bench: Bench, length: int) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    inner, _ = legs(gateway)
    feed(pump_of(inner), UInt32(length) + bytes(60))

    assert await client.wait_parting() == Parting(2, "Max packet size exceeded")
    assert await workspace.wait_parting() == Parting(10, "client connection lost")


@pytest.mark.parametrize(
    ("packet", "arrives"),
    [
        (bytes((11,)) + data(2)[:4] + bytes(11), False),  # no whole channel number
        (bytes((2,)) + data(4) + bytes(2), True),  # less padding than is allowed
        (bytes((4,)) + data(7) + bytes(4), True),  # no whole number of blocks
        (bytes((200,)) + data(2), False),  # more padding than there is
    ],
    ids=["short", "tight", "uneven", "hollow"],
)
async def test_a_packet_of_an_odd_shape_means_what_asyncssh_says(bench: Bench, packet: bytes, *, arrives: bool) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    inner, _ = legs(gateway)
    sent = Wire(client.leg, keeps=True)
    client.leg.send(data(1))  # so that the client's cipher has the next number
    cipher = client.leg._send_encryption
    assert cipher is not None
    sealed = b"".join(cipher.encrypt_packet(client.leg._send_seq, UInt32(len(packet)), packet))
    assert len(sealed) == HEADER + len(packet) + Bypass(client.leg).tag
    feed(pump_of(inner), sent.kept + sealed)

    assert await workspace.receive() == data(1)
    if arrives:
        payload = packet[1 : -packet[0]]
        assert await workspace.receive() == payload
    else:
        assert await workspace.wait_parting() == Parting(10, "client connection lost")


async def test_data_for_a_leg_that_is_gone_goes_nowhere(bench: Bench) -> None:
    gateway, client, workspace = await bench.join()
    await client.receive()
    inner, outer = legs(gateway)
    sent = Wire(client.leg, keeps=True)
    client.leg.send(data(1))
    reader = pump_of(inner)
    outer.kill()
    feed(reader, sent.kept)

    assert await client.wait_parting() == Parting(10, "workspace connection lost")
    assert await workspace.wait_parting() is None
