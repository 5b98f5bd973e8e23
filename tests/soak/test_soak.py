"""A mixed load for as many MINUTES as the environment says, in all."""

import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from tests.soak.course import run_course
from tests.soak.stage import open_stage

OUTPUT = Path(__file__).parents[1] / "output"
MINUTES = float(os.environ.get("MINUTES", "2"))


def tell(line: str) -> None:
    """To the terminal, as it happens: whoever waits for an hour wants to see."""
    sys.stderr.write(f"{line}\n")


@pytest.mark.timeout(MINUTES * 60 + 300)
async def test_no_byte_is_lost_and_nothing_is_left_behind() -> None:
    """Every stream is checked byte by byte; only those end that lost what they were there by."""
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))  # noqa: S311 - to try the same again
    tell(f"\nseed {seed}")
    async with open_stage(seed) as stage:
        course = await run_course(stage, MINUTES * 60, tell)
        said = dict(stage.logged())
        if stage.ledger.faults:
            OUTPUT.mkdir(exist_ok=True)
            shutil.copy(stage.folder / "log", OUTPUT / "soak.log")
    tell(f"{stage.ledger.table()}\n{course.table()}\nlog: {said}")

    assert not stage.ledger.faults
    assert stage.status == 0
