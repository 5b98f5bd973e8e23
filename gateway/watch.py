"""Notices that a file an operator wrote has changed: routes, certificates, host keys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

POLL_SECONDS = 0.5  # one stat call a file; a change is seen well within the second that people are promised

_Stamp = tuple[int, int, int] | None


class FileWatch:
    """Compares files with what they were when they were last read."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._marked: tuple[_Stamp, ...] = ()

    def mark(self) -> None:
        """Call it right before reading the files, so that no change falls between."""
        self._marked = self._look()

    async def changes(self) -> AsyncIterator[None]:
        """Yields whenever the files are not what was last marked. Never ends."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._look() != self._marked:
                yield

    def _look(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> _Stamp:
    # The inode too: Kubernetes replaces the files of a ConfigMap or Secret by switching a symbolic link.
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
