"""One client's connection from accept to the end of both legs: the login, then the relay.

asyncssh calls `Connection` at each step; `login` says who gets in, and this module owns the two legs and their end.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncssh
from asyncssh.auth import KbdIntChallenge, KbdIntResponse

from config.settings import SshSettings
from gateway.ssh.channels import Channels, RateOfNotes
from gateway.ssh.crowd import Place
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.internals.leg import Leg
from gateway.ssh.login import Login
from gateway.ssh.parting import Parting, make_note, make_printable
from gateway.ssh.recheck import Entry
from gateway.ssh.relay import Relay
from gateway.telemetry.crash import describe_crash
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics

_DISCONNECT_CODES = range(1, 16)  # RFC 4253 section 11.1; a metric takes no number of a peer's invention
_PROMPT = "GitLab token as password: "  # sshpass and asyncssh recognise a prompt by "password"


class Connection(asyncssh.SSHServer):
    """What asyncssh asks about one client, and the relay that comes of it."""

    def __init__(
        self,
        settings: SshSettings,
        metrics: Metrics,
        *,
        login: Login,
        place: Place,
        on_open: Callable[["Connection", Entry], None],
        on_end: Callable[["Connection"], None],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._login = login
        self._place = place
        self._on_open = on_open
        self._on_end = on_end
        self._started = time.monotonic()
        self._reason = ""
        self._leg: ClientLeg | None = None
        self._upstream: WorkspaceLeg | None = None
        self._relay: Relay | None = None
        self._is_over = False

    @property
    def relay(self) -> Relay | None:
        """What carries the packets of a client that is logged in."""
        return self._relay

    @property
    def workspace_id(self) -> str:
        """GitLab's number of the workspace the client asked for."""
        return self._login.workspace.id if self._login.workspace else ""

    @property
    def workspace_uid(self) -> str:
        """Of the workspace the client asked for; empty before it asked, or where there is none."""
        return self._login.workspace.uid if self._login.workspace else ""

    @property
    def working_bytes(self) -> int:
        """Relayed so far, keepalives not counted."""
        return self._relay.working_bytes if self._relay is not None else 0

    def notify(self, text: str) -> None:
        """Tells a client that is logged in, which OpenSSH shows with -v, or one that waits for its workspace."""
        if self._relay is not None and self._leg is not None:
            self._leg.send(make_note(text))
        elif self._login.is_waiting:
            self._login.show(text)

    def disconnect(self, code: int, text: str) -> None:
        """Ends the connection after what was sent so far."""
        if self._relay is not None:
            self._relay.close(Parting(code, text))
        elif self._leg is not None:
            self._reason = text
            self._leg.disconnect(code, text)

    def kill(self) -> None:
        """Ends the connection at once."""
        for leg in self._legs():
            leg.kill()

    # What asyncssh calls

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLeg)  # noqa: S101 - nothing else is given this owner
        self._leg = conn
        conn.gone.add_done_callback(self._leg_gone)
        self._login.begin(conn)
        self._log.debug("ssh.connected")
        self._login.trace.begin(*self._login.source)
        self._metrics.ssh_connections.labels("login").inc()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upstream is not None and self._relay is None:
            self._upstream.kill()  # the client left between the workspace's login and its own
        if exc is not None and not isinstance(exc, asyncssh.Error | OSError):
            # A fault of ours in what asyncssh calls: its text may hold anything.
            self._log.error("ssh.failed", crash=describe_crash(exc))
            self._reason = self._reason or "internal"
        elif exc is not None and not (self._reason or self._login.reason):
            self._reason = make_printable(str(exc))

    def begin_auth(self, username: str) -> bool:
        self._login.begin_auth(username)
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, _username: str, password: str) -> bool:
        return await self._enter(self._login.try_token("password", password))

    async def change_password(self, _username: str, _old_password: str, _new_password: str) -> bool:
        return await self._enter(self._login.try_token("password", ""))  # nothing here can be changed; still a try

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, _username: str, _lang: str, _submethods: str) -> KbdIntChallenge:
        self._login.check_budget()
        return "", "", "", [(_PROMPT, False)]

    async def validate_kbdint_response(self, _username: str, responses: KbdIntResponse) -> bool:
        answer = responses[0] if len(responses) == 1 else ""
        return await self._enter(self._login.try_token("keyboard-interactive", answer))

    def public_key_auth_supported(self) -> bool:
        return self._login.takes_keys

    async def validate_key(self, blob: bytes, signed: bytes, signature: bytes) -> bool:
        """What `ClientLeg` asks about a public key: would it do, or, where something is signed, does it."""
        return await self._enter(self._login.try_key(blob, signed, signature))

    def auth_completed(self) -> None:
        admitted, entry = self._login.admitted, self._login.entry
        assert self._leg and admitted and entry  # noqa: S101, PT018 - only the admitted get here
        self._place.end_login()
        seconds = time.monotonic() - self._started
        self._login.log = self._log.bind(user=admitted.user)
        self._log.info("ssh.login", seconds=round(seconds, 3))
        self._login.trace.open(self._workspace_name)
        if not self._login.is_waiting:
            self._metrics.ssh_login_seconds.add(seconds)
        self._metrics.ssh_attempts.labels("opened", "").inc()
        self._metrics.ssh_kex.labels(self._leg.kex_algorithm, "yes" if self._leg.is_kex_strict else "no").inc()
        self._metrics.ssh_ciphers.labels(self._leg.get_extra_info("recv_cipher")).inc()
        self._metrics.ssh_connections.labels(self._stage).dec()
        self._metrics.ssh_connections.labels("open").inc()
        note = RateOfNotes(self._note, time.monotonic)
        channels = Channels(self._settings, self._metrics, note)
        self._relay = Relay(self._leg, admitted.upstream, channels, self._metrics)
        self._relay.start()
        self._on_open(self, entry)

    async def _enter(self, attempt: Awaitable[bool]) -> bool:
        """Takes over the workspace's leg where somebody is let in."""
        is_in = await attempt
        if self._login.admitted is not None:
            self._upstream = self._login.admitted.upstream
            self._upstream.gone.add_done_callback(self._leg_gone)
        return is_in

    @property
    def _workspace_name(self) -> str:
        return self._login.workspace.name if self._login.workspace else ""

    @property
    def _log(self) -> Log:
        return self._login.log

    @property
    def _stage(self) -> str:
        """For the metric of connections."""
        if self._relay is not None:
            return "open"
        return "waiting" if self._login.is_waiting else "login"

    def _note(self, event: str, **facts: object) -> None:
        self._log.info(event, **facts)  # looked up each time: the level of the log may change under an open session

    # The end

    def _legs(self) -> list[Leg]:
        return [leg for leg in (self._leg, self._upstream) if leg is not None]

    def _leg_gone(self, _gone: "asyncio.Future[None]") -> None:
        if self._is_over or not all(leg.gone.done() for leg in self._legs()):
            return
        self._is_over = True  # both legs may go in one moment
        self._place.leave()
        opened = self._relay is not None
        self._metrics.ssh_connections.labels(self._stage).dec()
        if not opened:
            result = "refused" if self._login.name is not None else "no_login"
            self._metrics.ssh_attempts.labels(result, self._login.error_type).inc()
            if self._leg is not None and not self._leg.has_spoken:
                self._metrics.ssh_health_probes.inc()
        reason = self._reason or self._login.reason
        if self._relay and self._relay.ended:
            reason = self._relay.ended.text
            code = self._relay.ended.code
            known = str(code) if code in _DISCONNECT_CODES else "other"
            self._metrics.ssh_disconnects.labels(known, self._relay.ended_by).inc()
        log = (
            self._log.debug if self._login.name is None else self._log.info
        )  # a port scan or health check says no name
        seconds = round(time.monotonic() - self._started, 3)
        received, sent = (self._relay.received_bytes, self._relay.sent_bytes) if self._relay else (0, 0)
        log("ssh.closed", reason=reason, seconds=seconds, received=received, sent=sent)
        failure = "" if opened else self._login.error_type
        self._login.trace.end(self._workspace_name, failure=failure, received=received, sent=sent)
        self._on_end(self)
