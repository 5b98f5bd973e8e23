"""How many open files and sockets this process may have, and up to where visitors may use them up.

The kernel gives out the lowest free number, so the number of a new descriptor tells how many there are at least.
"""

import errno
import math
import os
import resource
from pathlib import Path

RESERVE = 64  # for probes, scrapes, GitLab, Redis, a log and files that are read again; visitors never get these
_OPEN = Path("/proc/self/fd")
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE))  # this process has no more, or the whole machine


def raise_limit() -> None:
    """Take as many as the operator allows (the hard limit); a soft limit of 1024 is for programs of the past."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def find_used_ratio() -> float:
    """The share of its descriptors that this process has open; no number where there is no /proc to count them in."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return sum(1 for _ in _OPEN.iterdir()) / soft
    except FileNotFoundError:
        return math.nan
    except OSError as exc:
        if exc.errno in EXHAUSTED:
            return 1.0  # not even one is left to count them by
        raise


def find_ceiling() -> int:
    """The number from which on a descriptor is not for visitors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - RESERVE, soft // 2)


def has_room(ceiling: int) -> bool:
    """Whether the next descriptor would be below this number."""
    try:
        number = os.eventfd(0)
    except OSError as exc:
        if exc.errno in EXHAUSTED:
            return False
        raise
    os.close(number)
    return number < ceiling
