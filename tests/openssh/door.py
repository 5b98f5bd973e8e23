"""The gateway in front of one sshd: its own legs, options and relay, with a login by the sshd's authorized keys.

OpenSSH's suite knows nothing of GitLab. So who may enter is what sshd's configuration says, and the gateway enters the
sshd with a key of its own, which gets the restrictions of the key that the client has shown.
"""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import asyncssh

from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.channels import Channels
from gateway.ssh.credentials import with_whole_signature
from gateway.ssh.crowd import Crowd, Full, Place
from gateway.ssh.doorstep import FULL, Doorstep, Peer
from gateway.ssh.host_keys import load_host_keys
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.options import client_leg_options, workspace_leg_options
from gateway.ssh.relay import Relay
from gateway.ssh.upstream import Upstreams
from gateway.telemetry.metrics import Metrics
from routing.model import Endpoint, Workspace, WorkspaceState
from tests.openssh.sshd_settings import SshdSettings

LOOPBACK = "127.0.0.1"


class Door:
    """Takes clients for one sshd."""

    def __init__(
        self,
        sshd: SshdSettings,
        pod: Endpoint,
        pod_keys: Path,
        log: Callable[[str], None],
        closed: Callable[["Visit"], None] = lambda _visit: None,
    ) -> None:
        """The sshd listens at `pod` and lets the gateway in by the keys in the file `pod_keys`."""
        self.sshd = sshd
        self.log = log
        self.closed = closed
        self._pod_keys = pod_keys
        self._workspace = Workspace("1", "", "pod", "", "", WorkspaceState.RUNNING, pod)
        begin, rate, full = sshd.max_startups
        self._settings = SshSettings(
            host_key_files=sshd.host_keys,
            login_grace=sshd.login_grace,
            startups_begin=begin,
            startups_rate=rate,
            startups_full=full,
        )
        self._crowd = Crowd(self._settings)
        self._options = client_leg_options(self._settings, load_host_keys(self._settings))
        self._options.public_key_auth = True
        self._options.rekey_bytes = sshd.rekey_bytes or limits.REKEY_BYTES
        self._options.rekey_seconds = sshd.rekey_seconds or limits.REKEY_SECONDS

    def accept(self) -> Doorstep:
        return Doorstep(self._settings, self._enter)

    def _enter(self, peer: Peer) -> ClientLeg | bytes:
        place = self._crowd.enter(peer.address)
        if isinstance(place, Full):
            return FULL
        return _KeyLeg(self._options, Visit(self, place))

    async def dial(self, user: str, restrictions: str) -> WorkspaceLeg | None:
        """A leg into the sshd as this user; None if there is no way in."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        with self._pod_keys.open("a") as file:
            file.write(restrictions + key.export_public_key().decode())
        upstream = await _KeyUpstreams(self._settings, user, key).dial(self._workspace)
        if isinstance(upstream, WorkspaceLeg):
            return upstream
        self.log(f"no way into the sshd: {upstream}")
        return None


class Visit(asyncssh.SSHServer):
    """One client's connection."""

    def __init__(self, door: Door, place: Place) -> None:
        self._door = door
        self._place = place
        self._client: ClientLeg | None = None
        self._upstream: WorkspaceLeg | None = None
        self.is_admitted = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLeg)
        self._client = conn
        conn.gone.add_done_callback(self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.log(f"client's leg closed: {exc!r}")
        if self._upstream is not None and not self.is_admitted:
            self._upstream.kill()

    def begin_auth(self, username: str) -> bool:
        assert self._client is not None
        if self._door.sshd.banner is not None and self._door.sshd.banner.exists():
            self._client.send_auth_banner(self._door.sshd.banner.read_text())
        if self._keys_file(username).exists():
            self._client.set_authorized_keys(str(self._keys_file(username)))
        return True

    async def enter(self, username: str, key: bytes) -> bool:
        """Whether the sshd takes the gateway as this user, whose key the client has."""
        self._upstream = await self._door.dial(username, self._find_restrictions(username, key))
        return self._upstream is not None

    def auth_completed(self) -> None:
        assert self._client is not None
        assert self._upstream is not None
        self.is_admitted = True
        self._place.end_login()
        channels = Channels(SshSettings(max_channels=100_000), Metrics(), lambda *_, **__: None)
        Relay(self._client, self._upstream, channels, Metrics()).start()

    async def wait_gone(self) -> None:
        for leg in (self._client, self._upstream):
            if leg is not None:
                await leg.gone

    def _end(self, _gone: "asyncio.Future[None]") -> None:
        self._place.leave()
        self._door.closed(self)

    def _keys_file(self, username: str) -> Path:
        return Path(self._door.sshd.authorized_keys.replace("%u", username.partition(":")[0]))  # user:style

    def _find_restrictions(self, username: str, key: bytes) -> str:
        """What stands before a key in its user's authorized keys, such as `no-port-forwarding `."""
        blob = base64.b64encode(key).decode()
        for line in self._keys_file(username).read_text().splitlines():
            before, found, _ = line.partition(blob)
            if found:
                return before.rpartition(before.split()[-1])[0]
        return ""  # of a certificate's authority: they speak of certificates


class _KeyLeg(ClientLeg):
    """The client's leg, which goes on to the sshd once a key has signed."""

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        whole = with_whole_signature(key_data, signature)
        if not await asyncssh.SSHServerConnection.validate_public_key(self, username, key_data, msg, whole):
            return False  # by authorized keys, where the gateway's own leg goes by a profile
        visit = self.get_owner()
        assert isinstance(visit, Visit)
        return not msg or await visit.enter(username, key_data)  # without a message the client only asks


class _KeyUpstreams(Upstreams):
    """Dials an sshd that wants a key."""

    def __init__(self, settings: SshSettings, user: str, key: asyncssh.SSHKey) -> None:
        super().__init__(settings)
        self._options = asyncssh.SSHClientConnectionOptions(
            options=workspace_leg_options(settings),
            username=user,
            client_keys=[key],
            public_key_auth=True,
            preferred_auth=("publickey",),
        )
