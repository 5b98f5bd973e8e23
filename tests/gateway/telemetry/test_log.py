"""The lines of the log."""

import io
import json
import logging
from pathlib import Path

import pytest

from gateway.telemetry.library_log import libraries_told
from gateway.telemetry.lines import LINE_MAX
from gateway.telemetry.log import log_to, open_log


def test_an_event_is_one_json_line() -> None:
    """With its level and its time."""
    stream = io.StringIO()
    open_log("info", stream).info("some.event", path='a"\n\x1b', count=3)

    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["path"], told["count"], told["level"]) == ("some.event", 'a"\n\x1b', 3, "info")
    assert told["timestamp"].endswith("Z")


@pytest.mark.parametrize(("level", "written"), [("debug", 2), ("info", 2), ("warn", 0), ("error", 0)])
def test_what_is_below_the_level_is_not_written(level: str, written: int) -> None:
    """Nor are the lines of requests, which are of the level info."""
    stream = io.StringIO()
    log = open_log(level, stream).bind()
    log.info("some.event")
    log.info_line('{"event": "other"}\n')

    assert len(stream.getvalue().splitlines()) == written


@pytest.mark.parametrize("bound_first", [True, False])
def test_the_level_changes_for_every_logger(bound_first: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Also for those that were bound before, and both ways."""
    stream = io.StringIO()
    root = open_log("warn", stream)
    early = root.bind(client="127.0.0.1")
    root.set_level("debug")
    log = early if bound_first else root.bind()
    log.debug("one")
    log.info_line('{"event": "two"}\n')
    log.set_level("error")
    for write in (log.debug, log.info, log.warning, root.warning):
        write("none")
    log.info_line('{"event": "none"}\n')
    log.error("three")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["one", "two", "three"]


def test_a_level_belongs_to_one_log() -> None:
    """Another one keeps its own."""
    stream = io.StringIO()
    log = open_log("info", stream)
    open_log("info", io.StringIO()).set_level("error")
    log.info("some.event")

    assert stream.getvalue()


@pytest.mark.parametrize("text", ["x" * 100_000, "\x1b" * 5000, "…" * 5000])
def test_a_long_line_loses_the_middle_of_its_longest_text(text: str) -> None:
    """One write takes it whole, so that lines of several workers do not mix; it stays JSON."""
    stream = io.StringIO()
    open_log("info", stream).info("some.event", path=f"begin{text}end", client="127.0.0.1")

    line = stream.getvalue()
    told = json.loads(line)
    assert 1000 < len(line) <= LINE_MAX
    assert told["path"].startswith("begin")
    assert told["path"].endswith("end")
    assert told["client"] == "127.0.0.1"


def test_a_crash_is_told_without_its_text() -> None:
    """Which may hold whatever was at hand."""
    stream = io.StringIO()
    log = open_log("info", stream)
    nothing: dict[str, str] = {}
    try:
        nothing["glpat-secret"]
    except KeyError:
        log.exception("some.crash")

    assert "glpat-secret" not in stream.getvalue()
    assert json.loads(stream.getvalue())["crash"].startswith("KeyError in test_a_crash_is_told_without_its_text (")


def test_a_line_of_the_log_reaches_a_real_stream(tmp_path: Path) -> None:
    """By a thread, before the block ends."""
    with (tmp_path / "log").open("w") as stream, log_to(stream, "info") as log:
        log.info("some.event")
        assert log.dropped == {"full": 0, "failed": 0}

    assert json.loads((tmp_path / "log").read_text())["event"] == "some.event"


def test_what_libraries_warn_of_is_an_event() -> None:
    """What they say, and the place of the crash; nothing that they fill in."""
    stream = io.StringIO()
    with libraries_told(open_log("debug", stream)):
        logger = logging.getLogger("some.library")
        try:
            int("glpat-secret")
        except ValueError:
            logger.exception("Error handling %s\nfuture: <Task exception=ValueError('glpat-secret')>", "glpat-secret")
        logger.warning("odd: %s", "glpat-secret")
        logging.getLogger("asyncssh").info("glpat-secret")
        logging.getLogger("asyncio").debug("glpat-secret")

    failed, warned = map(json.loads, stream.getvalue().splitlines())
    assert (failed["event"], failed["level"], failed["error"]) == ("library.failed", "error", "Error handling %s")
    assert failed["crash"].startswith("ValueError in test_what_libraries")
    assert (warned["event"], warned["library"], warned["error"]) == ("library.warned", "some.library", "odd: %s")
    assert "glpat-secret" not in stream.getvalue()


def test_libraries_are_left_alone_afterwards() -> None:
    """A log that ended is told nothing more."""
    stream = io.StringIO()
    with libraries_told(open_log("debug", stream)):
        pass
    logging.getLogger("some.library").warning("odd")

    assert not stream.getvalue()
