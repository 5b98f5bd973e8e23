"""Lines on their way to real pipes and files, which may be full, slow, shared or gone."""

import asyncio
import fcntl
import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.telemetry.lines import FAILED, FULL, LINE_MAX, LineWriter

DROPPED = "log.lines_dropped"


@contextmanager
def pipe(capacity: int = LINE_MAX) -> Iterator[tuple[int, int]]:
    """A real pipe, its end to read from and its end to write to, that holds so many bytes."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
    try:
        yield reader, writer
    finally:
        for end in (reader, writer):
            with suppress(OSError):  # a test may have closed it
                os.close(end)


class Drain:
    """Reads a pipe to its end in a thread."""

    def __init__(self, reader: int) -> None:
        self._text = bytearray()
        self._thread = threading.Thread(target=self._read, args=(reader,))
        self._thread.start()

    def _read(self, reader: int) -> None:
        while data := os.read(reader, 65536):
            self._text += data

    def lines(self) -> list[str]:
        """All lines there were, once nobody has the other end any more."""
        self._thread.join()
        assert self._text.endswith(b"\n") or not self._text
        return self._text.decode().splitlines()


def fill(writer: int) -> None:
    """Leave no room in a pipe that nobody reads, as somebody else who has it may."""
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * LINE_MAX)
    os.set_blocking(writer, True)


def test_every_line_arrives_in_order() -> None:
    """Whatever is queued at the end is written before the end."""
    sent = [f"{number} {'x' * (number % 500)}" for number in range(5000)]
    with pipe(1 << 16) as (reader, writer):
        drain = Drain(reader)
        with LineWriter(writer) as lines:
            for line in sent:
                lines.write(f"{line}\n")
        os.close(writer)

        assert drain.lines() == sent
        assert lines.dropped == {FULL: 0, FAILED: 0}


@pytest.mark.parametrize("odd", ["no end", "\ud800 and \u3042\n", "x" * 3 * LINE_MAX + "\n", ""])
def test_what_is_no_line_ends_nothing(odd: str) -> None:
    """It is written as well as it can be, and those that follow are there."""
    with pipe(1 << 16) as (reader, writer):
        drain = Drain(reader)
        with LineWriter(writer) as lines:
            for line in ("one\n", odd, "two\n"):
                lines.write(line)
        os.close(writer)
        told = drain.lines()

    assert told[0] == "one"
    assert told[-1].endswith("two")
    assert lines._queued == 0


def test_a_reader_that_does_not_read_holds_nobody_up_and_hears_what_it_missed() -> None:
    """Nobody waits; what had no room is counted, and said as soon as somebody reads."""
    with pipe() as (reader, writer):
        fill(writer)
        with LineWriter(writer, capacity=10_000) as lines:
            for number in range(1000):  # nothing here returns before it has read: a wait would be for ever
                lines.write(f"{number:099d}\n")
            assert lines.dropped == {FULL: 900, FAILED: 0}
            assert os.read(reader, LINE_MAX) == b"x" * LINE_MAX
            drain = Drain(reader)
        os.close(writer)
        told = drain.lines()

    assert [int(line) for line in told if line.isdigit()] == list(range(100))
    (missed,) = [json.loads(line) for line in told if DROPPED in line]
    assert (missed["event"], missed["level"], missed["lines"]) == (DROPPED, "warning", 900)


def test_what_is_missed_is_said_once() -> None:
    """And what is missed later once more, by itself."""
    with pipe() as (reader, writer):
        fill(writer)
        with LineWriter(writer, capacity=100) as lines:
            for line in ("one\n", "x" * 200 + "\n", "y" * 300 + "\n"):
                lines.write(line)
            os.read(reader, LINE_MAX)
            first = _read_until(reader, b'"lines": 2}\n')
            lines.write("z" * 200 + "\n")
            lines.write("two\n")
            second = _read_until(reader, b'"lines": 1}\n')

    assert first.count(DROPPED.encode()) == second.count(DROPPED.encode()) == 1
    assert b"one\n" in first
    assert b"two\n" in second


def _read_until(reader: int, *marks: bytes) -> bytes:
    read = b""
    while not all(mark in read for mark in marks):
        read += os.read(reader, LINE_MAX)
    return read


def test_the_end_waits_for_no_reader() -> None:
    """Two seconds are enough for whoever reads at all."""
    with pipe() as (_reader, writer):
        fill(writer)
        started = time.monotonic()
        with LineWriter(writer) as lines:
            lines.write("never read\n")
        assert time.monotonic() - started >= 2
        # The thread still waits for room; it must not meet a descriptor that is somebody else's by then.
        drain = Drain(_reader)
        lines._thread.join()
        os.close(writer)
        assert drain.lines()[-1].endswith("never read")


def test_a_reader_that_left_harms_nobody() -> None:
    """EPIPE: lines are lost and counted."""
    with pipe() as (reader, writer):
        os.close(reader)
        with LineWriter(writer) as lines:
            lines.write("one\n")
            lines.write("two\n")

        assert lines.dropped == {FULL: 0, FAILED: 2}


def test_a_device_that_is_full_harms_nobody() -> None:
    """ENOSPC: lines are lost and counted."""
    device = os.open("/dev/full", os.O_WRONLY)
    with LineWriter(device) as lines:
        lines.write("one\n")
    os.close(device)

    assert lines.dropped == {FULL: 0, FAILED: 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    mounted = subprocess.run(  # noqa: S603 - our own arguments
        ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield tmp_path
    finally:
        subprocess.run(["/bin/umount", str(tmp_path)], check=True)  # noqa: S603 - our own arguments


def test_a_disk_that_was_full_gets_whole_lines_again(small_disk: Path) -> None:
    """The line that was cut off ends where it was cut, and how many are missing stands in the log."""
    ballast, log = small_disk / "ballast", small_disk / "log"
    ballast.write_bytes(b"x" * 50_000)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with LineWriter(file) as lines:
        for number in range(100):
            lines.write(f"{number:0999d}\n")
        _wait_until(lambda: lines.dropped[FAILED] > 0 and lines._queued == 0)
        ballast.unlink()
        lines.write("room again\n")
    os.close(file)

    told = log.read_text().splitlines()
    whole = [line for line in told if line.isdigit() and len(line) == 999]
    (missed,) = [json.loads(line) for line in told if DROPPED in line]
    assert told[-2] == "room again"
    assert DROPPED in told[-1]
    assert missed["lines"] == lines.dropped[FAILED]
    assert 0 < 100 - len(whole) <= missed["lines"]  # of a write that was cut off all count, though some are there


def _wait_until(is_true: object) -> None:
    assert callable(is_true)
    while not is_true():
        time.sleep(0.01)  # in the hands of a thread that tells nobody; pytest ends a wait that has no end


def test_a_descriptor_that_others_made_non_blocking_is_waited_for() -> None:
    """The flag belongs to everybody who shares the pipe, so it is neither set nor cleared."""
    with pipe() as (reader, writer):
        fill(writer)
        os.set_blocking(writer, False)
        with LineWriter(writer) as lines:
            lines.write("patience\n")
            drain = Drain(reader)
        assert not os.get_blocking(writer)
        os.close(writer)

        assert drain.lines()[-1].endswith("patience")
        assert lines.dropped == {FULL: 0, FAILED: 0}


def test_the_flags_of_a_shared_pipe_stay_as_they_are() -> None:
    """O_NONBLOCK would reach the shell and the other workers."""
    with pipe() as (_reader, writer), LineWriter(writer) as lines:
        lines.write("one\n")

        assert os.get_blocking(writer)


WRITER = textwrap.dedent(
    """
    import sys
    from gateway.telemetry.lines import LINE_MAX, LineWriter

    name, count = sys.argv[1], int(sys.argv[2])
    with LineWriter(1) as lines:
        for number in range(count):
            length = LINE_MAX - 1 if number % 50 == 0 else 50 + number * 7 % 900
            lines.write(f"{name} {number} ".ljust(length, name) + chr(10))
    """
)


@pytest.mark.parametrize("place", ["pipe", "file"])
def test_lines_of_four_workers_do_not_mix(place: str, tmp_path: Path) -> None:
    """Each process has its own writer and all have one standard output."""
    count = 2000
    with pipe(1 << 16) as (reader, writer):
        drain = Drain(reader)
        output = writer if place == "pipe" else os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        workers = [
            subprocess.Popen([sys.executable, "-c", WRITER, name, str(count)], stdout=output)  # noqa: S603 - our own
            for name in "abcd"
        ]
        assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
        os.close(writer)
        told = drain.lines() if place == "pipe" else (tmp_path / "log").read_text().splitlines()

    assert len(told) == 4 * count
    for name in "abcd":
        own = [line for line in told if line.startswith(name)]
        assert [int(line.split()[1]) for line in own] == list(range(count))
        assert not [line for line in own if set(line.split(" ", 2)[2]) > {name}]


async def test_lines_of_many_threads_are_all_there() -> None:
    """Whoever logs from a thread of their own may."""
    with pipe(1 << 16) as (reader, writer):
        drain = Drain(reader)
        with LineWriter(writer) as lines:

            def write(name: str) -> None:
                for number in range(1000):
                    lines.write(f"{name} {number}\n")

            await asyncio.gather(*(asyncio.to_thread(write, name) for name in "abcd"))
        os.close(writer)

        assert sorted(drain.lines()) == sorted(f"{name} {number}" for name in "abcd" for number in range(1000))


def test_what_a_garbage_collection_says_is_a_line_too() -> None:
    """It may come while a line is being added, in the same thread."""

    class Dying:
        def __init__(self, lines: LineWriter) -> None:
            self.lines, self.me = lines, self

        def __del__(self) -> None:
            self.lines.write("last words\n")

    with pipe(1 << 16) as (reader, writer):
        drain = Drain(reader)
        with LineWriter(writer) as lines, lines._lock:
            Dying(lines)
            gc.collect()
        os.close(writer)

        assert drain.lines() == ["last words"]
