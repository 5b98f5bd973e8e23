"""Dials the sshd of a workspace and logs in there, before the client is told that its own login succeeded.

So a workspace that is stopped, has no sshd or does not answer becomes a text that a person reads, and not a session
that ends at once.
"""

import asyncio
from dataclasses import dataclass

import asyncssh
from asyncssh.auth import KbdIntPrompts

from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.options import workspace_leg_options
from routing.model import Endpoint, Workspace


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A workspace whose sshd cannot be used."""

    reason: str
    """A word for metrics and logs."""
    person: str
    operator: str


class _UpstreamLogin(asyncssh.SSHClient):
    """Logs in without a password: by `none`, else an empty password, else empty answers to whatever is asked."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """None once logged in, else what ended the connection."""
        self._leg: WorkspaceLeg | None = None
        self._methods_left = {"password", "keyboard-interactive"}

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        assert isinstance(conn, WorkspaceLeg)  # noqa: S101 - nothing else is given this owner
        self._leg = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(exc or asyncssh.ConnectionLost("Connection closed"))

    def auth_completed(self) -> None:
        if self._leg is not None:
            self._leg.set_reading(reading=False)  # until the client's leg is there to take what the sshd sends
        self._settle(None)

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Dropped: before the login is done, the only voice the client hears is the gateway's."""

    def password_auth_requested(self) -> str | None:
        return self._once("password")

    def kbdint_auth_requested(self) -> str | None:
        return self._once("keyboard-interactive")

    def kbdint_challenge_received(self, _name: str, _text: str, _lang: str, prompts: KbdIntPrompts) -> list[str]:
        return [""] * len(prompts)

    def _once(self, method: str) -> str | None:
        if method not in self._methods_left:
            return None
        self._methods_left.remove(method)
        return ""

    def _settle(self, outcome: Exception | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Upstreams:
    """Opens logged-in legs towards workspaces."""

    def __init__(self, settings: SshSettings) -> None:
        self.adopt(settings)

    def adopt(self, settings: SshSettings) -> None:
        """Open them by these settings from now on."""
        self._settings = settings
        self._options = workspace_leg_options(settings)

    async def dial(self, workspace: Workspace) -> WorkspaceLeg | Unreachable:
        if workspace.ssh is None:
            return _no_sshd(workspace, "the Service declares no SSH port")
        login = _UpstreamLogin()
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                leg = await self._connect_patiently(workspace.ssh, login)
        except ConnectionRefusedError:
            return _no_sshd(workspace, f"{workspace.ssh} refused")
        except (OSError, TimeoutError) as exc:
            return Unreachable(
                "unreachable", f"workspace {workspace.name} does not answer", f"{workspace.ssh}: {exc!r}"
            )
        return await self._log_in(workspace, login, leg)

    async def _connect_patiently(self, address: Endpoint, login: _UpstreamLogin) -> WorkspaceLeg:
        """Once more where nobody listens: a workspace runs a moment before its sshd does."""
        try:
            return await self._connect(address, login)
        except ConnectionRefusedError:
            await asyncio.sleep(limits.SSHD_START)
            return await self._connect(address, login)

    async def _connect(self, address: Endpoint, login: _UpstreamLogin) -> WorkspaceLeg:
        loop = asyncio.get_running_loop()
        _, leg = await loop.create_connection(lambda: WorkspaceLeg(self._options, login), address.address, address.port)
        return leg

    async def _log_in(
        self, workspace: Workspace, login: _UpstreamLogin, leg: WorkspaceLeg
    ) -> WorkspaceLeg | Unreachable:
        try:
            async with asyncio.timeout(self._settings.handshake_timeout):
                failure = await login.outcome
        except TimeoutError:
            failure = asyncssh.ConnectionLost("Handshake timed out")
        except asyncio.CancelledError:
            leg.kill()
            raise
        if failure is None:
            return leg
        leg.kill()
        if isinstance(failure, asyncssh.PermissionDenied):
            user = self._settings.backend_username
            person = f"the sshd of workspace {workspace.name} has no user {user} that may log in without a password"
            return Unreachable("login_refused", person, str(failure))
        return Unreachable("handshake", f"workspace {workspace.name} does not answer", str(failure))


def _no_sshd(workspace: Workspace, operator: str) -> Unreachable:
    person = f"no sshd listens in workspace {workspace.name}; its image must have one to be reached by SSH"
    return Unreachable("no_sshd", person, operator)
