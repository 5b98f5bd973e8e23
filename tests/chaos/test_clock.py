"""What happens when the clock of the machine is set, by an hour either way, under a gateway that runs.

Debian's libfaketime sets the clock of the gateway's process alone; GitLab and the visitors keep theirs.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.conftest import Stage, assert_nobody_gets_in, open_stage, wait_for
from tests.e2e.conftest import Setup

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/nonexistent"))
HOUR = 3600


class Wall:
    """The clock on the wall of the gateway's machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        """So far from the real time."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.rename(self._path)


@pytest.fixture
async def walled(setup: Setup, tmp_path: Path) -> AsyncIterator[tuple[Stage, Wall]]:
    """A gateway whose clock can be set. The one that measures how long something took cannot, as on any machine."""
    assert LIBRARY.exists(), "Debian's package libfaketime"
    wall = Wall(tmp_path / "wall")
    setup.environ |= {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "wall"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # which makes each wait of a loop seconds longer
        "NO_FAKE_STAT": "1",
    }
    async with open_stage(setup) as stage:
        yield stage, wall


async def test_an_hour_forward_ends_grants_early_and_signs_nobody_in(walled: tuple[Stage, Wall]) -> None:
    """GitLab's word that somebody signed in is too old by that clock; SSH and programs need no clock."""
    stage, wall = walled
    async with stage.person("ada") as ada:
        asked = stage.gitlab.calls.total()
        wall.set(HOUR)
        challenged = await ada.navigate(stage.url())
        assert challenged.status == 303  # the grant has ended
        page = await ada.visit(stage.url(), "ada")
        assert page.status == 400, page
        assert await stage.program(stage.token(stage.ada)) == 200
        ssh = await stage.ssh(stage.token(stage.ada))
        assert (await ssh.run("echo here", check=True)).stdout == "here\n"
        ssh.close()
        await assert_nobody_gets_in(stage)
        assert stage.gitlab.calls.total() > asked
        wall.set(0)
        assert (await ada.visit(stage.url(), "ada")).status == 200


async def test_an_hour_back_lengthens_nothing(walled: tuple[Stage, Wall]) -> None:
    """A grant from the future is void: GitLab is asked again, and whoever it blocked meanwhile is out."""
    stage, wall = walled
    async with stage.person("ada") as ada:
        assert (await ada.navigate(stage.url())).status == 200
        wall.set(-HOUR)
        assert (await ada.navigate(stage.url())).status == 303
        assert (await ada.visit(stage.url(), "ada")).status == 200
        stage.state.block(stage.ada)
        wall.set(-2 * HOUR)
        assert (await ada.visit(stage.url(), "ada")).status != 200
        await assert_nobody_gets_in(stage)


async def test_what_is_open_when_the_clock_is_set_stays_open_only_as_long_as_gitlab_says(
    walled: tuple[Stage, Wall],
) -> None:
    """A WebSocket outlives the step, and ends within the next round once GitLab has blocked its visitor."""
    stage, wall = walled
    async with stage.person("ada") as ada, ada.open_socket(stage.url(path="/ws")) as socket:
        for step in (HOUR, 0):
            wall.set(step)
            await socket.send_str("still here?")
            assert (await socket.receive(timeout=20)).data == "still here?"
        stage.state.block(stage.ada)
        wall.set(HOUR)

        async def is_closed() -> bool:
            return socket.closed or (await socket.receive(timeout=20)).data != "still here?"

        await wait_for(is_closed, "the end of the WebSocket")
