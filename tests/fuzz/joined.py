"""A gateway's two SSH legs, joined and past their logins, with both far ends and the wire between them in memory.

Only the keys are given instead of agreed on: what reads, relays and writes is what does so for a connection of people.
"""

import asyncio
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import asyncssh
from asyncssh.encryption import Encryption, get_encryption, get_encryption_params

from config.settings import SshSettings
from gateway.ssh.channels import Channels
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.internals.leg import Leg
from gateway.ssh.options import client_leg_options, workspace_leg_options
from gateway.ssh.pump import Pump
from gateway.ssh.relay import Relay
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics

GCM, CTR, MAC = b"aes128-gcm@openssh.com", b"aes128-ctr", b"hmac-sha2-256-etm@openssh.com"
BLOCK = 16
NEVER = 1e18  # seconds
End = Literal["client", "workspace"]


class Wire(asyncio.Transport):
    """Keeps what is written; nothing of it is ever full."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 22)})
        self.written = bytearray()
        self._protocol: asyncio.BaseProtocol | None = None
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        for part in parts:
            self.written += part

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def write_eof(self) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing


class ServerOwner(asyncssh.SSHServer):
    """Hears why the client's leg ended."""

    def __init__(self, endings: list[Exception | None]) -> None:
        self.connection_lost = endings.append  # type: ignore[assignment]  # all that is asked of it


class ClientOwner(asyncssh.SSHClient):
    """Hears why the workspace's leg ended."""

    def __init__(self, endings: list[Exception | None]) -> None:
        self.connection_lost = endings.append  # type: ignore[assignment]  # all that is asked of it


class FarEnd:
    """Seals what one end sends, and opens what it is sent, as asyncssh does."""

    def __init__(self, leg: Leg, wire: Wire, cipher: bytes) -> None:
        self.leg = leg
        self.wire = wire
        self._seal, self._open = make_cipher(cipher, 1), make_cipher(cipher, 2)
        self._tag = tag_of(cipher)
        self._sent = 0

    def sealed(self, payload: bytes, padding: int) -> bytes:
        """The next packet, with so many blocks of padding more than it needs."""
        missing = -(1 + len(payload)) % BLOCK
        size = missing + (BLOCK if missing < 4 else 0) + padding * BLOCK
        plain = bytes((size,)) + payload + bytes(size)
        packet, tag = self._seal.encrypt_packet(self._sent, len(plain).to_bytes(4, "big"), plain)
        self._sent += 1
        return packet + tag

    def deliver(self, data: bytes) -> None:
        """As the loop does after a read."""
        reader = self.wire.get_protocol()
        assert isinstance(reader, Pump)
        reader.get_buffer(-1)[: len(data)] = data
        reader.buffer_updated(len(data))

    def received(self) -> list[bytes]:
        """The payloads of all it was ever sent."""
        data = bytes(self.wire.written)
        payloads: list[bytes] = []
        while data:
            size = int.from_bytes(data[:4], "big")
            end = 4 + size + self._tag
            first, rest, tag = data[:BLOCK], data[BLOCK : 4 + size], data[4 + size : end]
            self._open.decrypt_header(len(payloads), first, 4)
            plain = self._open.decrypt_packet(len(payloads), first, rest, 4, tag)
            assert plain is not None, "a packet that is not authentic"
            payloads.append(plain[1 : -plain[0]])
            data = data[end:]
        return payloads


@dataclass
class Joined:
    """The relay and what is around it."""

    relay: Relay
    client: FarEnd
    workspace: FarEnd
    endings: list[Exception | None]
    """What asyncssh tells of the legs that have ended."""

    def end(self, name: End) -> FarEnd:
        return self.client if name == "client" else self.workspace

    def close(self) -> None:
        for end in (self.client, self.workspace):
            end.leg.kill()


def join(settings: SshSettings, ciphers: tuple[bytes, bytes]) -> Joined:
    """Within a running loop; the ciphers of the client's leg and of the workspace's."""
    endings: list[Exception | None] = []
    client_wire, workspace_wire = Wire(), Wire()
    client = ClientLeg(_client_options(), ServerOwner(endings))
    workspace = WorkspaceLeg(_workspace_options(), ClientOwner(endings))
    _log_in(client, client_wire, ciphers[0])
    _log_in(workspace, workspace_wire, ciphers[1])
    metrics, told = _metrics(), open_log("debug", io.StringIO())
    relay = Relay(client, workspace, Channels(settings, metrics, told.info), metrics)
    relay.start()
    ends = FarEnd(client, client_wire, ciphers[0]), FarEnd(workspace, workspace_wire, ciphers[1])
    return Joined(relay, *ends, endings)


def make_cipher(name: bytes, direction: int) -> Encryption:
    """The same on both ends of a wire; 1 towards the gateway, 2 away from it."""
    key = bytes((direction,)) * 16
    return get_encryption(name, key, key[:12] if name == GCM else key, MAC, bytes((direction,)) * 32, name == CTR)


def tag_of(name: bytes) -> int:
    return get_encryption_params(name, MAC)[4]


def _log_in(leg: Any, wire: Wire, cipher: bytes) -> None:
    """What asyncssh knows of a connection after key exchange and login."""
    leg.connection_made(wire)
    leg._cancel_login_timer()
    wire.set_protocol(leg)
    wire.written.clear()
    leg._recv_encryption, leg._send_encryption = make_cipher(cipher, 1), make_cipher(cipher, 2)
    leg._recv_blocksize = leg._send_blocksize = BLOCK
    leg._recv_macsize, leg._send_enchdrlen = tag_of(cipher), 1
    leg._recv_handler = leg._recv_pkthdr
    leg._client_version = leg._server_version = b"SSH-2.0-x"
    leg._session_id = bytes(32)
    leg._auth_complete = leg._kex_complete = True
    leg._rekey_time = NEVER


@cache
def _host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@cache
def _client_options() -> asyncssh.SSHServerConnectionOptions:
    return client_leg_options(SshSettings(), [_host_key()])


@cache
def _workspace_options() -> asyncssh.SSHClientConnectionOptions:
    return workspace_leg_options(SshSettings())


@cache
def _metrics() -> Metrics:
    return Metrics()
