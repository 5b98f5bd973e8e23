"""Where log lines go: nobody waits for it, and what it had no room for is counted and said.

Lines queue up for a thread that writes them. A thread, because a write to a file waits for the disk whatever flags it
has, and because O_NONBLOCK would be set on the open file description, which everybody shares who has that terminal or
pipe: the shell, our workers, whoever started us. The thread writes at most a hundred times a second, as each time it
takes the interpreter from those who serve; under load that is fewer writes than one for each turn of the event loop.

A write is of whole lines and at most PIPE_BUF bytes, which a pipe takes in one piece (pipe(7)): the lines of several
workers do not mix. Files and sockets take as much in one piece, too.
"""

import json
import os
import select
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

LINE_MAX = select.PIPE_BUF
"""Bytes of a line with its end; a longer one is written all the same, but another worker's may come in between."""

_QUEUE_MAX = 8 * 1024 * 1024  # bytes: what a second of full load says, or a day of a quiet gateway
_PAUSE = 0.01  # s between two writes: nobody reads a log faster, and each write costs a switch of threads
_SILENCE = 2.0  # s at the end in which a reader takes nothing; whoever reads at all takes something
_LAST_WORDS = 10.0  # s for all that is queued at the end, however slowly it is read
_RETRY = 100  # ms before a descriptor that others have made non-blocking is tried again, at the latest

FULL = "full"
"""Dropped because the queue was full: what reads the log is too slow, or does not read."""
FAILED = "failed"
"""Dropped because writing failed: the disk is full, or the reader is gone."""


class LineWriter:
    """Writes lines to a descriptor while the block runs. Any thread may add lines."""

    def __init__(self, descriptor: int, capacity: int = _QUEUE_MAX) -> None:
        """The descriptor belongs to the caller; `capacity` is in bytes."""
        self._descriptor = descriptor
        self._capacity = capacity
        # Reentrant: a garbage collection at the wrong moment may log something about what it finds.
        self._lock = threading.RLock()
        self._queue: list[str] = []
        self._queued = 0
        self._dropped: Counter[str] = Counter()
        self._said = 0
        self._is_line_open = False
        self._bell = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)  # an end of ours waits for no reader

    def __repr__(self) -> str:
        return f"LineWriter(queued={self._queued} bytes, dropped={self._dropped.total()})"

    @property
    def dropped(self) -> dict[str, int]:
        """How many lines were lost so far, by why."""
        with self._lock:
            return {FULL: self._dropped[FULL], FAILED: self._dropped[FAILED]}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Write what is queued, for as long as somebody takes it, and ten seconds at most."""
        self._ending.set()
        self._bell.set()
        deadline, left = time.monotonic() + _LAST_WORDS, -1
        while self._thread.is_alive() and left != self._queued and time.monotonic() < deadline:
            left = self._queued
            self._thread.join(_SILENCE)

    def write(self, line: str) -> None:
        """Have a line of ASCII written, which ends with a newline. Never waits."""
        with self._lock:
            if self._queued + len(line) > self._capacity:
                self._dropped[FULL] += 1
                return
            was_empty = not self._queue
            self._queue.append(line)
            self._queued += len(line)
        if was_empty:
            self._bell.set()

    # In the thread

    def _run(self) -> None:
        while not self._ending.is_set():
            self._bell.wait()
            self._bell.clear()
            self._ending.wait(_PAUSE)
            self._write_queue()
        self._write_queue()

    def _write_queue(self) -> None:
        with self._lock:
            lines, self._queue = self._queue, []
        data = "".join(lines).encode("ascii", "replace")  # nothing may end the thread: not even what is no line
        begin = 0
        while begin < len(data):
            end = data.rfind(b"\n", begin, begin + LINE_MAX) + 1 or data.find(b"\n", begin) + 1 or len(data)
            is_written = self._write_whole(data[begin:end])
            with self._lock:
                if not is_written:
                    self._dropped[FAILED] += data.count(b"\n", begin, end)
                self._queued -= end - begin  # only now: what a reader does not take still takes up memory
            begin = end
            self._confess()  # behind what was in the queue when there was no more room

    def _confess(self) -> None:
        """Say how many lines are missing, as soon as anything can be said."""
        with self._lock:
            missing = self._dropped.total() - self._said
        if missing:
            told = {
                "event": "log.lines_dropped",
                "level": "warning",
                "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "lines": missing,
            }
            if self._write_whole(f"{json.dumps(told)}\n".encode()):
                self._said += missing

    def _write_whole(self, data: bytes) -> bool:
        """Whether all of it was written."""
        rest = memoryview(b"\n" + data if self._is_line_open else data)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:
                self._wait_writable()
            except OSError:
                return False  # a full disk or a reader that left must not end what is logged about
            else:
                rest = rest[written:]
                self._is_line_open = len(rest) > 0
        return True

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(_RETRY)
