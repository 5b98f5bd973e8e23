"""The stream of log lines: rare ones are written at once, those of requests together.

Lines of one turn of the event loop go out in one write. Under load a turn sees many requests, so a write for each of
them is saved; without load nothing waits.
"""

import asyncio
from typing import TextIO


class LineWriter:
    """Where structlog writes its rendered lines, and the access log its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._batch: list[str] = []
        self.lost = 0
        """Lines that could not be written."""

    def msg(self, line: str) -> None:
        """Write a line, after those that wait."""
        self._batch.append(line)
        self._flush()

    debug = info = warning = error = critical = exception = log = msg

    def batch(self, line: str) -> None:
        """Write a line with the others of this turn of the event loop."""
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._flush)
        self._batch.append(line)

    def _flush(self) -> None:
        if self._batch:
            lines, self._batch = self._batch, []
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except OSError:
                self.lost += len(lines)  # a full disk or a reader that left must not end what is logged about
