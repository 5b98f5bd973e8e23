"""Log lines."""

import asyncio
import contextlib
import io
import json
from pathlib import Path

import pytest

from gateway.log import open_log


class Writes(io.StringIO):
    """A stream that remembers what was written to it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def test_an_event_is_one_json_line() -> None:
    """With its level and its time."""
    stream = io.StringIO()
    open_log("info", stream).info("some.event", path='a"\n\x1b', count=3)

    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["path"], told["count"], told["level"]) == ("some.event", 'a"\n\x1b', 3, "info")
    assert told["timestamp"].endswith("Z")


@pytest.mark.parametrize(("level", "written"), [("debug", 2), ("info", 2), ("warn", 0), ("error", 0)])
async def test_what_is_below_the_level_is_not_written(level: str, written: int) -> None:
    """Nor are the lines of requests, which are of the level info."""
    stream = io.StringIO()
    log = open_log(level, stream).bind()
    log.info("some.event")
    log.batch_line('{"event": "other"}')
    await asyncio.sleep(0)

    assert len(stream.getvalue().splitlines()) == written


@pytest.mark.parametrize("bound_first", [True, False])
async def test_the_level_changes_for_every_logger(bound_first: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Also for those that were bound before, and both ways."""
    stream = io.StringIO()
    root = open_log("warn", stream)
    early = root.bind(client="127.0.0.1")
    root.set_level("debug")
    log = early if bound_first else root.bind()
    log.debug("one")
    log.batch_line('{"event": "two"}')
    log.set_level("error")
    for write in (log.debug, log.info, log.warning, root.warning):
        write("none")
    log.batch_line('{"event": "none"}')
    log.error("three")
    await asyncio.sleep(0)

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["one", "two", "three"]


def test_a_level_belongs_to_one_log() -> None:
    """Another one keeps its own."""
    stream = io.StringIO()
    log = open_log("info", stream)
    open_log("info", io.StringIO()).set_level("error")
    log.info("some.event")

    assert stream.getvalue()


async def test_lines_of_one_turn_are_written_together_and_in_order() -> None:
    """A rare line takes those that wait along."""
    stream = Writes()
    log = open_log("info", stream).bind()
    log.batch_line("1")
    log.batch_line("2")
    log.info("three")
    log.batch_line("4")
    await asyncio.sleep(0)

    assert [text.count("\n") for text in stream.writes] == [3, 1]
    assert stream.writes[0].startswith("1\n2\n")
    assert stream.writes[1] == "4\n"


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    """The lines are lost, and what they told of goes on."""
    with Path("/dev/full").open("w", buffering=1) as full:
        open_log("info", full).info("some.event")
        with contextlib.suppress(OSError):
            full.close()
