"""How long a workspace may go unused: the operator's settings and the workspace's own annotation. Pure.

The narrowest word counts: the annotation, else the first rule that matches, else the instance's time-out; each within
the instance's maximum. An annotation is a stranger's text: what is not understood counts for nothing.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from config.settings import IdleRule, IdleSettings
from config.values import IDLE_TIMEOUT_MIN
from routing.model import Workspace

_DURATION = re.compile(r"(?:([0-9]{1,3})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?\Z")
_UNITS = (86_400, 3600, 60, 1)
_SHOWN = 32  # characters of what was not understood: enough to find it
NEVER = 0.0


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a workspace may go unused."""

    seconds: float
    """0 is for ever."""
    remark: str = ""
    """What of its annotation was not understood, for the operator."""


def find_timeout(workspace: Workspace, settings: IdleSettings) -> Timeout:
    """What counts for one workspace."""
    above = next((rule.timeout for rule in settings.rules if _applies(rule, workspace)), settings.timeout)
    seconds, remark = above, ""
    if workspace.idle_timeout:
        try:
            seconds = parse_duration(workspace.idle_timeout)
        except ValueError as exc:
            remark = str(exc)
    return Timeout(_within(seconds, settings.maximum), remark)


def parse_duration(text: str) -> float:
    """Seconds from `30m`, `2h`, `1h30m` or `1d`; 0 is never.

    Raises:
        ValueError: if it is none of these, or too short to be meant.
    """
    if text == "0":
        return NEVER
    match = _DURATION.match(text)
    if not text or match is None:
        raise ValueError(f"{text[:_SHOWN]!r} is no duration such as 30m, 2h, 1h30m or 1d, nor 0 for never")
    seconds = sum(int(count or 0) * unit for count, unit in zip(match.groups(), _UNITS, strict=True))
    if seconds < IDLE_TIMEOUT_MIN:
        raise ValueError(f"{text[:_SHOWN]!r} is shorter than {IDLE_TIMEOUT_MIN} s; 0 is never")
    return float(seconds)


def _within(seconds: float, maximum: float) -> float:
    if not maximum:
        return seconds
    return min(seconds or maximum, maximum)


def _applies(rule: IdleRule, workspace: Workspace) -> bool:
    """Every criterion that a rule names must match."""
    agent = rule.agent_id is None or rule.agent_id == workspace.agent_id
    return agent and (rule.namespace is None or fnmatchcase(workspace.namespace, rule.namespace))
