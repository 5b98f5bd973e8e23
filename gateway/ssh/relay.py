"""Hands every connection-layer packet (RFC 4254, types 80 and up) from one leg to the other, as it is.

Channel numbers and windows stay those of the two ends, because the gateway opens no channel of its own. Looked at are
only global requests, whose answers have no number and so must keep their order, and what `channels` decides about.
Everything here is sync; back-pressure and the ending each have one place: `congestion_changed` and `leg_closed`.
"""

from collections import deque
from dataclasses import dataclass, field

import asyncssh
from asyncssh.packet import Boolean, SSHPacket, String

from gateway.idle.pulse import Pulse
from gateway.ssh import limits
from gateway.ssh.channels import Channels
from gateway.ssh.flow import Flow
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.internals.leg import Leg
from gateway.ssh.parting import Parting
from gateway.ssh.pump import Pump
from gateway.telemetry.metrics import Metrics

_GLOBAL_REQUEST, _REQUEST_SUCCESS, _REQUEST_FAILURE = 80, 81, 82
_CHANNEL_OPEN, _CHANNEL_OPEN_CONFIRMATION, _CHANNEL_OPEN_FAILURE = 90, 91, 92
_CHANNEL_CLOSE, _CHANNEL_REQUEST = 97, 98
_INSPECTED = frozenset(
    (
        *(_GLOBAL_REQUEST, _REQUEST_SUCCESS, _REQUEST_FAILURE),
        *(_CHANNEL_OPEN, _CHANNEL_OPEN_CONFIRMATION, _CHANNEL_OPEN_FAILURE),
        *(_CHANNEL_CLOSE, _CHANNEL_REQUEST),
    )
)

_FAILURE = bytes((_REQUEST_FAILURE,))
_PROVE_NAME = b"hostkeys-prove-00@openssh.com"
_KEEPALIVE_NAME = b"keepalive@openssh.com"
_KEEPALIVE = bytes((_GLOBAL_REQUEST,)) + String(_KEEPALIVE_NAME) + Boolean(True)  # noqa: FBT003 - a reply is wanted


@dataclass(slots=True, eq=False)
class _Owed:
    """The answer to one global request; until it is known, the answers to later requests wait behind it."""

    answer: bytes | None = None


@dataclass(slots=True, eq=False)
class _Side:
    """One leg, and the global requests open on it."""

    name: str
    leg: Leg
    flow: Flow
    asked: deque[_Owed | None] = field(default_factory=deque)
    """What we asked the peer, in order: on behalf of the other leg, or (None) whether it is alive."""
    owed: deque[_Owed] = field(default_factory=deque)
    """What the peer asked, in order."""
    rekeys: limits.RekeyBudget = field(default_factory=limits.RekeyBudget)
    was_rekeying: bool = False

    def is_storming(self, size: int) -> bool:
        """Whether key exchanges come one after the other with no data to be protected by them."""
        begins = self.leg.is_rekeying and not self.was_rekeying
        self.was_rekeying = self.leg.is_rekeying
        if begins:
            self.flow.note_rekey()
        return begins and not self.rekeys.take(size)

    def owe(self, owed: _Owed) -> None:
        if len(self.owed) >= limits.PENDING_REPLIES:
            raise asyncssh.ProtocolError("Too many unanswered global requests")
        self.owed.append(owed)

    def settle(self) -> None:
        """Sends every answer that no earlier one holds back (RFC 4254 section 4)."""
        while self.owed and (answer := self.owed[0].answer) is not None:
            self.owed.popleft()
            self.leg.send(answer)


class Relay:
    """Two authenticated legs, joined until one of them ends."""

    def __init__(self, client: ClientLeg, workspace: WorkspaceLeg, channels: Channels, metrics: Metrics) -> None:
        self._client_leg = client
        self._channels = channels
        self._keepalive_bytes = 0
        self._answer_bytes = 0
        self.pulse = Pulse()
        self._client = _Side("client", client, Flow(metrics, "client", "received"))
        self._workspace = _Side("workspace", workspace, Flow(metrics, "workspace", "sent"))
        self.ended: Parting | None = None
        """Why the relay ended; None while it runs."""
        self.ended_by = "gateway"
        """Or client or workspace, whichever leg ended first."""

    @property
    def received_bytes(self) -> int:
        """Relayed so far from the client."""
        return self._client.flow.size

    @property
    def sent_bytes(self) -> int:
        """Relayed so far to the client."""
        return self._workspace.flow.size

    @property
    def data_bytes(self) -> int:
        """Data of channels from the client so far, which neither keepalives nor window adjusts are."""
        return self._client.flow.data

    @property
    def typed_bytes(self) -> int:
        """The same without what only answers the workspace's data, as an editor does."""
        return self._client.flow.data - self._answer_bytes

    @property
    def runs(self) -> int:
        """Shells, commands and subsystems that the client asked for so far."""
        return self._channels.runs

    @property
    def has_terminal(self) -> bool:
        """Whether the client asked for one; a terminal sends nothing by itself, unlike an editor."""
        return self._channels.has_terminal

    @property
    def working_bytes(self) -> int:
        """Relayed so far, both ways, but for questions whether somebody is there."""
        return self._client.flow.size + self._workspace.flow.size - self._keepalive_bytes

    def start(self) -> None:
        """Joins the legs; what the workspace sent early is relayed at once."""
        self._client.leg.attach(self)
        if not self._workspace.leg.is_open:
            self.leg_closed(self._workspace.leg, None)
            return
        self._workspace.leg.attach(self)
        for side, other in ((self._client, self._workspace), (self._workspace, self._client)):
            side.leg.read_through(Pump(side.leg, other.leg, self))
        self.congestion_changed()

    def close(self, parting: Parting) -> None:
        """Ends both legs, each after what was sent to it so far."""
        self.ended = self.ended or parting
        for side in (self._client, self._workspace):
            side.leg.disconnect(parting.code, parting.text)

    # What a leg reports

    def packet_received(self, leg: Leg, payload: bytes) -> None:
        side, other = self._sides(leg)
        passed = self._inspect(side, other, payload) if payload[0] in _INSPECTED else payload
        if passed is not None:
            self._note_data(side, side.flow.note_packet(passed))
            other.leg.send(passed)

    def data_relayed(self, leg: Leg, size: int, packets: int) -> None:
        """A pump has moved packets with payloads of this size, which nobody needs to look at."""
        side, _ = self._sides(leg)
        self._note_data(side, side.flow.note_pumped(size, packets))

    def congestion_changed(self) -> None:
        """Reads a leg only while the other takes its packets; but a key exchange must be read, or it never ends."""
        for side, other in ((self._client, self._workspace), (self._workspace, self._client)):
            if self.ended is None and side.is_storming(self.received_bytes + self.sent_bytes):
                self.close(Parting(asyncssh.DISC_PROTOCOL_ERROR, "Too many key exchanges"))
                return
            side.flow.note_congestion(is_congested=side.leg.is_congested)
            side.leg.set_reading(reading=side.leg.is_rekeying or not other.leg.is_congested)

    def keepalive_due(self, leg: Leg) -> None:
        side, _ = self._sides(leg)
        side.asked.append(None)
        side.leg.send(_KEEPALIVE)

    def leg_closed(self, leg: Leg, parting: Parting | None) -> None:
        side, other = self._sides(leg)
        side.flow.end()
        other.flow.end()
        self._channels.end()
        self.ended_by = self.ended_by if self.ended else side.name
        self.ended = self.ended or parting or Parting(asyncssh.DISC_CONNECTION_LOST, f"{side.name} connection lost")
        other.leg.disconnect(self.ended.code, self.ended.text)

    # What is looked at

    def _inspect(self, side: _Side, other: _Side, payload: bytes) -> bytes | None:
        """What the other leg is to be sent for it."""
        packet = SSHPacket(payload)
        is_client = side is self._client
        match packet.get_byte():
            case 80:
                return payload if self._on_global_request(side, other, packet, len(payload)) else None
            case 90:
                refusal = self._channels.get_refusal(packet, is_client=is_client)
                if refusal is None:
                    return payload
                side.leg.send(refusal)
                return None
            case 91 | 92 as kind:
                self._channels.note_answered(is_client=is_client, is_failed=kind == _CHANNEL_OPEN_FAILURE)
                return payload
            case 97:
                self._channels.note_closed(is_client=is_client)
                return payload
            case 98:
                return self._on_channel_request(payload, packet, is_client=is_client)
            case _:
                self._on_reply(side, other, payload)
                return None

    def _note_data(self, side: _Side, size: int) -> None:
        if not size:
            return
        if side is self._workspace:
            self.pulse.speak()
        elif not self.pulse.is_still():
            self._answer_bytes += size

    def _on_global_request(self, side: _Side, other: _Side, packet: SSHPacket, size: int) -> bool:
        name = packet.get_string()
        wants_reply = packet.get_boolean()
        if name == _KEEPALIVE_NAME:
            self._keepalive_bytes += size
        if name == _PROVE_NAME and not wants_reply:
            return False  # nobody would read the proof
        answer = self._own_answer(side, name, packet)
        if not wants_reply:
            return answer is None
        owed = _Owed(answer)
        side.owe(owed)
        if answer is None:
            other.asked.append(owed)
            return True
        side.settle()
        return False

    def _own_answer(self, side: _Side, name: bytes, packet: SSHPacket) -> bytes | None:
        """The gateway's own answer to a global request, None where the other leg is to give it."""
        if side is self._workspace:
            # Its host keys (hostkeys-00@openssh.com) are not the ones the client sees; it has nothing else to ask for.
            return None if name == _KEEPALIVE_NAME else _FAILURE
        if name == _PROVE_NAME:
            return self._client_leg.prove_host_keys(packet)
        return _FAILURE if self._channels.is_forward_refused(name, packet) else None

    def _on_reply(self, side: _Side, other: _Side, payload: bytes) -> None:
        if not side.asked:
            raise asyncssh.ProtocolError("Answer to no global request")
        owed = side.asked.popleft()
        if owed is not None:
            owed.answer = payload
            other.settle()

    def _on_channel_request(self, payload: bytes, packet: SSHPacket, *, is_client: bool) -> bytes | None:
        if is_client:
            return self._channels.pass_request(payload, packet)
        packet.get_uint32()
        if packet.get_string() == _KEEPALIVE_NAME:  # sshd's way to ask, where a channel is open
            self._keepalive_bytes += len(payload)
        return payload

    def _sides(self, leg: Leg) -> tuple[_Side, _Side]:
        """The side of `leg`, then the other one."""
        if leg is self._client.leg:
            return self._client, self._workspace
        return self._workspace, self._client
