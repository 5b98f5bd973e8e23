"""Packets of both ends of an SSH connection after the login, through `gateway.ssh`: pump, relay and channels.

An input chooses the ciphers and what may be forwarded, and then says packet by packet who sends it, how it is padded
and cut into reads, and whether a byte of it is changed on the way.

- Nothing is raised into the loop, and a leg ends only for a reason that SSH has a code for.
- What the pump moves is what asyncssh, reading every packet itself, would have had the relay move: both ends are sent
  the same packets in the same order, and the connection ends at the same place.
- A packet counts for the same bytes and the same use whichever way it goes, and never for less than nothing.
- The workspace is sent the client's packets, each as it is and in order, and else only answers; a kind of channel or
  forward that is off never reaches it.
- The client is sent the workspace's packets in the same way, and no channel of a kind it has not asked for.
- Nobody gets more answers to global requests than they have asked questions.
- A packet that was changed on the way ends the connection, and nothing of it or after it arrives.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket

from config.settings import SshSettings
from gateway.ssh import pump
from tests.fuzz.joined import CTR, GCM, End, Joined, join
from tests.fuzz.one_loop import run
from tests.fuzz.pieces import Pieces

SETTINGS = (
    SshSettings(),
    SshSettings(forward_local=False, forward_agent=False, max_channels=2),
    SshSettings(forward_remote=False, forward_sockets=False, forward_x11=False),
)
CIPHERS = (GCM, CTR)
ENDS: tuple[End, End] = ("client", "workspace")
ANSWERS = {3, 81, 82, 92, 193}  # unimplemented, success, failure, refused channel, pong
FORWARDS = {
    b"tcpip-forward": b"forwarded-tcpip",
    b"streamlocal-forward@openssh.com": b"forwarded-streamlocal@openssh.com",
    b"auth-agent-req@openssh.com": b"auth-agent@openssh.com",
    b"agent-req": b"agent-connect",
    b"x11-req": b"x11",
}
STAND_IN = b"refused-by-gateway@workspaces.gitlab.com"


@dataclass(frozen=True)
class Step:
    """One packet of one end."""

    sender: End
    payload: bytes
    padding: int
    cut: int
    """Bytes of it in a first read; 0 for one read."""
    changed: int
    """Of which byte a bit is flipped; 0 for none."""
    is_held: bool
    """Whether it waits for that end's next packet, to be read with it."""


def check(data: bytes) -> None:
    pieces = Pieces(data)
    settings = SETTINGS[pieces.number(len(SETTINGS))]
    ciphers = CIPHERS[pieces.number(2)], CIPHERS[pieces.number(2)]
    steps = read_steps(pieces)
    pumped = run(play(steps, settings, ciphers))
    with asyncssh_alone():
        plain = run(play(steps, settings, ciphers))
    assert pumped == plain
    to_client, to_workspace, _ = pumped
    check_passed([step.payload for step in steps if step.sender == "client"], to_workspace)
    check_passed([step.payload for step in steps if step.sender == "workspace"], to_client)
    check_opened(steps, to_client, to_workspace, settings)
    for end, heard in (("client", to_client), ("workspace", to_workspace)):
        asked = sum(step.sender == end and step.payload[:1] == b"\x50" for step in steps)
        assert sum(payload[0] in (81, 82) for payload in heard) <= asked


def read_steps(pieces: Pieces) -> list[Step]:
    steps = []
    while pieces.has_more:
        flags = pieces.number(256)
        payload = pieces.string()
        if not payload:
            continue
        padding = pieces.number(12) if flags & 2 else 0
        cut = pieces.number(256) if flags & 4 else 0
        changed = pieces.number(256) if flags & 8 else 0
        steps.append(Step(ENDS[flags & 1], payload, padding, cut, changed, bool(flags & 16)))
    return steps


@contextmanager
def asyncssh_alone() -> Iterator[None]:
    """Nothing is moved past asyncssh."""
    own, pump.DATA = pump.DATA, frozenset()
    try:
        yield
    finally:
        pump.DATA = own


async def play(
    steps: list[Step], settings: SshSettings, ciphers: tuple[bytes, bytes]
) -> tuple[list[bytes], list[bytes], str]:
    """What both ends are sent, and how it ended."""
    joined = join(settings, ciphers)
    held: dict[End, bytes] = {"client": b"", "workspace": b""}
    for step in steps:
        end = joined.end(step.sender)
        packet = bytearray(end.sealed(step.payload, step.padding))
        if step.changed:
            packet[4 + step.changed % (len(packet) - 4)] ^= 1
        data, held[step.sender] = held[step.sender] + bytes(packet), b""
        if step.is_held:
            held[step.sender] = data
            continue
        for part in (data[: step.cut], data[step.cut :]):
            if part and end.leg.is_open:
                end.deliver(part)
    ended = how_it_ended(joined)
    heard = joined.client.received(), joined.workspace.received()
    joined.close()
    await asyncio.sleep(0)  # asyncssh tells the owners of the legs
    await asyncio.sleep(0)
    assert all(exc is None or isinstance(exc, asyncssh.DisconnectError) for exc in joined.endings), joined.endings
    return *heard, ended


def how_it_ended(joined: Joined) -> str:
    relay = joined.relay
    assert 0 <= relay.typed_bytes <= relay.data_bytes <= relay.received_bytes
    counts = relay.received_bytes, relay.sent_bytes, relay.data_bytes, relay.working_bytes
    return repr((relay.ended, relay.ended_by, joined.client.leg.is_open, joined.workspace.leg.is_open, counts))


def check_passed(sent: list[bytes], heard: list[bytes]) -> None:
    """All of it was sent so, in this order, but for what the gateway says itself."""
    position = 0
    for payload in heard:
        if payload in sent[position:]:
            position = sent.index(payload, position) + 1
        elif payload[0] == 1:
            assert payload is heard[-1], "something was said after the farewell"
        else:
            assert payload[0] in ANSWERS or STAND_IN in payload, payload


def check_opened(steps: list[Step], to_client: list[bytes], to_workspace: list[bytes], settings: SshSettings) -> None:
    asked = {FORWARDS.get(name_in(step.payload), b"") for step in steps if step.sender == "client"}
    assert {name_in(payload) for payload in to_client if payload[0] == 90} <= asked
    off = {
        b"direct-tcpip": settings.forward_local,
        b"tcpip-forward": settings.forward_remote,
        b"direct-streamlocal@openssh.com": settings.forward_sockets,
        b"streamlocal-forward@openssh.com": settings.forward_sockets,
        b"auth-agent-req@openssh.com": settings.forward_agent,
        b"x11-req": settings.forward_x11,
        b"tun@openssh.com": False,
    }
    reached = {name_in(payload) for payload in to_workspace}
    assert not {name for name, is_on in off.items() if not is_on} & reached


def name_in(payload: bytes) -> bytes:
    """The kind of a channel or request, as asyncssh reads it; of other packets nothing."""
    packet = SSHPacket(payload)
    try:
        kind = packet.get_byte()
        if kind == 98:
            packet.get_uint32()
        return packet.get_string() if kind in (80, 90, 98) else b""
    except PacketDecodeError:
        return b""
