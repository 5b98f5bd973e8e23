"""Runs sessions through both legs on the loopback, so that a changed asyncssh is noticed before a client comes."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncssh

from config.settings import SshSettings
from gateway.ssh.channels import Channels
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.options import client_leg_options
from gateway.ssh.relay import Relay
from gateway.ssh.upstream import Upstreams
from gateway.telemetry.metrics import Metrics
from routing.model import Endpoint, Workspace, WorkspaceState

_LOOPBACK = "127.0.0.1"
_TIMEOUT = 60  # seconds; it takes a tenth of one, and ten on a machine where everything starts at once
_WORDS = b"every packet as it is \x00\xff"
_EXIT_STATUS = 7
_CIPHERS = (  # the pump moves the data of the first two, asyncssh that of the last
    ("aes128-gcm@openssh.com", "hmac-sha2-256"),
    ("aes128-ctr", "hmac-sha2-256-etm@openssh.com"),
    ("aes128-ctr", "hmac-sha2-256"),
)
PRIVATE_NAMES = (
    *("_all_server_host_keys", "_auth", "_auth_complete", "_auth_final", "_channels", "_cleanup", "_client_version"),
    *("_extensions_to_send", "_finish_userauth", "_force_close", "_inpbuf", "_keepalive_count", "_keepalive_count_max"),
    *("_keepalive_timer_callback", "_kex", "_kex_complete", "_loop", "_owner", "_packet", "_packet_handlers"),
    *("_cancel_login_timer", "_client_kexinit", "_ignore_first_kex", "_process_kexinit", "_server_kexinit"),
    *("_process_disconnect", "_protocol_factory", "_recv_encryption", "_recv_handler", "_recv_packet"),
    *(
        "_recv_macsize",
        "_recv_pkthdr",
        "_recv_seq",
        "_recv_version",
        "_rekey_bytes",
        "_rekey_bytes_sent",
        "_rekey_seconds",
    ),
    *("_rekey_time", "_reset_keepalive_timer", "_send", "_send_disconnect", "_send_encryption", "_send_kexinit"),
    *("_send_seq", "_server_host_keys", "_session_id", "_set_keepalive_timer", "_strict_kex", "_transport"),
)
"""What `internals` overrides, reads or relies on in a server connection."""
_OLDEST = (2, 24, 1)  # older ones let a peer declare packets of 4 GiB and swap the user name during a check


class IncompatibleAsyncssh(Exception):
    """This asyncssh does not fit the gateway's relay, which therefore refuses to start."""


async def check_asyncssh() -> None:
    """Raises `IncompatibleAsyncssh` unless this asyncssh carries a session through the relay."""
    if tuple(int(number) for number in asyncssh.__version__.split(".")[:3]) < _OLDEST:
        raise IncompatibleAsyncssh(f"asyncssh {asyncssh.__version__} is too old")
    settings = SshSettings(login_grace=_TIMEOUT, handshake_timeout=_TIMEOUT)
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = client_leg_options(settings, [key])
    _check_names(key)
    for cipher, mac in _CIPHERS:
        try:
            async with asyncio.timeout(_TIMEOUT):
                echoed = await _echo(settings, options, key, cipher, mac)
        except (OSError, TimeoutError, asyncssh.Error) as exc:
            raise IncompatibleAsyncssh(f"asyncssh {asyncssh.__version__} carries no session: {exc!r}") from exc
        if echoed != (_WORDS, _EXIT_STATUS):
            raise IncompatibleAsyncssh(f"asyncssh {asyncssh.__version__} does not carry a session intact: {echoed}")


def _check_names(key: asyncssh.SSHKey) -> None:
    options = asyncssh.SSHServerConnectionOptions(server_host_keys=[key], login_timeout=0, gss_host=None, config=None)
    connection = asyncssh.SSHServerConnection(asyncio.get_running_loop(), options)
    missing = [name for name in PRIVATE_NAMES if not hasattr(connection, name)]
    if missing:
        raise IncompatibleAsyncssh(f"asyncssh {asyncssh.__version__} has no {', '.join(missing)}")


async def _echo(
    settings: SshSettings, options: asyncssh.SSHServerConnectionOptions, key: asyncssh.SSHKey, cipher: str, mac: str
) -> tuple[Any, int | None]:
    """What comes back from an echo behind the relay, and its exit status."""
    async with AsyncExitStack() as stack:
        inside = await asyncssh.listen(
            _LOOPBACK,
            0,
            config=None,
            gss_host=None,
            server_host_keys=[key],
            server_factory=_OpenDoor,
            process_factory=_echo_process,
            encoding=None,
        )
        stack.push_async_callback(inside.wait_closed)
        stack.callback(inside.close)
        doorman = _Doorman(Upstreams(settings), Endpoint(_LOOPBACK, inside.get_port()))
        outside = await asyncio.get_running_loop().create_server(lambda: ClientLeg(options, doorman), _LOOPBACK, 0)
        stack.push_async_callback(doorman.wait_gone)
        stack.callback(outside.close)
        client = await stack.enter_async_context(_connect(outside.sockets[0].getsockname()[1], cipher, mac))
        result = await client.run("echo", input=_WORDS, encoding=None)
        return result.stdout, result.exit_status


def _connect(port: int, cipher: str, mac: str) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    return asyncssh.connect(
        _LOOPBACK,
        port,
        config=None,
        gss_host=None,
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        encryption_algs=[cipher],
        mac_algs=[mac],
        username="somebody",
        password="anything",  # noqa: S106 - the doorman takes any
    )


async def _echo_process(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    process.stdout.write(await process.stdin.read())
    process.exit(_EXIT_STATUS)


class _OpenDoor(asyncssh.SSHServer):
    """The workspace: lets everybody in."""

    def begin_auth(self, _username: str) -> bool:
        return False


class _Doorman(asyncssh.SSHServer):
    """The gateway: every password leads to the one workspace there is."""

    def __init__(self, upstreams: Upstreams, address: Endpoint) -> None:
        self._upstreams = upstreams
        self._workspace = Workspace("1", "", "", "", "", WorkspaceState.RUNNING, address)
        self._client: ClientLeg | None = None
        self._upstream: WorkspaceLeg | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLeg)  # noqa: S101 - nothing else is given this owner
        self._client = conn

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, _username: str, _password: str) -> bool:
        upstream = await self._upstreams.dial(self._workspace)
        self._upstream = upstream if isinstance(upstream, WorkspaceLeg) else None
        return self._upstream is not None

    def auth_completed(self) -> None:
        if self._client is not None and self._upstream is not None:
            channels = Channels(SshSettings(), Metrics(), _note_nothing)
            Relay(self._client, self._upstream, channels, Metrics()).start()

    async def wait_gone(self) -> None:
        for leg in (self._client, self._upstream):
            if leg is not None:
                await leg.gone


def _note_nothing(_event: str, **_facts: object) -> None:
    """Nobody reads of a session that is nobody's."""
