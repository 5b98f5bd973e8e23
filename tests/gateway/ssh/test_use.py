"""What a person sends over SSH is told from what the protocol and programs send by themselves."""

import asyncio

import pytest
from asyncssh.packet import Boolean, String, UInt32

from gateway.idle.ledger import Use
from gateway.ssh.pump import DATA
from tests.gateway.ssh.conftest import WORKSPACE, Bench, Gateway, Peer

NUMBER = "7"
"""GitLab's, of the workspace of a bench."""
CIPHERS = ["aes128-gcm@openssh.com", "aes128-ctr"]
"""One that pumps move, and one that goes through asyncssh packet by packet."""
REQUEST = b"\x62" + UInt32(0)
PTY = REQUEST + String("pty-req") + Boolean(False) + String("xterm") + UInt32(80) * 4 + String("")  # noqa: FBT003 - the encoder takes it so


def data(size: int) -> bytes:
    return b"\x5e" + UInt32(0) + String(bytes(size))


async def pass_hour(gateway: Gateway, client: Peer, workspace: Peer, *packets: bytes) -> float | None:
    """Seconds for which the workspace was idle, after an hour at whose end the client sent this."""
    for _ in range(60):
        gateway.clock.now += 60
        gateway.uses.look()
    for packet in packets:
        client.leg.send(packet)
        assert await workspace.receive() == packet
    gateway.uses.look()
    return gateway.ledger.idle(NUMBER)


async def test_a_login_is_use(bench: Bench) -> None:
    gateway, _, _ = await bench.join()
    last = gateway.ledger.get(NUMBER)

    assert last is not None
    assert last.use is Use.SSH


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize(
    ("packets", "idle"),
    [
        ((data(1),), 0),
        ((b"\x5f" + UInt32(0) + UInt32(1) + String("e"),), 0),
        ((b"\x5d" + UInt32(0) + UInt32(1 << 20),) * 1000, 3600),
        ((b"\x50" + String("keepalive@openssh.com") + Boolean(True),) * 20, 3600),  # noqa: FBT003 - as above
        ((REQUEST + String("keepalive@openssh.com") + Boolean(True),) * 20, 3600),  # noqa: FBT003 - as above
        ((b"\x60" + UInt32(0),), 3600),
        ((REQUEST + String("exec") + Boolean(True) + String("make"),), 0),  # noqa: FBT003 - as above
    ],
    ids=["a key", "extended data", "window adjusts", "keepalives", "keepalives of a channel", "an end", "a command"],
)
async def test_of_a_terminal_data_and_commands_are_use_and_nothing_else(
    bench: Bench, cipher: str, packets: tuple[bytes, ...], idle: float
) -> None:
    bench.cipher = cipher
    gateway, client, workspace = await bench.join()
    client.leg.send(PTY)
    assert await workspace.receive() == PTY

    assert await pass_hour(gateway, client, workspace, *packets) == idle


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_output_of_a_terminal_is_no_use(bench: Bench, cipher: str) -> None:
    """And the window adjusts that answer it are none either."""
    bench.cipher = cipher
    gateway, client, workspace = await bench.join()
    client.leg.send(PTY)
    assert await workspace.receive() == PTY
    await client.receive()  # the gateway's host keys
    for _ in range(100):
        workspace.leg.send(data(30_000))
        assert len(await client.receive()) == 30_009

    assert await pass_hour(gateway, client, workspace, b"\x5d" + UInt32(0) + UInt32(1 << 21)) == 3600


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize(("size", "idle"), [(100, 3600), (10_000, 0)], ids=["a heartbeat", "work"])
async def test_of_a_connection_without_a_terminal_only_more_than_a_heartbeat_is_use(
    bench: Bench, cipher: str, size: int, idle: float
) -> None:
    """An editor sends its heartbeats as data."""
    bench.cipher = cipher
    gateway, client, workspace = await bench.join()

    assert await pass_hour(gateway, client, workspace, data(size)) in (idle, idle + 60)


@pytest.mark.parametrize("cipher", CIPHERS)
async def test_data_is_counted_to_the_byte_whichever_way_it_goes(bench: Bench, cipher: str) -> None:
    """Of each packet what it carries, and of window adjusts nothing."""
    bench.cipher = cipher
    gateway, client, workspace = await bench.join()
    (connection,) = gateway.door._connections
    sizes = [1, 2, 3, 10, 100, 1000, 10_000]
    for size in sizes:
        client.leg.send(data(size))
        client.leg.send(b"\x5d" + UInt32(0) + UInt32(size))
        assert len(await workspace.receive()) == size + 9
        await workspace.receive()

    assert connection.relay is not None
    assert connection.relay.typed_bytes == sum(sizes)
    assert len(DATA) == 3


async def test_ssh_with_a_terminal_is_told_from_ssh_without(gateway: Gateway) -> None:
    """By OpenSSH's own client."""
    without = await gateway.ssh("-T", "cat > /dev/null", stdin=b"some input")
    gateway.clock.now += 3600
    asked = ("ssh", *gateway.options, "-tt", f"{WORKSPACE}@127.0.0.1", "cat")
    async with gateway.start(*asked) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"a\r")
        async with asyncio.timeout(20):
            await program.stdout.readuntil(b"a")
        (connection,) = gateway.door._connections
        relay = connection.relay

    assert without.code == 0
    assert relay is not None
    assert relay.has_terminal
    assert relay.typed_bytes >= 2
    assert gateway.ledger.idle(NUMBER) == 0
