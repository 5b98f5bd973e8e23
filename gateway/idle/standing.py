"""How a workspace stands: how long it was unused, and how far it is from its stop; and a report of them all. Pure."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from gateway.idle.ledger import Use
from routing.model import Workspace

_BATCH = 1000  # workspaces in one turn of the loop: some milliseconds


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workspace that runs stands at a moment."""

    idle: float
    """Seconds since its last use."""
    use: Use
    """What that was."""
    timeout: float
    """Seconds that it may go unused; 0 is for ever."""
    problem: str = ""
    """Why it was not stopped when it should have been."""

    @property
    def left(self) -> float | None:
        """Seconds until it is stopped; None where that is never."""
        return max(0.0, self.timeout - self.idle) if self.timeout else None


class _Entry(TypedDict):
    """One workspace of a report."""

    id: str
    workspace: str
    namespace: str
    idle_seconds: int
    last_use: str | None
    timeout_seconds: int | None
    stops_in_seconds: int | None
    problem: str | None


async def render_report(standings: Iterable[tuple[Workspace, Standing]]) -> bytes:
    """JSON for operators, the longest unused first; others have their turn while it is made."""
    entries = []
    for workspace, standing in standings:
        entries.append(_entry(workspace, standing))
        if len(entries) % _BATCH == 0:
            await asyncio.sleep(0)
    return await _render(entries)


async def merge_reports(reports: Iterable[bytes]) -> bytes:
    """What several workers report, as one: of each workspace, whoever saw it used last."""
    latest: dict[str, _Entry] = {}
    for report in reports:
        entry: _Entry
        for entry in json.loads(report)["workspaces"]:
            known = latest.get(entry["id"])
            if known is None or entry["idle_seconds"] < known["idle_seconds"]:
                latest[entry["id"]] = entry
    return await _render(latest.values())


async def _render(entries: Iterable[_Entry]) -> bytes:
    lines = []
    for entry in sorted(entries, key=lambda entry: (-entry["idle_seconds"], entry["workspace"])):
        lines.append(json.dumps(entry))
        if len(lines) % _BATCH == 0:
            await asyncio.sleep(0)
    return ('{"workspaces": [\n' + ",\n".join(lines) + "\n]}\n").encode()


def _entry(workspace: Workspace, standing: Standing) -> _Entry:
    left = standing.left
    return _Entry(
        id=workspace.id,
        workspace=workspace.name,
        namespace=workspace.namespace,
        idle_seconds=round(standing.idle),
        last_use=standing.use.value or None,
        timeout_seconds=round(standing.timeout) or None,
        stops_in_seconds=None if left is None else round(left),
        problem=standing.problem or None,
    )


def describe(seconds: float) -> str:
    """As a person would say it: `40 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _pair(minutes, 60, "h", "min")
    return _pair(round(minutes / 60), 24, "d", "h")


def _pair(count: int, unit: int, large: str, small: str) -> str:
    whole, rest = divmod(count, unit)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
