"""How one client proves who it is, by RFC 4252: every try of one connection, and what each comes to.

`admission` decides; here are the rules that span the tries: one workspace, one user name, one check at a time, one
budget, one pace for every refusal. Nobody waits for a workspace before a token or a signature has told who they are.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol

import asyncssh

from auth.model import Denied
from config.settings import SshSettings
from gateway.ssh.admission import Admission, SshAccess
from gateway.ssh.attempts import NO_AUTH, NO_LOGIN, USER_FORMAT, find_error_type
from gateway.ssh.credentials import Credential
from gateway.ssh.crowd import Place
from gateway.ssh.internals.ends import ClientLeg
from gateway.ssh.keys import KeyAccess
from gateway.ssh.limits import TryBudget
from gateway.ssh.outcomes import PERMISSION_DENIED, TOO_MANY, Admitted, Outcome, Rejected, TurnedAway
from gateway.ssh.parting import make_printable
from gateway.ssh.recheck import Entry
from gateway.ssh.tokens import parse_token
from gateway.ssh.trace import ConnectionTrace
from gateway.telemetry.crash import describe_crash
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing
from routing.model import Workspace

FAILED = "The gateway failed, try again"
NOT_READY = "The gateway is starting and does not know the workspaces yet, try again"

_GUESSES = frozenset(("token_refused", "denied", "bad_signature"))  # what is refused to whoever tries tokens or names
_WORKSPACE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # a DNS label, as the name is that of a Service
_LOGGED_NAME = 64  # characters of a user name that a log line shows: a valid one is shorter


class WorkspaceDirectory(Protocol):
    """Knows the workspaces by the name people type as the SSH user name."""

    synced: bool
    """Whether it knows all workspaces there are."""

    def get_workspace(self, name: str) -> Workspace | None: ...
    def subscribe(self, observer: Callable[[], None]) -> None:
        """Have `observer` called after every change."""


class Login:
    """The tries of one client."""

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
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._admission = admission
        self._metrics = metrics
        self._access = access
        self._keys = keys
        self.trace = ConnectionTrace(tracing)
        self._place = place
        self._on_guess = on_guess
        self._budget = TryBudget(settings.max_auth_tries)
        self._offers = TryBudget(settings.max_key_offers)
        self._has_waited = False
        self._checking = asyncio.Lock()
        self.source = ("", 0)
        """Address and port of the client."""
        self._leg: ClientLeg | None = None
        self.log = log
        """With everything that is known of the client so far."""
        self.name: str | None = None
        """The user name, once it is said."""
        self.workspace: Workspace | None = None
        self.admitted: Admitted | None = None
        self.entry: Entry | None = None
        """How whoever is admitted came in."""
        self.reason = ""
        """Of the last refusal."""
        self.error_type = NO_LOGIN
        self.is_waiting = False
        """Whether the person is known, and their workspace had to be waited for."""

    def begin(self, leg: ClientLeg) -> None:
        """The client is there."""
        self._leg = leg
        host, port = self.source = (*(leg.get_extra_info("peername") or ("", 0)),)[:2]
        self.log = self.log.bind(client=host, client_port=port)

    def begin_auth(self, username: str) -> None:
        """It says whom it wants to be; asyncssh calls this for a first name and for every other one."""
        if self.name is not None:
            raise asyncssh.DisconnectError(asyncssh.DISC_PROTOCOL_ERROR, "Change of user name is not allowed")
        if not self._directory.synced:
            raise asyncssh.DisconnectError(asyncssh.DISC_SERVICE_NOT_AVAILABLE, NOT_READY)
        self.name = username
        if _WORKSPACE_NAME.fullmatch(username):
            self.workspace = self._directory.get_workspace(username)
            self.error_type = NO_AUTH
        else:
            self.error_type = USER_FORMAT
        self.log = self.log.bind(workspace=make_printable(username)[:_LOGGED_NAME])

    @property
    def takes_keys(self) -> bool:
        """Whether the client hears of public keys at all."""
        return self._keys is not None and self._keys.is_offered

    def check_budget(self) -> None:
        """Ends the connection where no try is left: a client may abandon a prompt for the next one."""
        if self._budget.is_spent:
            raise _no_more_tries()

    async def try_key(self, blob: bytes, signed: bytes, signature: bytes) -> bool:
        """Would this public key do or, where something is signed, does it."""
        if self._keys is None or not self._offers.take():
            raise _no_more_tries()
        due = time.monotonic() + self._settings.failure_delay
        async with self._checking:
            credential = await self._get_credential(self._keys, blob)
            if credential is None:
                return await self._pass_over(due)
            if not signed:
                return True
            if credential.has_signed(signed, signature):
                outcome = await self._enter(self._check_key(self._keys, credential))
            else:
                outcome = Rejected("bad_signature")
        return await self._conclude(credential.method, outcome, due)

    async def try_token(self, method: str, answer: str) -> bool:
        if not self._budget.take():
            raise _no_more_tries()
        due = time.monotonic() + self._settings.failure_delay
        async with self._checking:  # a new request calls the old one off, but its question to GitLab ends first
            outcome = await self._enter(self._check_token(answer))
        is_in = await self._conclude(method, outcome, due)
        if not is_in and self._budget.is_spent:
            raise _no_more_tries()
        return is_in

    # While the workspace starts

    def begin_waiting(self, user: str) -> bool:
        """Gives up the place among those who log in, and the time for it; stays within the limits of its person."""
        if self.workspace is None or self._leg is None or not self._place.take_session(user, self.workspace.uid):
            return False
        self.is_waiting = True
        self.error_type = find_error_type("left")  # unless it comes to something else
        self._place.end_login()
        self._leg.end_login_grace()
        self._metrics.ssh_connections.labels("login").dec()
        self._metrics.ssh_connections.labels("waiting").inc()
        self.log.info("ssh.waiting", user=user)
        return True

    def show(self, text: str) -> None:
        """To the person, where there is something to say; only before the login succeeds can it be shown at all.

        Several such banners are allowed (RFC 4252 section 5.4). Plain ASCII: OpenSSH shows anything else as numbers
        where the locale is C, as in a job of cron.
        """
        if text and self._leg is not None and self._leg.is_open:
            self._leg.send_auth_banner(text + "\r\n")

    # What a try comes to

    async def _conclude(self, method: str, outcome: Outcome, due: float) -> bool:
        if isinstance(outcome, Admitted):
            self.log = self.log.bind(auth_method=method)
            self._metrics.ssh_auth_attempts.labels(method, "granted").inc()
            self.admitted = outcome
            self.show(outcome.warning)
            return True
        self._refuse(method, outcome)
        if isinstance(outcome, TurnedAway):
            raise asyncssh.DisconnectError(outcome.code, outcome.text)
        await asyncio.sleep(due - time.monotonic())
        return False

    async def _check_token(self, answer: str) -> Outcome:
        token = parse_token(answer)
        if token is None:
            return Rejected("malformed_token")
        outcome = await self._admission.ask(self.workspace, token, self)
        if isinstance(outcome, Admitted) and self.workspace is not None:
            self.entry = Entry(partial(self._access.decide_workspace, token, self.workspace.id))
        return outcome

    async def _check_key(self, keys: KeyAccess, credential: Credential) -> Outcome:
        if self.workspace is None:
            return Rejected("unknown_workspace")
        outcome = await self._admission.admit(self.workspace, await keys.decide(self.workspace, credential), self)
        if isinstance(outcome, Admitted):
            self.entry = Entry(partial(keys.ask, self.workspace, credential))
        return outcome

    async def _get_credential(self, keys: KeyAccess, blob: bytes) -> Credential | None:
        try:
            return await keys.get_credential(self.workspace, blob, self.source[0])
        except Exception as exc:  # noqa: BLE001 - a fault of ours, whatever it is: a token may still do
            self.log.error("ssh.failed", crash=describe_crash(exc))  # noqa: TRY400 - a traceback might hold the token
            return None

    async def _pass_over(self, due: float) -> bool:
        """Refuses a key, the first time as late as anything else, so that time does not tell which names exist."""
        self._metrics.ssh_auth_attempts.labels("publickey", "unknown_key").inc()
        if not self._has_waited:
            self._has_waited = True
            await asyncio.sleep(due - time.monotonic())
        return False

    async def _enter(self, check: Coroutine[None, None, Outcome]) -> Outcome:
        self.trace.follow()
        started = time.monotonic()
        try:
            outcome = await self._confirm(await check)
        except Exception as exc:  # noqa: BLE001 - a fault of ours, whatever it is, is this connection's alone
            self.log.error("ssh.failed", crash=describe_crash(exc))  # noqa: TRY400 - a traceback might hold the token
            return TurnedAway("internal", FAILED, asyncssh.DISC_BY_APPLICATION)
        if not self.is_waiting:  # a start takes minutes and says nothing about GitLab or an sshd
            self._metrics.ssh_auth_seconds.add(time.monotonic() - started)
        if not isinstance(outcome, Admitted) or self.workspace is None:
            return outcome
        if self._leg is None or not self._leg.is_open:  # it left as the workspace let it in: its end is dealt with
            outcome.upstream.kill()
            return Rejected("left")
        if not self._place.take_session(outcome.user, self.workspace.uid):
            outcome.upstream.kill()
            return TurnedAway("too_many", TOO_MANY)
        return outcome

    async def _confirm(self, outcome: Outcome) -> Outcome:
        """Asks about whoever waited once more, whose right may be gone by now; who cannot be asked takes none away."""
        if not isinstance(outcome, Admitted) or not self.is_waiting or self.entry is None:
            return outcome
        try:
            verdict = await self.entry.ask()
        except BaseException:
            outcome.upstream.kill()
            raise
        if not isinstance(verdict, Denied):
            return outcome
        outcome.upstream.kill()
        return TurnedAway("withdrawn", PERMISSION_DENIED)

    def _refuse(self, method: str, outcome: Rejected | TurnedAway) -> None:
        self.reason = outcome.reason
        if self.error_type != USER_FORMAT:
            is_unknown = outcome.reason == "denied" and self.workspace is None
            self.error_type = find_error_type("unknown_workspace" if is_unknown else outcome.reason)
        self._metrics.ssh_auth_attempts.labels(method, outcome.reason).inc()
        self.log.info("ssh.refused", reason=outcome.reason, auth_method=method)
        if outcome.reason in _GUESSES:
            self._on_guess()
        banner = outcome.text if isinstance(outcome, TurnedAway) else outcome.banner
        self.show(banner)


def _no_more_tries() -> asyncssh.DisconnectError:
    return asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, PERMISSION_DENIED)
