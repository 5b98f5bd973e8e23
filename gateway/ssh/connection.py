"""One client's connection from accept to the end of both legs: the login by RFC 4252, then the relay.

asyncssh calls `Connection` at each step of the login; `admission` decides, and this module keeps the rules that span
a connection: one workspace, one user name, one check at a time, one budget of tries, one pace for every refusal.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol

import asyncssh
from asyncssh.auth import KbdIntChallenge, KbdIntResponse

from config.settings import SshSettings
from gateway.crash import describe_crash
from gateway.log import Log
from gateway.metrics import Metrics
from gateway.spans import Tracing
from gateway.ssh.admission import PERMISSION_DENIED, Admission, Admitted, Rejected, SshAccess, TurnedAway
from gateway.ssh.attempts import NO_AUTH, NO_LOGIN, USER_FORMAT, find_error_type
from gateway.ssh.channels import Channels, RateOfNotes
from gateway.ssh.credentials import Credential
from gateway.ssh.crowd import Place
from gateway.ssh.internals.ends import ClientLeg, WorkspaceLeg
from gateway.ssh.internals.leg import Leg
from gateway.ssh.keys import KeyAccess
from gateway.ssh.limits import TryBudget
from gateway.ssh.parting import Parting, make_note, make_printable
from gateway.ssh.recheck import Entry
from gateway.ssh.relay import Relay
from gateway.ssh.tokens import parse_token
from gateway.ssh.trace import ConnectionTrace
from routing.model import Workspace

TOO_MANY = "Too many connections"
FAILED = "The gateway failed, try again"
NOT_READY = "The gateway is starting and does not know the workspaces yet, try again"

_GUESSES = frozenset(("token_refused", "denied", "bad_signature"))  # what is refused to whoever tries tokens or names
_DISCONNECT_CODES = range(1, 16)  # RFC 4253 section 11.1; a metric takes no number of a peer's invention
_PROMPT = "GitLab token as password: "  # sshpass and asyncssh recognise a prompt by "password"
_WORKSPACE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # a DNS label, as the name is that of a Service
_LOGGED_NAME = 64  # characters of a user name that a log line shows: a valid one is shorter


class WorkspaceDirectory(Protocol):
    """Knows the workspaces by the name people type as the SSH user name."""

    synced: bool
    """Whether it knows all workspaces there are."""

    def get_workspace(self, name: str) -> Workspace | None: ...


class Connection(asyncssh.SSHServer):
    """What asyncssh asks about one client, and the relay that comes of it."""

    def __init__(
        self,
        settings: SshSettings,
        directory: WorkspaceDirectory,
        admission: Admission,
        metrics: Metrics,
        log: Log,
        *,
        access: SshAccess,
        keys: KeyAccess | None,
        tracing: Tracing | None,
        place: Place,
        on_guess: Callable[[], None],
        on_open: Callable[["Connection", Entry], None],
        on_end: Callable[["Connection"], None],
    ) -> None:
        self._place = place
        self._settings = settings
        self._directory = directory
        self._admission = admission
        self._access = access
        self._keys = keys
        self._trace = ConnectionTrace(tracing)
        self._metrics = metrics
        self._log = log
        self._on_guess = on_guess
        self._on_open = on_open
        self._on_end = on_end
        self._started = time.monotonic()
        self._budget = TryBudget(settings.max_auth_tries)
        self._offers = TryBudget(settings.max_key_offers)
        self._has_waited = False
        self._checking = asyncio.Lock()
        self._address = ""
        self._name: str | None = None
        self._workspace: Workspace | None = None
        self._user = ""
        self._entry: Entry | None = None
        self._reason = ""
        self._error_type = NO_LOGIN
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
        return self._workspace.id if self._workspace else ""

    @property
    def workspace_uid(self) -> str:
        """Of the workspace the client asked for; empty before it asked, or where there is none."""
        return self._workspace.uid if self._workspace else ""

    @property
    def working_bytes(self) -> int:
        """Relayed so far, keepalives not counted."""
        return self._relay.working_bytes if self._relay is not None else 0

    def notify(self, text: str) -> None:
        """Tells a client that is logged in; OpenSSH shows it with -v, and nothing else reaches a person from here."""
        if self._relay is not None and self._leg is not None:
            self._leg.send(make_note(text))

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
        host, port = (*(conn.get_extra_info("peername") or ("", 0)),)[:2]
        self._address = host
        self._log = self._log.bind(client=host, client_port=port)
        self._log.debug("ssh.connected")
        self._trace.begin(host, port)
        self._metrics.ssh_connections.labels("login").inc()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upstream is not None and self._relay is None:
            self._upstream.kill()  # the client left between the workspace's login and its own
        if exc is not None and not self._reason:
            self._reason = make_printable(str(exc))

    def begin_auth(self, username: str) -> bool:
        if self._name is not None:  # asyncssh calls this for a first name and for every other one
            raise asyncssh.DisconnectError(asyncssh.DISC_PROTOCOL_ERROR, "Change of user name is not allowed")
        if not self._directory.synced:
            raise asyncssh.DisconnectError(asyncssh.DISC_SERVICE_NOT_AVAILABLE, NOT_READY)
        self._name = username
        if _WORKSPACE_NAME.fullmatch(username):
            self._workspace = self._directory.get_workspace(username)
            self._error_type = NO_AUTH
        else:
            self._error_type = USER_FORMAT
        self._log = self._log.bind(workspace=make_printable(username)[:_LOGGED_NAME])
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, _username: str, password: str) -> bool:
        return await self._try("password", password)

    async def change_password(self, _username: str, _old_password: str, _new_password: str) -> bool:
        return await self._try("password", "")  # nothing here can be changed; still a try

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, _username: str, _lang: str, _submethods: str) -> KbdIntChallenge:
        if self._budget.is_spent:  # a client may abandon a prompt for the next one
            raise _no_more_tries()
        return "", "", "", [(_PROMPT, False)]

    async def validate_kbdint_response(self, _username: str, responses: KbdIntResponse) -> bool:
        return await self._try("keyboard-interactive", responses[0] if len(responses) == 1 else "")

    def public_key_auth_supported(self) -> bool:
        return self._keys is not None and self._keys.is_offered

    async def validate_key(self, blob: bytes, signed: bytes, signature: bytes) -> bool:
        """What `ClientLeg` asks about a public key: would it do, or, where something is signed, does it."""
        if self._keys is None or not self._offers.take():
            raise _no_more_tries()
        due = time.monotonic() + self._settings.failure_delay
        async with self._checking:
            credential = await self._find_credential(self._keys, blob)
            if credential is None:
                return await self._pass_over(due)
            if not signed:
                return True
            if credential.has_signed(signed, signature):
                outcome = await self._enter(self._check_key(self._keys, credential))
            else:
                outcome = Rejected("bad_signature")
        return await self._conclude(credential.method, outcome, due)

    def auth_completed(self) -> None:
        assert self._leg is not None and self._upstream is not None and self._entry is not None  # noqa: S101, PT018 - only the admitted get here
        self._place.end_login()
        seconds = time.monotonic() - self._started
        self._log = self._log.bind(user=self._user)
        self._log.info("ssh.login", seconds=round(seconds, 3))
        self._trace.open(self._workspace.name if self._workspace else "")
        self._metrics.ssh_login_seconds.add(seconds)
        self._metrics.ssh_attempts.labels("opened", "").inc()
        self._metrics.ssh_kex.labels(self._leg.kex_algorithm, "yes" if self._leg.is_kex_strict else "no").inc()
        self._metrics.ssh_ciphers.labels(self._leg.get_extra_info("recv_cipher")).inc()
        self._metrics.ssh_connections.labels("login").dec()
        self._metrics.ssh_connections.labels("open").inc()
        note = RateOfNotes(self._note, time.monotonic)
        channels = Channels(self._settings, self._metrics, note)
        self._relay = Relay(self._leg, self._upstream, channels, self._metrics)
        self._relay.start()
        self._on_open(self, self._entry)

    # One try

    async def _try(self, method: str, answer: str) -> bool:
        if not self._budget.take():
            raise _no_more_tries()
        due = time.monotonic() + self._settings.failure_delay
        async with self._checking:  # a new request calls the old one off, but its question to GitLab ends first
            outcome = await self._enter(self._check_token(answer))
        is_in = await self._conclude(method, outcome, due)
        if not is_in and self._budget.is_spent:
            raise _no_more_tries()
        return is_in

    async def _conclude(self, method: str, outcome: Admitted | Rejected | TurnedAway, due: float) -> bool:
        if isinstance(outcome, Admitted):
            self._log = self._log.bind(auth_method=method)
            self._metrics.ssh_auth_attempts.labels(method, "granted").inc()
            self._user, self._upstream = outcome.user, outcome.upstream
            outcome.upstream.gone.add_done_callback(self._leg_gone)
            self._show(outcome.warning)
            return True
        self._refuse(method, outcome)
        if isinstance(outcome, TurnedAway):
            raise asyncssh.DisconnectError(outcome.code, outcome.text)
        await asyncio.sleep(due - time.monotonic())
        return False

    async def _check_token(self, answer: str) -> Admitted | Rejected | TurnedAway:
        token = parse_token(answer)
        if token is None:
            return Rejected("malformed_token")
        outcome = await self._admission.ask(self._workspace, token)
        if isinstance(outcome, Admitted) and self._workspace is not None:
            self._entry = Entry(partial(self._access.decide_workspace, token, self._workspace.id))
        return outcome

    async def _check_key(self, keys: KeyAccess, credential: Credential) -> Admitted | Rejected | TurnedAway:
        if self._workspace is None:
            return Rejected("unknown_workspace")
        outcome = await self._admission.admit(self._workspace, await keys.decide(self._workspace, credential))
        if isinstance(outcome, Admitted):
            self._entry = Entry(partial(keys.ask, self._workspace, credential))
        return outcome

    async def _find_credential(self, keys: KeyAccess, blob: bytes) -> Credential | None:
        try:
            return await keys.find_credential(self._workspace, blob, self._address)
        except Exception as exc:  # noqa: BLE001 - a fault of ours, whatever it is: a token may still do
            self._log.error("ssh.failed", crash=describe_crash(exc))
            return None

    async def _pass_over(self, due: float) -> bool:
        """Refuses a key, the first time as late as anything else, so that time does not tell which names exist."""
        self._metrics.ssh_auth_attempts.labels("publickey", "unknown_key").inc()
        if not self._has_waited:
            self._has_waited = True
            await asyncio.sleep(due - time.monotonic())
        return False

    async def _enter(
        self, check: Coroutine[None, None, Admitted | Rejected | TurnedAway]
    ) -> Admitted | Rejected | TurnedAway:
        self._trace.follow()
        try:
            with self._metrics.ssh_auth_seconds.time():
                outcome = await check
        except Exception as exc:  # noqa: BLE001 - a fault of ours, whatever it is: a token may still do
            self._log.error("ssh.failed", crash=describe_crash(exc))
            return TurnedAway("internal", FAILED, asyncssh.DISC_BY_APPLICATION)
        if not isinstance(outcome, Admitted) or self._workspace is None:
            return outcome
        if self._leg is None or not self._leg.is_open:  # it left as the workspace let it in: its end is dealt with
            outcome.upstream.kill()
            return Rejected("left")
        if not self._place.take_session(outcome.user, self._workspace.uid):
            outcome.upstream.kill()
            return TurnedAway("too_many", TOO_MANY)
        return outcome

    def _refuse(self, method: str, outcome: Rejected | TurnedAway) -> None:
        self._reason = outcome.reason
        if self._error_type != USER_FORMAT:
            is_unknown = outcome.reason == "denied" and self._workspace is None
            self._error_type = find_error_type("unknown_workspace" if is_unknown else outcome.reason)
        self._metrics.ssh_auth_attempts.labels(method, outcome.reason).inc()
        self._log.info("ssh.refused", reason=outcome.reason, auth_method=method)
        if outcome.reason in _GUESSES:
            self._on_guess()
        banner = outcome.text if isinstance(outcome, TurnedAway) else outcome.banner
        self._show(banner)

    def _show(self, text: str) -> None:
        """To the person, where there is something to say; only before the login succeeds can it be shown at all."""
        if text and self._leg is not None:
            self._leg.send_auth_banner(text + "\r\n")

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
        self._metrics.ssh_connections.labels("open" if opened else "login").dec()
        if not opened:
            result = "refused" if self._name is not None else "no_login"
            self._metrics.ssh_attempts.labels(result, self._error_type).inc()
            if self._leg is not None and not self._leg.has_spoken:
                self._metrics.ssh_health_probes.inc()
        reason = self._reason
        if self._relay and self._relay.ended:
            reason = self._relay.ended.text
            code = self._relay.ended.code
            known = str(code) if code in _DISCONNECT_CODES else "other"
            self._metrics.ssh_disconnects.labels(known, self._relay.ended_by).inc()
        log = self._log.debug if self._name is None else self._log.info  # a port scan or health check says no name
        seconds = round(time.monotonic() - self._started, 3)
        received, sent = (self._relay.received_bytes, self._relay.sent_bytes) if self._relay else (0, 0)
        log("ssh.closed", reason=reason, seconds=seconds, received=received, sent=sent)
        failure = "" if opened else self._error_type
        name = self._workspace.name if self._workspace else ""
        self._trace.end(name, failure=failure, received=received, sent=sent)
        self._on_end(self)


def _no_more_tries() -> asyncssh.DisconnectError:
    return asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, PERMISSION_DENIED)
