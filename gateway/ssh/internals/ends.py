"""The two kinds of leg: towards the client and towards the workspace."""

import asyncio
import copy
from collections import OrderedDict

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket, String

from gateway.ssh import limits
from gateway.ssh.host_keys import prove_host_keys
from gateway.ssh.internals.leg import Leg
from gateway.ssh.keys import JudgesKeys
from gateway.ssh.tokens import with_clean_password

MSG_KEXINIT = 20  # RFC 4253 section 12
_LISTS = 8  # of names in a KEXINIT after those of key exchanges and host keys


class ClientLeg(Leg, asyncssh.SSHServerConnection):
    """Towards the client, for whom the gateway is the server."""

    def __init__(self, options: asyncssh.SSHServerConnectionOptions, owner: asyncssh.SSHServer) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._proofs = 0
        self._protocol_factory = lambda: owner
        self._extensions_to_send[b"ping@openssh.com"] = b"0"
        # asyncssh notes the negotiated signature algorithm on the RSA key itself, which all connections share.
        self._server_host_keys = OrderedDict((alg, copy.copy(key)) for alg, key in self._server_host_keys.items())

    def end_login_grace(self) -> None:
        """The login may take longer than `login_grace`, as its person is known and waits for something else."""
        self._cancel_login_timer()

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

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Drops the packet that a client guessed where it guessed wrong, as of dropbear (RFC 4253 section 7).

        That is where the two first choices differ; asyncssh looks at what was agreed on.
        """
        try:
            await super()._process_kexinit(pkttype, pktid, packet)
        except PacketDecodeError as exc:  # a client's fault, which asyncssh tells for other messages alone
            raise asyncssh.ProtocolError(str(exc)) from exc
        choice, has_guessed = _first_choices(self._client_kexinit)
        self._ignore_first_kex = has_guessed and choice != _first_choices(self._server_kexinit)[0]

    _packet_handlers = {**Leg._packet_handlers, MSG_KEXINIT: _process_kexinit}  # noqa: RUF012 - asyncssh's own way

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


def _first_choices(kexinit: bytes) -> tuple[tuple[bytes, bytes], bool]:
    """The key exchange and the host key that one side likes best, and whether it sends a packet for them ahead."""
    packet = SSHPacket(kexinit)
    packet.get_bytes(1 + 16)  # the message's number and its cookie
    exchanges, host_keys = packet.get_namelist(), packet.get_namelist()
    for _ in range(_LISTS):
        packet.get_namelist()
    return (next(iter(exchanges), b""), next(iter(host_keys), b"")), packet.get_boolean()
