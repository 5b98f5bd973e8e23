"""Has stopped workspaces run again for their owners: GitLab is asked once however many want it, and it is on record.

Whoever calls has made sure that the owner is there; that the workspace is theirs GitLab is asked all the same. What is
asked for goes on when nobody waits for it any more: who leaves ends the waiting and not the start.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Self

from cachetools import TTLCache

from auth.mandates import Mandate
from auth.model import Denied, Unavailable, User, WorkspaceRecord
from auth.remembered import Remembered
from auth.wishes import NotTold, Told, Wishes
from gateway.running import TaskByKey
from gateway.telemetry.crash import describe_crash
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.model import Workspace

RECORD_SECONDS = 3.0  # for which GitLab's word on a start counts: all who wait ask it as often as one page reloads
UNAVAILABLE_SECONDS = 2.0  # the same for a GitLab that did not answer
STARTS_MAX = 10_000  # starts whose end is awaited, about 200 B each; of a longest forgotten one only the time is lost
STARTS_SECONDS = 3600  # after which it is not awaited any more

Outcome = Told | NotTold | Denied | Unavailable


class Way(StrEnum):
    """How an owner lets it be known that they want their workspace."""

    BUTTON = "button"
    """On the page of a stopped workspace."""
    PORTAL = "portal"
    """The one on the list of workspaces."""
    NAVIGATION = "navigation"
    SSH = "ssh"


class Waker:
    """Starts workspaces while its block runs."""

    def __init__(self, wishes: Wishes, metrics: Metrics, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._wishes = wishes
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._asking: TaskByKey[Outcome] = TaskByKey()
        """By the uid of the workspace."""
        self._begun: TTLCache[str, tuple[float, Way]] = TTLCache(STARTS_MAX, STARTS_SECONDS, timer=clock)
        self._records: Remembered[tuple[str, int], WorkspaceRecord | Denied | Unavailable] = Remembered(
            STARTS_MAX, _lifetime, clock
        )

    def __repr__(self) -> str:
        return f"<Waker asking={len(self._asking)} begun={len(self._begun)}>"

    async def __aenter__(self) -> Self:
        await self._asking.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._asking.__aexit__(kind, exc, trace)

    async def start(self, workspace: Workspace, owner: User, mandates: Sequence[Mandate], way: Way) -> Outcome:
        """Ask GitLab to run it. Another's question that is under way is everybody's, unless only its token failed."""
        outcome = await self._join(workspace)
        if outcome is None or (_is_about_token(outcome) and mandates):
            task = self._asking.start(workspace.uid, lambda: self._ask(workspace, owner, mandates, way))
            outcome = await asyncio.shield(task)
        self._metrics.wakes.labels(way.value, _result(outcome)).inc()
        return outcome

    async def find_record(
        self, workspace: Workspace, owner: User, mandates: Sequence[Mandate]
    ) -> WorkspaceRecord | Denied | Unavailable:
        """What GitLab says of it, now or some seconds ago."""
        return await self._records.find(
            (workspace.uid, owner.id), lambda: self._wishes.find_record(workspace.id, owner.id, mandates)
        )

    def arrived(self, workspace: Workspace) -> None:
        """Its owner is where they wanted to be; timed where the start was asked for here."""
        begun = self._begun.pop(workspace.uid, None)
        if begun is not None:
            started, way = begun
            self._metrics.wake_seconds.labels(way.value).add(self._clock() - started)

    async def _join(self, workspace: Workspace) -> Outcome | None:
        """The outcome of the question that is under way, if there is one."""
        outcome = None
        while (task := self._asking.get(workspace.uid)) is not None:
            outcome = await asyncio.shield(task)
            if not _is_about_token(outcome):
                break
        return outcome

    async def _ask(self, workspace: Workspace, owner: User, mandates: Sequence[Mandate], way: Way) -> Outcome:
        try:
            outcome = await self._wishes.tell("Running", workspace.id, owner.id, mandates)
        except Exception as exc:  # noqa: BLE001 - a fault of ours is told to those who wait, and ends nothing else
            self._log.error("wake.failed", workspace=workspace.name, crash=describe_crash(exc))
            outcome = Unavailable("a fault of the gateway")
        self._records.forget((workspace.uid, owner.id))
        self._note(workspace, owner, way, outcome)
        return outcome

    def _note(self, workspace: Workspace, owner: User, way: Way, outcome: Outcome) -> None:
        facts = {
            "user_id": owner.id,
            "user": owner.username,
            "workspace": workspace.name,
            "workspace_id": workspace.id,
            "way": way.value,
        }
        match outcome:
            case Told(_, by, is_new=True):
                self._begun[workspace.uid] = (self._clock(), way)
                self._log.info("audit.workspace_started", **facts, by=by)
            case Told():
                pass
            case NotTold(reason) | Denied(reason) | Unavailable(reason):
                self._log.info("wake.refused", **facts, result=_result(outcome), reason=reason)


def _is_about_token(outcome: Outcome) -> bool:
    """Whether somebody else with another token may get another answer."""
    return isinstance(outcome, Denied) or (isinstance(outcome, NotTold) and outcome.lacks_scope)


def _result(outcome: Outcome) -> str:
    match outcome:
        case Told(is_new=is_new):
            return "started" if is_new else "underway"
        case NotTold(lacks_scope=lacks_scope):
            return "read_only" if lacks_scope else "refused"
        case Denied():
            return "denied"
        case Unavailable():
            return "unavailable"


def _lifetime(record: WorkspaceRecord | Denied | Unavailable) -> float:
    match record:
        case WorkspaceRecord():
            return RECORD_SECONDS
        case Unavailable():
            return UNAVAILABLE_SECONDS
        case Denied():
            return 0
