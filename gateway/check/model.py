"""What a step of the check finds, and how a step is described."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.check.site import Site


class Status(StrEnum):
    """How something stands."""

    OK = "ok"
    FAULT = "fault"
    UNKNOWN = "unknown"
    """It could not be told from here, or it does not apply; never a reason to fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found. Holds no secret."""

    status: Status
    detail: str
    advice: str = ""
    """What to do about it, where there is something to do."""


def ok(detail: str, advice: str = "") -> Finding:
    return Finding(Status.OK, detail, advice)


def fault(detail: str, advice: str) -> Finding:
    return Finding(Status.FAULT, detail, advice)


def unknown(detail: str, advice: str = "") -> Finding:
    return Finding(Status.UNKNOWN, detail, advice)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to look at."""

    name: str
    look: Callable[[Site], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    """Steps that must not have found a fault, because this one would only repeat it."""


@dataclass(frozen=True, slots=True)
class Result:
    """A step and what it found."""

    name: str
    finding: Finding
    seconds: float
