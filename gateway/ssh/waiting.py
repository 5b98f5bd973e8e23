"""An owner who logs in waits here while their workspace starts, and is let in when its sshd answers.

The login is over but for that, so nothing that bounds logins bounds the wait: it has a limit of its own. What GitLab
says is asked every few seconds, once for all who wait; that the pod runs is learnt from the routes or, where their
source does not tell, by dialling.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import asyncssh

from auth.mandates import Mandate
from auth.model import Denied, Granted, Unavailable, User, WorkspaceRecord
from auth.wishes import COMING, NotTold, Told
from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.outcomes import PERMISSION_DENIED, TOO_MANY, TurnedAway, gitlab_unavailable, not_running, see
from gateway.ssh.parting import make_printable
from gateway.ssh.upstream import Unreachable, Upstreams
from gateway.waking import Waker, Way
from routing.model import Workspace

_FINAL = frozenset(("login_refused",))  # an sshd that answered, and would answer the same again
_READ_ONLY = "a token with the scope read_api alone cannot start it: use one with the scope api"
_NO_TOKEN = "nobody has let the gateway start it: log in with a GitLab token of the scope api as the password"  # noqa: S105 - a sentence


class Directory(Protocol):
    """Knows the workspaces by name, and tells when it learns something."""

    def get_workspace(self, name: str) -> Workspace | None: ...
    def subscribe(self, observer: Callable[[], None]) -> None: ...


class Owners(Protocol):
    """Says by which tokens to act for owners."""

    def mandates(self, workspace_id: str) -> tuple[Mandate, ...]: ...


class Patient(Protocol):
    """A login that waits."""

    def begin_waiting(self, user: str) -> bool:
        """The person is known and waits from now on; False where they have too many sessions already."""

    def show(self, text: str) -> None:
        """A line for the person."""


class WaitingRoom:
    """Everybody who waits."""

    def __init__(
        self,
        settings: SshSettings,
        directory: Directory,
        upstreams: Upstreams,
        waker: Waker,
        owners: Owners | None,
        *,
        portal_url: str,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._upstreams = upstreams
        self._waker = waker
        self._owners = owners
        self._portal_url = portal_url
        self._changed: set[asyncio.Event] = set()
        directory.subscribe(self._note_change)

    def __repr__(self) -> str:
        return f"<WaitingRoom waiting={len(self._changed)}>"

    def adopt(self, settings: SshSettings) -> None:
        """Let people wait by these settings from now on."""
        self._settings = settings

    async def wait(
        self, workspace: Workspace, granted: Granted, state: str, own: Sequence[Mandate], patient: Patient
    ) -> WorkspaceLeg | TurnedAway:
        """A leg into the workspace, which is in this state and gets started if nobody has done that yet."""
        record, owner = granted.workspace, granted.user
        if record is None or state not in COMING or not self._settings.wake:
            return not_running(workspace.name, state, self._portal_url)
        if not patient.begin_waiting(owner.username):
            return TurnedAway("too_many", TOO_MANY)
        mandates = (*own, *(self._owners.mandates(workspace.id) if self._owners else ()))
        if record.goal != "Running" and (failure := await self._start(workspace, owner, state, mandates)):
            return failure
        patient.show(f"workspace {workspace.name} is {state}{': starting it' if record.goal != 'Running' else ''}")
        limit = self._settings.wake_timeout
        try:
            with self._progress(workspace.name, patient):
                async with asyncio.timeout(limit):
                    return await self._wait_for_sshd(workspace, owner, mandates)
        except TimeoutError:
            text = f"workspace {workspace.name} has not started within {limit:g} s{see(self._portal_url)}"
            return TurnedAway("wake_timeout", f"{text}; connect again to wait on")

    async def _start(
        self, workspace: Workspace, owner: User, state: str, mandates: Sequence[Mandate]
    ) -> TurnedAway | None:
        outcome = await self._waker.start(workspace, owner, mandates, Way.SSH)
        name, or_there = workspace.name, f", or start it at {self._portal_url}" if self._portal_url else ""
        match outcome:
            case Told():
                return None
            case Unavailable():
                return gitlab_unavailable()
            case NotTold(lacks_scope=True):
                why = _READ_ONLY if any(each.kind == "token" for each in mandates) else _NO_TOKEN
                return TurnedAway("read_only", f"workspace {name} is {state}, and {why}{or_there}")
            case NotTold(reason):
                words = make_printable(reason)
                return TurnedAway(
                    "not_started", f"GitLab does not start workspace {name}: {words}{see(self._portal_url)}"
                )
            case Denied() if mandates:
                return TurnedAway("withdrawn", PERMISSION_DENIED)
            case Denied():
                return TurnedAway("read_only", f"workspace {name} is {state}, and {_NO_TOKEN}{or_there}")

    async def _wait_for_sshd(
        self, workspace: Workspace, owner: User, mandates: Sequence[Mandate]
    ) -> WorkspaceLeg | TurnedAway:
        refused_since: float | None = None
        pause = limits.WAKE_DIAL
        while True:
            current = self._directory.get_workspace(workspace.name)
            if current is None or (current.uid, current.id) != (workspace.uid, workspace.id):
                return TurnedAway("withdrawn", PERMISSION_DENIED)  # as for any name that is none
            told = await self._ask(current, owner, mandates)
            if isinstance(told, TurnedAway):
                return told
            if not current.state.may_answer or told == "Stopping":  # the pod that still answers is on its way out
                await self._wait_changed(current, limits.WAKE_LOOK)
                continue
            leg = await self._upstreams.dial(current)
            if isinstance(leg, WorkspaceLeg):
                self._waker.arrived(current)
                return leg
            if leg.reason in _FINAL:
                return _unreachable(leg)
            # GitLab calls a workspace running once its first commands have run, and sshd is started by one of them.
            if told != "Running" or leg.reason != "no_sshd":
                refused_since = None
            elif refused_since is None:
                refused_since = time.monotonic()
            elif time.monotonic() - refused_since >= limits.WAKE_SSHD:
                return _unreachable(leg)
            await self._wait_changed(current, pause)
            pause = min(2 * pause, limits.WAKE_LOOK)

    async def _ask(self, workspace: Workspace, owner: User, mandates: Sequence[Mandate]) -> str | TurnedAway:
        """GitLab's word for the state; empty where it cannot be asked now."""
        if not mandates:
            return ""
        match await self._waker.find_record(workspace, owner, mandates):
            case WorkspaceRecord(goal="Running", actual_state=state) if state in COMING:
                return state
            case WorkspaceRecord(goal="Running", actual_state=state):
                return not_running(workspace.name, state, self._portal_url)
            case WorkspaceRecord():
                return TurnedAway(
                    "not_running", f"workspace {workspace.name} was stopped while it started{see(self._portal_url)}"
                )
            case Unavailable():
                return ""
            case Denied():
                return TurnedAway("withdrawn", PERMISSION_DENIED)

    async def _wait_changed(self, workspace: Workspace, seconds: float) -> None:
        """Until the routes say something else of it, or for so long."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._directory.get_workspace(workspace.name) == workspace:
                        await changed.wait()
                        changed.clear()
        finally:
            self._changed.discard(changed)

    def _note_change(self) -> None:
        for changed in self._changed:
            changed.set()

    @contextmanager
    def _progress(self, name: str, patient: Patient) -> Iterator[None]:
        """Says how long it has taken, every few seconds while the block runs. Without a task: leaving must not wait."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        handle: asyncio.TimerHandle | None = None

        def tell_later() -> None:
            nonlocal handle
            handle = loop.call_later(limits.WAKE_LINE, tell)

        def tell() -> None:
            patient.show(f"starting {name} ... {loop.time() - started:.0f} s")
            tell_later()

        tell_later()
        try:
            yield
        finally:
            if handle is not None:
                handle.cancel()


def _unreachable(leg: Unreachable) -> TurnedAway:
    return TurnedAway(leg.reason, leg.person, asyncssh.DISC_BY_APPLICATION)
