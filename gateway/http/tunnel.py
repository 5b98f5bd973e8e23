"""Two sockets joined after a 101: bytes in, the same bytes out, no frame changed and no size limited.

Half-close and back-pressure of tunnels have their one place here. A tunnel is idle for as long as both ends like; TCP
keepalive notices an end that is gone without a word.
"""

import asyncio
import socket
from collections.abc import Callable

from gateway.http.farewell import Farewell
from gateway.http.frames import FrameTrack
from gateway.idle.pulse import Pulse

KEEPALIVE_IDLE = 30  # seconds before the first probe: below the idle limits of common NATs and load balancers
KEEPALIVE_INTERVAL = 10  # seconds between probes
KEEPALIVE_PROBES = 4  # so an end that vanished is noticed after 70 s
FLUSH_SECONDS = 60  # for an end that has yet to take what the other one said before it left; as a body may take
_PINGS = frozenset((0x89, 0x8A))  # the first byte of a ping or pong, which is never in pieces (RFC 6455, section 5.5)
_CONTROL_HEAD = 6  # bytes before its payload: two, and the mask of a client
# Close frames with the codes 1001 and 1008 (RFC 6455, sections 5.5.1 and 7.4.1)
_GOING_AWAY = b"\x88\x02\x03\xe9"
_POLICY_VIOLATION = b"\x88\x02\x03\xf0"


class _End(asyncio.Protocol):
    """One side of a tunnel: what it reads, the other side writes."""

    other: "_End"

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport, lost: Callable[[], None]) -> None:
        self._tunnel = tunnel
        self._lost = lost
        self.transport = transport
        self.bytes = 0
        self.has_ended = False

    @property
    def is_full(self) -> bool:
        """Whether more waits to be written than the transport likes."""
        _, high = self.transport.get_write_buffer_limits()
        return self.transport.get_write_buffer_size() > high

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.has_ended = True
        if self.other.has_ended or not self.other.transport.can_write_eof():
            self._tunnel.close()
            return False
        self.other.transport.write_eof()
        return True  # this side may still be written to

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._tunnel.close()
        self.let_go()()

    def let_go(self) -> Callable[[], None]:
        """It is over, or somebody else's; what is to be called when its transport is no more."""
        lost = self._lost
        del self._tunnel, self._lost, self.other  # which lead back here: a tunnel that is over frees itself
        return lost


class _ClientEnd(_End):
    """The side of which it is asked what a person sent. Pings and pongs come by themselves, and alone in a read."""

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport, lost: Callable[[], None], pulse: Pulse) -> None:
        super().__init__(tunnel, transport, lost)
        self._pulse = pulse
        self.ping_bytes = 0
        self.typed_bytes = 0

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self.bytes += size
        if data[0] in _PINGS and _is_alone(data):
            self.ping_bytes += size
        elif self._pulse.is_still():
            self.typed_bytes += size
        self.other.transport.write(data)


class _WorkspaceEnd(_End):
    """The side whose frames are followed, so that the gateway can put a last one behind them."""

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport, lost: Callable[[], None], pulse: Pulse) -> None:
        super().__init__(tunnel, transport, lost)
        self._pulse = pulse
        self.frames = FrameTrack()

    def data_received(self, data: bytes) -> None:
        self._pulse.speak()
        self.frames.feed(data)
        super().data_received(data)


class Tunnel:
    """A byte tunnel between a client and a workspace."""

    def __init__(
        self,
        client: asyncio.Transport,
        workspace: asyncio.Transport,
        *,
        pulse: Pulse,
        closed: Callable[[int, int], None],
        client_lost: Callable[[], None],
        workspace_lost: Callable[[], None],
    ) -> None:
        """Takes over both transports. `pulse` is that of the workspace, for this visitor.

        `closed` gets the bytes from the client and from the workspace, once; the others are told when that end is no
        more, which for one that has yet to take something is later.
        """
        self._closed: Callable[[int, int], None] | None = closed
        self.pulse = pulse
        self._client = _ClientEnd(self, client, client_lost, pulse)
        self._workspace = _WorkspaceEnd(self, workspace, workspace_lost, pulse)
        self.is_revoked = False
        """Whether it was closed because its visitor may not be here any more."""
        self._client.other, self._workspace.other = self._workspace, self._client

    def __repr__(self) -> str:
        return f"<Tunnel up={self._client.bytes} down={self._workspace.bytes}>"

    @property
    def data_bytes(self) -> int:
        """From the client so far, but for pings and pongs."""
        return self._client.bytes - self._client.ping_bytes

    @property
    def typed_bytes(self) -> int:
        """The same without what only answers the workspace."""
        return self._client.typed_bytes

    @property
    def runs(self) -> int:
        """Nothing is ever run by one."""
        return 0

    @property
    def has_terminal(self) -> bool:
        """Never known of a WebSocket: whatever it carries, a page may send it by itself."""
        return False

    def open(self, from_client: bytes, from_workspace: bytes) -> None:
        """Pass on what came early, then everything."""
        ends: tuple[_End, ...] = (self._client, self._workspace)
        for end in ends:
            keep_alive(end.transport)
            end.transport.set_protocol(end)
            end.transport.resume_reading()
        for end in ends:
            if end.is_full:
                end.pause_writing()  # whoever had the transport before was told so, and it is said only once
        for end, early in zip(ends, (from_client, from_workspace), strict=True):
            if early:
                end.data_received(early)

    def revoke(self) -> None:
        """Close both ends now: with the code 1008 where the client is between two frames, else without a word."""
        if self._closed is not None:
            self.is_revoked = True
            self._part(_POLICY_VIOLATION)

    def go_away(self) -> None:
        """The same because the gateway ends, with the code 1001: a client may connect again at once."""
        if self._closed is not None:
            self._part(_GOING_AWAY)

    def _part(self, word: bytes) -> None:
        client = self._client.transport
        if self._workspace.frames.is_between and not client.get_write_buffer_size() and not client.is_closing():
            client.write(word)
            Farewell(client, self._client.let_go())
            self._close(self._workspace)
        else:
            client.abort()  # what it has not read yet is not for it any more, or could not be told from a last word
            self.close()

    def close(self) -> None:
        """Close both ends after what is buffered has been sent, or is not taken for long. Idempotent."""
        self._close(self._client, self._workspace)

    def _close(self, *ends: _End) -> None:
        closed, self._closed = self._closed, None
        if closed is None:
            return
        for end in ends:
            end.transport.close()
            if end.transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, end.transport.abort)
        closed(self._client.bytes, self._workspace.bytes)

    def abort(self) -> None:
        """Close both ends at once."""
        self.close()
        self._client.transport.abort()
        self._workspace.transport.abort()


def _is_alone(data: bytes) -> bool:
    """Whether a ping or pong is one of a client, and nothing but that one."""
    return len(data) > 1 and len(data) == _CONTROL_HEAD + (data[1] & 0x7F)


def keep_alive(transport: asyncio.Transport) -> None:
    """Let the kernel notice a peer that vanished (RFC 9293, section 3.8.4)."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
