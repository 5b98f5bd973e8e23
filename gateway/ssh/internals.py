"""The two legs of a relayed connection, built on private names of asyncssh. No other module touches those names.

Overrides of its classes live here, each with its reason; what a packet means is `relay`'s matter.
"""

import asyncio
import copy
import time
from collections import OrderedDict
from typing import Any, Protocol, cast

import asyncssh
from asyncssh.connection import SSHConnection
from asyncssh.encryption import Encryption, ETMEncryption, GCMEncryption
from asyncssh.packet import SSHPacket, String

from gateway.ssh import limits
from gateway.ssh.cipher import PacketCipher
from gateway.ssh.etm import EtmCipher
from gateway.ssh.gcm import GcmCipher
from gateway.ssh.host_keys import prove_host_keys
from gateway.ssh.keys import JudgesKeys
from gateway.ssh.parting import Linger, Parting, make_printable
from gateway.ssh.tokens import with_clean_password

MSG_DISCONNECT, MSG_IGNORE = 1, 2  # RFC 4253 section 12
OPEN_LENGTH = PacketCipher | GCMEncryption | ETMEncryption
CONNECTION_LAYER = (80, 81, 82, *range(90, 101))  # RFC 4254 section 9
MSG_PING, MSG_PONG = 192, 193  # OpenSSH's PROTOCOL file, section 1.9


class PacketSink(Protocol):
    """What a leg reports to once it is attached. Nothing of this awaits."""

    def packet_received(self, leg: "Leg", payload: bytes) -> None: ...
    def data_relayed(self, leg: "Leg", size: int) -> None: ...
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


def _taken_over(encryption: Encryption | None, number: int) -> Encryption | None:
    """The same cipher, where it can be, for those who open or seal the packet of this number without asyncssh."""
    if type(encryption) is GCMEncryption:
        return GcmCipher(encryption._cipher._key, encryption._cipher._iv)  # noqa: SLF001 - the reason for this module
    if type(encryption) is ETMEncryption:
        return EtmCipher(encryption._cipher, encryption._mac, number)  # noqa: SLF001 - the reason for this module
    return encryption


class Leg(SSHConnection):
    """What both legs have in common: packets in and out, congestion, liveness and an ending that loses nothing."""

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
        if self._has_room():
            self.send_packet(payload[0], payload[1:])

    def _has_room(self) -> bool:
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

    # Packets that a pump reads and writes past asyncssh

    def read_through(self, protocol: asyncio.BufferedProtocol) -> None:
        """Lets `protocol` read the socket from now on; what it does not deal with itself comes by `data_received`."""
        if self._transport is not None:
            self._transport.pause_reading()  # uvloop keeps to the kind of protocol that it began to read for
            self._transport.set_protocol(protocol)
            if self._is_reading:
                self._transport.resume_reading()

    @property
    def is_at_packet(self) -> bool:
        """Whether the next byte received is the first of a packet whose length can be read as it is."""
        is_between = self._transport is not None and self._recv_handler == self._recv_pkthdr
        return is_between and isinstance(self._recv_encryption, OPEN_LENGTH)

    @property
    def tag(self) -> int:
        """Bytes behind a packet received that authenticate it."""
        return self._recv_macsize

    @property
    def opener(self) -> PacketCipher | None:
        """What opens the packets received, where others than asyncssh may."""
        self._recv_encryption = _taken_over(self._recv_encryption, self._recv_seq)
        is_free = self._kex is None and self._sink is not None
        return self._recv_encryption if is_free and isinstance(self._recv_encryption, PacketCipher) else None

    @property
    def sealer(self) -> PacketCipher | None:
        """What seals the packets to be sent, where others than asyncssh may."""
        self._send_encryption = _taken_over(self._send_encryption, self._send_seq)
        is_rekey_due = self._rekey_bytes_sent >= self._rekey_bytes or time.monotonic() >= self._rekey_time
        is_free = self._kex_complete and self._sink is not None and not is_rekey_due
        return self._send_encryption if is_free and isinstance(self._send_encryption, PacketCipher) else None

    def take_unparsed(self) -> bytes:
        """What asyncssh holds of a packet that has not arrived in full."""
        if self._recv_handler == self._recv_packet and isinstance(self._recv_encryption, OPEN_LENGTH):
            self._inpbuf, self._packet = self._packet + self._inpbuf, b""  # it has read the length and no more
            self._recv_handler = self._recv_pkthdr
        unparsed, self._inpbuf = self._inpbuf, b""
        return unparsed

    def keep_unparsed(self, rest: bytes) -> None:
        self._inpbuf = rest

    def note_alive(self) -> None:
        self._keepalive_count = 0
        self._reset_keepalive_timer()

    def note_opened(self, packets: int) -> None:
        """As many packets were received and opened."""
        self._auth_final = True
        self._recv_seq = (self._recv_seq + packets) & 0xFFFFFFFF

    def send_sealed(self, data: memoryview, packets: int) -> None:
        """Sends packets that `sealer` has sealed, in order."""
        if self._has_room():
            self._send_seq = (self._send_seq + packets) & 0xFFFFFFFF
            self._rekey_bytes_sent += len(data)
            self._send(data)

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

    def send_newkeys(self, k: bytes, h: bytes) -> None:
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
        **SSHConnection._packet_handlers,  # noqa: SLF001 - the reason for this module
        MSG_DISCONNECT: _process_disconnect,
        MSG_PING: _process_ping,
        **dict.fromkeys(CONNECTION_LAYER, _relay_packet),
    }


class ClientLeg(Leg, asyncssh.SSHServerConnection):
    """Towards the client, for whom the gateway is the server."""

    def __init__(self, options: asyncssh.SSHServerConnectionOptions, owner: asyncssh.SSHServer) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._proofs = 0
        self._protocol_factory = lambda: owner
        self._extensions_to_send[b"ping@openssh.com"] = b"0"
        # asyncssh notes the negotiated signature algorithm on the RSA key itself, which all connections share.
        self._server_host_keys = OrderedDict((alg, copy.copy(key)) for alg, key in self._server_host_keys.items())

    def prove_host_keys(self, blobs: SSHPacket) -> bytes:
        """The answer to hostkeys-prove-00@openssh.com: the proof covers the session id of this very leg."""
        self._proofs += 1
        if self._proofs > limits.PROOFS_MAX:
            raise asyncssh.ProtocolError("Too many requests to prove host keys")
        return prove_host_keys(blobs, self._all_server_host_keys, self._session_id, self.get_server_host_key())

    async def validate_public_key(self, _username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        signed = String(self._session_id) + msg if msg else b""  # verified before the owner lets anybody in
        return isinstance(self._owner, JudgesKeys) and await self._owner.validate_key(key_data, signed, signature)

    async def reload_config(self) -> None:
        """Nothing: asyncssh would build all options anew, in a thread, for each user name."""

    async def _finish_userauth(self, begin_auth: bool, method: bytes, packet: SSHPacket) -> None:  # noqa: FBT001 - not ours
        """Completes one request before the next is read, as RFC 4252 section 5.1 demands and asyncssh does not."""
        if method == b"password":
            packet = with_clean_password(packet)
        await super()._finish_userauth(begin_auth, method, packet)
        if self._auth is not None and self._auth.task is not None:
            await asyncio.wait({self._auth.task})

    def _force_close(self, exc: Exception | None) -> None:
        if not self._client_version and isinstance(exc, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported):
            self._send(b"Invalid SSH identification string.\r\n")  # OpenSSH's words, which tools look for
            self._farewell_sent = True
        super()._force_close(exc)


class WorkspaceLeg(Leg, asyncssh.SSHClientConnection):
    """Towards the workspace, for whose sshd the gateway is the client."""

    def __init__(self, options: asyncssh.SSHClientConnectionOptions, owner: asyncssh.SSHClient) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._protocol_factory = lambda: owner
