"""Warns who is in a workspace that nobody uses, and has it stopped when nobody minds.

One gateway acts, on what all of them know; what fails is tried again, later and later. Whoever comes in the meantime
keeps the workspace, also where GitLab has been asked already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from auth.model import Denied, Unavailable
from auth.stopping import NOBODY, LeftAlone, Outcome, Stopped, Stopper
from auth.wishes import NotTold
from config.settings import IdleSettings
from gateway.idle.ledger import Ledger, Use
from gateway.idle.sharing import Sharing, SharingUnavailable
from gateway.idle.standing import Standing, describe
from gateway.idle.uses import LOOK_SECONDS
from gateway.running import TaskByKey
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from routing.model import Workspace

GRACE_SECONDS = LOOK_SECONDS  # after the time-out: what was typed at another gateway right before it is told by then
TURN_SECONDS = 60.0  # for which nobody else acts: longer than all questions to GitLab take, each with its time-out
RETRY_SECONDS = 30.0  # after a first failure; each further one doubles it
RETRY_MAX = 3600.0  # s; a token is renewed, or GitLab mended, within a working day
WARNED = "nobody has used this workspace for {}; it stops in {} unless somebody does"


@dataclass(slots=True)
class _Failed:
    """What came of trying so far."""

    due: float
    """On the ledger's clock."""
    delay: float
    problem: str


class Stops:
    """Stops workspaces while its block runs."""

    def __init__(
        self,
        settings: IdleSettings,
        ledger: Ledger,
        sharing: Sharing,
        stopper: Stopper,
        *,
        tell: Callable[[str, str], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`tell` says a text to everybody who is logged in by SSH at a workspace of this number."""
        self._settings = settings
        self._ledger = ledger
        self._sharing = sharing
        self._stopper = stopper
        self._tell = tell
        self._metrics = metrics
        self._log = log
        self._acting: TaskByKey[None] = TaskByKey()
        self._failed: dict[str, _Failed] = {}

    def __repr__(self) -> str:
        return f"<Stops acting={len(self._acting)} failed={len(self._failed)}>"

    def adopt(self, settings: IdleSettings) -> None:
        """Go on by these settings."""
        self._settings = settings

    async def __aenter__(self) -> Self:
        await self._acting.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._acting.__aexit__(kind, exc, trace)

    def get_problem(self, workspace_id: str) -> str:
        """Why a workspace that should have been stopped runs on; empty where there is no reason."""
        failed = self._failed.get(workspace_id)
        return failed.problem if failed else ""

    def consider(self, workspace: Workspace, standing: Standing, *, is_shared: bool) -> None:
        """What follows from how a workspace stands. `is_shared` says whether the others were heard just now."""
        warning = min(self._settings.warning, standing.timeout / 2)
        if not standing.timeout or standing.idle < standing.timeout - warning:
            self.forget(workspace.id)
            return
        if workspace.id not in self._ledger.ending:
            self._warn(workspace, standing)
        if is_shared and standing.idle >= standing.timeout + GRACE_SECONDS and self._is_due(workspace.id):
            self._acting.start(workspace.id, partial(self._act, workspace, standing))

    def forget(self, workspace_id: str) -> None:
        """It is used again, or does not run."""
        self._ledger.ending.discard(workspace_id)
        self._failed.pop(workspace_id, None)

    def keep_only(self, workspace_ids: set[str]) -> None:
        """The others do not run any more."""
        for gone in (self._ledger.ending | self._failed.keys()) - workspace_ids:
            self.forget(gone)

    async def wait_done(self) -> None:
        """Until nothing is under way."""
        await self._acting.wait_done()

    def _is_due(self, workspace_id: str) -> bool:
        failed = self._failed.get(workspace_id)
        return workspace_id not in self._acting and (failed is None or self._ledger.now() >= failed.due)

    def _warn(self, workspace: Workspace, standing: Standing) -> None:
        self._ledger.ending.add(workspace.id)
        self._log.info("idle.warned", **_facts(workspace, standing))
        self._tell(workspace.id, WARNED.format(describe(standing.idle), describe(standing.left or 0)))

    async def _act(self, workspace: Workspace, standing: Standing) -> None:
        try:
            await self._stop(workspace, standing)
        except SharingUnavailable as exc:
            self._put_off(workspace, Unavailable(str(exc)))
        except Exception:  # noqa: BLE001 - a fault of ours at one workspace ends neither the others nor the gateway
            self._log.exception("idle.failed", workspace=workspace.name)
            self._put_off(workspace, Unavailable("a fault of the gateway"))

    async def _stop(self, workspace: Workspace, standing: Standing) -> None:
        if not self._stopper.has_mandate(workspace.id):
            self._put_off(workspace, NOBODY)  # another gateway may have one, so this one takes no turn
            return
        if not await self._sharing.take_turn(workspace.id, TURN_SECONDS):
            return
        check_unused = partial(self._check_unused, workspace.id, standing.timeout)
        outcome = await self._stopper.stop(workspace.id, workspace.name, check_unused)
        match outcome:
            case Stopped(by):
                self._metrics.idle_stops.labels("stopped").inc()
                self._log.info("audit.workspace_stopped", **_facts(workspace, standing), by=by)
                await self._finish(workspace, is_used_again=not await check_unused())
            case LeftAlone(reason):
                self._metrics.idle_stops.labels("left_alone").inc()
                self._log.info("idle.left_alone", **_facts(workspace, standing), reason=reason)
                if await check_unused():
                    self._ledger.restart(workspace.id)
                self.forget(workspace.id)
            case _:
                self._put_off(workspace, outcome)

    async def _finish(self, workspace: Workspace, *, is_used_again: bool) -> None:
        self.forget(workspace.id)
        if is_used_again and await self._stopper.resume(workspace.id):
            self._metrics.idle_stops.labels("taken_back").inc()
            self._log.info("audit.workspace_stop_taken_back", workspace_id=workspace.id, workspace=workspace.name)
        elif not is_used_again:
            self._ledger.restart(workspace.id)

    async def _check_unused(self, workspace_id: str, seconds: float) -> bool:
        """By this gateway and by all others."""
        if await self._sharing.check_used(workspace_id):
            self._ledger.note(workspace_id, Use.ELSEWHERE)
        return (self._ledger.idle(workspace_id) or 0) >= seconds

    def _put_off(self, workspace: Workspace, outcome: Outcome) -> None:
        result, problem, least = _explain(outcome)
        before = self._failed.get(workspace.id)
        delay = RETRY_SECONDS
        if before is not None and outcome != NOBODY:  # who signs in is noticed without asking anybody
            delay = min(before.delay * 2, RETRY_MAX)
        delay = max(delay, least)
        self._failed[workspace.id] = _Failed(self._ledger.now() + delay, delay, problem)
        self._metrics.idle_stops.labels(result).inc()
        if before is None or before.problem != problem:
            self._log.warning(
                "idle.not_stopped",
                workspace_id=workspace.id,
                workspace=workspace.name,
                namespace=workspace.namespace,
                result=result,
                reason=problem,
            )


def _explain(outcome: Outcome) -> tuple[str, str, float]:
    """A word for metrics, a reason, and the least time in seconds until it makes sense to try again."""
    match outcome:
        case NotTold(reason):
            return "refused", reason, 0
        case Denied(reason):
            return ("nobody" if outcome == NOBODY else "denied"), reason, 0
        case Unavailable(reason, retry_after):
            return "unavailable", reason, retry_after or 0
        case _:
            raise AssertionError(outcome)


def _facts(workspace: Workspace, standing: Standing) -> dict[str, object]:
    return {
        "workspace_id": workspace.id,
        "workspace": workspace.name,
        "namespace": workspace.namespace,
        "idle_seconds": round(standing.idle),
        "timeout_seconds": round(standing.timeout),
    }
