"""What both legs have in common: packets in and out, congestion, liveness and an ending that loses nothing.

Overrides of asyncssh's classes live here and in `ends`, each with its reason.
"""

import asyncio
from typing import Any, Protocol, cast

import asyncssh
from asyncssh.connection import SSHConnection
from asyncssh.packet import SSHPacket, String

from gateway.ssh import limits
from gateway.ssh.parting import Linger, Parting, make_printable

MSG_DISCONNECT, MSG_IGNORE = 1, 2  # RFC 4253 section 12
CONNECTION_LAYER = (80, 81, 82, *range(90, 101))  # RFC 4254 section 9
MSG_PING, MSG_PONG = 192, 193  # OpenSSH's PROTOCOL file, section 1.9


class PacketSink(Protocol):
    """What a leg reports to once it is attached. Nothing of this awaits."""

    def packet_received(self, leg: "Leg", payload: bytes) -> None: ...
    def data_relayed(self, leg: "Leg", size: int, packets: int) -> None: ...
    def congestion_changed(self) -> None: ...
    def keepalive_due(self, leg: "Leg") -> None: ...
    def leg_closed(self, leg: "Leg", parting: Parting | None) -> None: ...


class _EveryChannel(dict[int, Any]):
    """Answers every channel number with the leg itself, as channels are the business of the two ends."""

    def __init__(self, leg: "Leg") -> None:
        super().__init__()
        self._leg = leg

    def __missing__(self, number: int) -> "Leg":
        return self._leg


class Leg(SSHConnection):
    """One leg of a connection; `ends` has the two kinds there are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when the TCP connection is no more."""
        self._channels = cast("dict[int, Any]", _EveryChannel(self))
        self._socket: asyncio.Transport | None = None
        self._sink: PacketSink | None = None
        self._early: list[bytes] = []
        self._parting: Parting | None = None
        self._last_words: Parting | None = None
        self._farewell_sent = False
        self._login_bytes = 0
        self._deferred_bytes = 0
        self._is_full = False
        self._is_reading = True
        self._rekey_timer: asyncio.TimerHandle | None = None
        self._corked: list[bytes | memoryview] | None = None
        self.kex_algorithm = ""
        """Of the latest key exchange; one of those offered, as both sides must have it."""

    # Packets

    def attach(self, sink: PacketSink) -> None:
        """Hands every connection-layer packet to `sink` from now on, those that came early first."""
        self._sink = sink
        early, self._early = self._early, []
        for payload in early:
            sink.packet_received(self, payload)

    def send(self, payload: bytes) -> None:
        """Sends a packet as it is; during a key exchange it waits until that is over (RFC 4253 section 7.1)."""
        if self._transport is None:
            return
        if not self._kex_complete:
            self._deferred_bytes += len(payload)
        if self.has_room():
            self.send_packet(payload[0], payload[1:])

    def has_room(self) -> bool:
        """Whether more may be sent; closes the leg where too much was sent already."""
        if self._transport is None:
            return False
        if self._deferred_bytes > limits.BACKLOG_MAX or (
            self._is_full and self._transport.get_write_buffer_size() > limits.BACKLOG_MAX
        ):
            self._force_close(asyncssh.ProtocolError("Peer does not take its data"))
            return False
        return True

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        # asyncssh puts a MSG_IGNORE before each packet, against an attack on CBC ciphers, which are not offered here.
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def _relay_packet(self, _pkttype: int, _pktid: int, packet: SSHPacket) -> None:
        if self._transport is None:
            return  # asyncssh parses what was received after the leg was closed
        if self._kex is not None:
            raise asyncssh.ProtocolError("Packet during key exchange")  # RFC 4253 section 7.1
        payload = packet.get_full_payload()
        if self._sink is None:
            self._early.append(payload)  # bounded: reading is paused from the login until the leg is attached
        else:
            self._sink.packet_received(self, payload)

    def _process_ping(self, _pkttype: int, _pktid: int, packet: SSHPacket) -> None:
        if self._kex is not None:
            raise asyncssh.ProtocolError("Packet during key exchange")  # RFC 4253 section 7.1
        self.send(bytes((MSG_PONG,)) + String(packet.get_string()))  # bounded like all else that is sent

    def log_sent_packet(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing: packets hold tokens, and the text would be built for every packet, shown or not."""

    log_received_packet = log_sent_packet

    def cork(self) -> None:
        """Collects what is sent, until `uncork`."""
        self._corked = []

    def uncork(self) -> None:
        """Sends all that was collected, in one write."""
        parts, self._corked = self._corked, None
        if parts and self._transport is not None:
            self._transport.writelines(parts)

    def _send(self, data: bytes | memoryview) -> None:
        if self._corked is not None:
            self._corked.append(data)
        elif self._transport is not None:
            self._transport.write(data)

    # Congestion

    def read_through(self, protocol: asyncio.BufferedProtocol) -> None:
        """Lets `protocol` read the socket from now on; what it does not deal with itself comes by `data_received`."""
        if self._transport is not None:
            self._transport.pause_reading()  # uvloop keeps to the kind of protocol that it began to read for
            self._transport.set_protocol(protocol)
            if self._is_reading:
                self._transport.resume_reading()

    @property
    def is_rekeying(self) -> bool:
        return not self._kex_complete

    @property
    def is_congested(self) -> bool:
        """Whether more packets would only pile up here."""
        return self._is_full or self.is_rekeying

    def set_reading(self, *, reading: bool) -> None:
        if self._transport is None or reading == self._is_reading:
            return
        self._is_reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        if self._sink is None:
            self._force_close(asyncssh.ProtocolError("Peer does not read during login"))
            return
        self._is_full = True
        self._sink.congestion_changed()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._sink is not None:
            self._sink.congestion_changed()

    def _send_kexinit(self) -> None:
        super()._send_kexinit()
        if self._sink is not None:
            self._rekey_timer = self._loop.call_later(
                limits.REKEY_DEADLINE, self._force_close, asyncssh.ConnectionLost("Key exchange timed out")
            )
            self._sink.congestion_changed()

    @property
    def is_kex_strict(self) -> bool:
        """Whether the peer agreed to the strict key exchange, which Terrapin cannot touch."""
        return self._strict_kex

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        if self._kex is not None:
            self.kex_algorithm = self._kex.algorithm.decode()
        super().send_newkeys(k, h)
        self._deferred_bytes = 0
        if self._rekey_timer is not None:
            self._rekey_timer.cancel()
            self._rekey_timer = None
        if self._last_words is not None:
            self.disconnect(self._last_words.code, self._last_words.text)
        elif self._sink is not None:
            self._sink.congestion_changed()

    # Liveness

    def note_alive(self) -> None:
        self._keepalive_count = 0
        self._reset_keepalive_timer()

    def _keepalive_timer_callback(self) -> None:
        # A leg that is not read on purpose cannot be heard answering.
        if self._sink is not None and self._is_reading:
            self._keepalive_count += 1
            if self._keepalive_count > self._keepalive_count_max:
                self.connection_lost(asyncssh.ConnectionLost("Keepalives unanswered"))
                return
            self._sink.keepalive_due(self)
        self._set_keepalive_timer()

    # Beginning and end

    @property
    def has_spoken(self) -> bool:
        """Whether anything was received."""
        return self._login_bytes > 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        self._socket.set_write_buffer_limits(limits.WRITE_HIGH, limits.WRITE_LOW)
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        if not self._auth_complete:
            self._login_bytes += len(data)
            if self._login_bytes > limits.LOGIN_BYTES:
                self._force_close(asyncssh.ProtocolError("Too much data before login"))
                return
        self._keepalive_count = 0  # any packet is a sign of life; an answer may wait behind a slow link's data
        super().data_received(data, datatype)

    def connection_lost(self, exc: Exception | None = None) -> None:
        super().connection_lost(exc)
        # asyncssh also calls this itself, to close; only a closing transport is the end of the connection.
        if self._socket is not None and self._socket.is_closing() and not self.gone.done():
            self.gone.set_result(None)

    def disconnect(self, code: int, reason: str, lang: str = "") -> None:
        """Ends the leg after everything sent so far, which asyncssh's own `disconnect` would drop."""
        if self._transport is None:
            return
        if self._sink is not None and self.is_rekeying:
            self._last_words = Parting(code, reason)  # data waits for the key exchange, and DISCONNECT for the data
            return
        self._send_disconnect(code, make_printable(reason), lang)
        self._force_close(None)

    def kill(self) -> None:
        """Ends the TCP connection at once, lingering or not."""
        self._force_close(None)
        if self._socket is not None:
            self._socket.abort()

    def _process_disconnect(self, _pkttype: int, _pktid: int, packet: SSHPacket) -> None:
        self._parting = Parting(packet.get_uint32(), make_printable(packet.get_string().decode("utf-8", "replace")))
        self._force_close(asyncssh.DisconnectError(self._parting.code, self._parting.text))

    def _send_disconnect(self, code: int, reason: str, lang: str) -> None:
        super()._send_disconnect(code, reason, lang)
        self._farewell_sent = True

    def _force_close(self, exc: Exception | None) -> None:
        self.uncork()
        transport = self._transport
        if transport is None:
            return
        if self._farewell_sent and not transport.is_closing():
            self._transport = None
            Linger(transport, self.gone)
            self._loop.call_soon(self._cleanup, exc)
        else:
            super()._force_close(exc)
        if self._rekey_timer is not None:
            self._rekey_timer.cancel()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.leg_closed(self, self._parting)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own way to declare them
        **SSHConnection._packet_handlers,
        MSG_DISCONNECT: _process_disconnect,
        MSG_PING: _process_ping,
        **dict.fromkeys(CONNECTION_LAYER, _relay_packet),
    }
