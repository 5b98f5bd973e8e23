"""What watches the use of workspaces, for tests of something that is told by it or tells it."""

import io
from collections.abc import Callable
from dataclasses import dataclass

from auth.gitlab import GitLab
from auth.mandates import Mandate
from auth.stopping import Stopper
from config.settings import IdleSettings
from gateway.idle.ledger import Ledger
from gateway.idle.sharing import Alone
from gateway.idle.stops import Stops
from gateway.idle.uses import Uses
from gateway.idle.watch import Directory, IdleWatch
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics


@dataclass(frozen=True)
class IdleParts:
    """All of it, for one gateway that has no token to stop anything by."""

    ledger: Ledger
    uses: Uses
    watch: IdleWatch


class _NoMandates:
    def mandates(self, workspace_id: str) -> tuple[Mandate, ...]:
        del workspace_id
        return ()


def make_idle(
    settings: IdleSettings,
    directory: Directory,
    gitlab: GitLab,
    *,
    metrics: Metrics,
    log: io.StringIO,
    clock: Callable[[], float],
) -> IdleParts:
    """Nothing of it runs by itself."""
    ledger, written, stopper = Ledger(clock), open_log("info", log), Stopper(gitlab, _NoMandates())
    uses = Uses(settings, ledger)
    stops = Stops(settings, ledger, Alone(), stopper, tell=lambda *_: None, metrics=metrics, log=written)
    watch = IdleWatch(settings, directory, ledger, uses, sharing=Alone(), stops=stops, log=written)
    return IdleParts(ledger, uses, watch)
