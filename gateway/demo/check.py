"""Drive a running gateway the way its users do, and say step by step whether it kept its word.

From outside only: a browser, a WebSocket client, an SSH client and a metrics scraper. Nothing here looks inside, and
nothing that is said holds a token.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gateway.demo.promises import PROMISES, Broken, Promise
from gateway.demo.visit import DemoUser, Visit, World, open_visit

__all__ = ["DemoUser", "Step", "World", "report", "run_check"]

_LIMIT = 15.0
"""Seconds for one step; the slowest takes a few hundred milliseconds on a machine that is not overloaded."""


@dataclass(frozen=True, slots=True)
class Step:
    """One promise of the gateway, and whether it was kept."""

    name: str
    ok: bool
    seconds: float
    detail: str
    """What came; where that was not what was promised, also what was expected."""


async def run_check(world: World, limit: float = _LIMIT) -> list[Step]:
    """Every step in order, `limit` seconds for each; a failing one never stops the rest."""
    async with open_visit(world, limit) as visit:
        return [await _try(name, promise, visit, limit) for name, promise in PROMISES]


def report(steps: Sequence[Step], *, as_json: bool) -> str:
    """One line per step with its time, or the same as JSON."""
    if as_json:
        return json.dumps({"ok": _is_ok(steps), "steps": [asdict(step) for step in steps]}, indent=2)
    lines = [f"{'ok  ' if step.ok else 'FAIL'} {step.seconds:7.3f} s  {step.name}: {step.detail}" for step in steps]
    return "\n".join([*lines, f"{sum(step.ok for step in steps)} of {len(steps)} steps are ok"])


async def _try(name: str, promise: Promise, visit: Visit, limit: float) -> Step:
    started = time.perf_counter()
    ok = False
    try:
        async with asyncio.timeout(limit):
            detail = await promise(visit)
        ok = True
    except Broken as broken:
        detail = str(broken)
    except TimeoutError:
        detail = f"expected an end within {limit:g} s; came none"
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the step's result, and the next one is tried
        detail = f"expected no failure; came {type(error).__name__}: {error}"
    return Step(name, ok, round(time.perf_counter() - started, 3), _one_safe_line(detail, visit.world))


def _one_safe_line(detail: str, world: World) -> str:
    """Programs of others had a say in the text (ssh's stderr, an error's words), so it is not trusted."""
    for user in world.users:
        detail = detail.replace(user.token.get_secret_value(), "[token]")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in detail).split())


def _is_ok(steps: Sequence[Step]) -> bool:
    return all(step.ok for step in steps)
