"""Which channels and forwards the two ends of one connection may have of each other, and what is noted of them.

Pure but for the notes. A decision is made from the beginning of a packet (RFC 4254 sections 4, 5 and 7, OpenSSH's
PROTOCOL file); what is only noted may be malformed, as the far end says what it thinks of that.
"""

from collections import Counter
from collections.abc import Callable

import asyncssh
from asyncssh.packet import Boolean, PacketDecodeError, SSHPacket, String, UInt32

from config.settings import SshSettings
from gateway.ssh import limits
from gateway.telemetry.metrics import Metrics

CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST = 92, 98

# What a client asks for -> the type of channel that the workspace may from then on open towards it.
_FORWARDS = {
    b"tcpip-forward": b"forwarded-tcpip",
    b"streamlocal-forward@openssh.com": b"forwarded-streamlocal@openssh.com",
}
_CANCELS = {b"cancel-" + name: kind for name, kind in _FORWARDS.items()}
_AGENT, _X11 = b"auth-agent@openssh.com", b"x11"
_REQUESTS = {b"auth-agent-req@openssh.com": _AGENT, b"agent-req": b"agent-connect", b"x11-req": _X11}
_KINDS = frozenset(  # by name; a metric takes no name of a peer's invention
    (
        *(b"session", b"direct-tcpip", b"direct-streamlocal@openssh.com", b"tun@openssh.com"),
        *_FORWARDS.values(),
        *_REQUESTS.values(),
    )
)
_REFUSED_REQUEST = String("refused-by-gateway@workspaces.gitlab.com")
"""Stands in for a request that is refused: no sshd knows it, so the answer comes from the far end and in its place."""


Note = Callable[..., None]
"""Takes an event by name, with its facts by keyword."""


class Channels:
    """The channels and forwards of one connection."""

    def __init__(self, settings: SshSettings, metrics: Metrics, note: Note) -> None:
        self._metrics = metrics
        self._note = note
        self._max = settings.max_channels
        self._off = _switched_off(settings)
        self._asked_for: Counter[bytes] = Counter()
        self._opened = 0
        self._failed = 0
        self._unanswered = {True: 0, False: 0}
        self._closed = {True: 0, False: 0}
        self._shown = 0
        self.has_terminal = False
        """Whether the client asked for one."""
        self.runs = 0
        """Shells, commands and subsystems that the client asked for."""

    def __repr__(self) -> str:
        return f"Channels(open={self.open})"

    @property
    def open(self) -> int:
        """How many are open; one is closed when both ends have said so (RFC 4254 section 5.3)."""
        return max(0, self._opened - self._failed - min(self._closed.values()))

    def get_refusal(self, packet: SSHPacket, *, is_client: bool) -> bytes | None:
        """The refusal of a channel that one end asks to open, None where the other end is to decide."""
        kind, number = packet.get_string(), packet.get_uint32()
        refusal = self._refuse(kind, is_client=is_client)
        name = kind.decode() if kind in _KINDS else "other"
        direction = "received" if is_client else "sent"
        self._metrics.ssh_channels.labels(name, direction, "refused" if refusal else "passed").inc()
        facts = {"type": readable(kind), "by": "client" if is_client else "workspace", **_target(kind, packet)}
        if refusal is None:
            self._opened += 1
            self._unanswered[is_client] += 1
            self._show()
            self._note("audit.ssh_channel", **facts)
            return None
        code, text = refusal
        self._note("audit.ssh_channel_refused", **facts, reason=text)
        return bytes((CHANNEL_OPEN_FAILURE,)) + UInt32(number) + UInt32(code) + String(text) + String("")

    def note_answered(self, *, is_client: bool, is_failed: bool) -> None:
        """One end has opened or refused a channel; an answer to what the other never asked changes nothing."""
        if self._unanswered[not is_client]:
            self._unanswered[not is_client] -= 1
            self._failed += is_failed
            self._show()

    def note_closed(self, *, is_client: bool) -> None:
        """One end has closed its half of a channel."""
        self._closed[is_client] += 1
        self._show()

    def is_forward_refused(self, name: bytes, packet: SSHPacket) -> bool:
        """Whether a client's global request is for a forward that is off; others are remembered."""
        if name in _CANCELS:
            self._asked_for[_CANCELS[name]] = max(0, self._asked_for[_CANCELS[name]] - 1)
        elif name in _FORWARDS:
            is_refused = _FORWARDS[name] in self._off
            self._note("audit.ssh_forward", type=readable(name), refused=is_refused, **_listener(name, packet))
            if is_refused:
                return True
            self._asked_for[_FORWARDS[name]] += 1
        return False

    def pass_request(self, payload: bytes, packet: SSHPacket) -> bytes | None:
        """A client's channel request, or what stands in for it; None where nobody waits for an answer."""
        number, name = packet.get_uint32(), packet.get_string()
        if name in _REQUESTS:
            is_refused = _REQUESTS[name] in self._off
            self._note("audit.ssh_forward", type=readable(name), refused=is_refused)
            if is_refused:
                wants_reply = packet.get_boolean()
                refused = bytes((CHANNEL_REQUEST,)) + UInt32(number) + _REFUSED_REQUEST + Boolean(wants_reply)
                return refused if wants_reply else None
            self._asked_for[_REQUESTS[name]] += 1
        elif name == b"pty-req":
            self.has_terminal = True
        elif name in (b"exec", b"shell", b"subsystem"):
            self.runs += 1
            self._note("audit.ssh_run", type=name.decode(), program=_program(name, packet))
        return payload

    def end(self) -> None:
        """The connection is over, and its channels with it."""
        self._opened = 0
        self._show()

    def _refuse(self, kind: bytes, *, is_client: bool) -> tuple[int, str] | None:
        is_allowed = kind not in self._off if is_client else self._asked_for[kind] > 0
        if not is_allowed:
            return asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "Not allowed by the gateway"
        if self.open >= self._max:
            return asyncssh.OPEN_RESOURCE_SHORTAGE, "Too many channels"
        return None

    def _show(self) -> None:
        self._metrics.ssh_channels_open.inc(self.open - self._shown)
        self._shown = self.open


class RateOfNotes:
    """Passes notes on, but not without end: an end that opens channels in a loop must not fill the log."""

    def __init__(self, note: Note, clock: Callable[[], float]) -> None:
        self._pass_on = note
        self._clock = clock
        self._since = clock()
        self._noted = 0

    def __call__(self, event: str, **facts: object) -> None:
        now = self._clock()
        if now - self._since >= limits.NOTES_WINDOW:
            self._since, self._noted = now, 0
        self._noted += 1
        if self._noted <= limits.NOTES_MAX:
            self._pass_on(event, **facts)
        elif self._noted == limits.NOTES_MAX + 1:
            self._pass_on("audit.ssh_notes_dropped", seconds=round(limits.NOTES_WINDOW - (now - self._since)))


def readable(text: bytes) -> str:
    """What a peer wrote, for a log line."""
    shown = text[: limits.NOTED_TEXT].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in shown)


def _switched_off(settings: SshSettings) -> frozenset[bytes]:
    """The types of channels that may not be."""
    kinds = {
        b"direct-tcpip": settings.forward_local,
        b"forwarded-tcpip": settings.forward_remote,
        b"direct-streamlocal@openssh.com": settings.forward_sockets,
        b"forwarded-streamlocal@openssh.com": settings.forward_sockets,
        _AGENT: settings.forward_agent,
        b"agent-connect": settings.forward_agent,
        _X11: settings.forward_x11,
        b"tun@openssh.com": False,  # a network interface in the pod is not a developer's tool
    }
    return frozenset(kind for kind, is_on in kinds.items() if not is_on)


def _target(kind: bytes, packet: SSHPacket) -> dict[str, object]:
    """Where a forwarded channel leads (RFC 4254 section 7.2)."""
    try:
        packet.get_uint32()
        packet.get_uint32()
        if kind.endswith(b"-tcpip"):
            return {"forward_address": readable(packet.get_string()), "forward_port": packet.get_uint32()}
        if b"-streamlocal@" in kind:
            return {"forward_path": readable(packet.get_string())}
    except PacketDecodeError:
        return {"malformed": True}
    return {}


def _listener(name: bytes, packet: SSHPacket) -> dict[str, object]:
    """Where a workspace is to listen (RFC 4254 section 7.1)."""
    try:
        if name == b"tcpip-forward":
            return {"forward_address": readable(packet.get_string()), "forward_port": packet.get_uint32()}
        return {"forward_path": readable(packet.get_string())}
    except PacketDecodeError:
        return {"malformed": True}


def _program(name: bytes, packet: SSHPacket) -> str:
    """What is run, without its arguments or the variables set before it, which may be secrets."""
    if name == b"shell":
        return ""
    try:
        packet.get_boolean()
        words = packet.get_string().split()
    except PacketDecodeError:
        return ""
    return readable(next((word for word in words if b"=" not in word), b"")[: limits.NOTED_PROGRAM])
