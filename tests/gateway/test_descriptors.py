"""How many descriptors there are, and how many of them are for visitors: read from the process itself."""

import math
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.descriptors import RESERVE, find_ceiling, find_used_ratio, has_room, raise_limit
from gateway.telemetry.metrics import Metrics

Limit = tuple[int, int]


@pytest.fixture
def limit() -> Iterator[Limit]:
    """The limits of this process, which are put back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(limit: Limit) -> None:
    _, hard = limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize(("soft", "ceiling"), [(1024, 1024 - RESERVE), (100, 50)])
def test_visitors_never_get_the_last_ones(limit: Limit, soft: int, ceiling: int) -> None:
    """And at least half, where there are very few."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, limit[1]))

    assert find_ceiling() == ceiling


def test_room_is_what_lies_below_the_ceiling(limit: Limit) -> None:
    number = os.eventfd(0)
    os.close(number)

    assert (has_room(number + 1), has_room(number)) == (True, False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, limit[1]))
    assert not has_room(sys.maxsize)


def test_the_share_in_use_is_known_to_the_last_one(limit: Limit) -> None:
    """When none is left to count the others by, it is all of them."""
    used = find_used_ratio()
    held = [os.eventfd(0) for _ in range(50)]
    assert find_used_ratio() == pytest.approx(used + 50 / limit[0])

    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0], limit[1]))
    assert find_used_ratio() == 1
    for number in held:
        os.close(number)


def test_without_proc_the_share_is_no_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a root of one's own; every other metric is there all the same."""
    monkeypatch.setattr("gateway.descriptors._OPEN", tmp_path / "none")

    assert math.isnan(find_used_ratio())
    assert b"descriptors_used_ratio NaN" in Metrics().render()
