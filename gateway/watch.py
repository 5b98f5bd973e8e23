"""Notices that a file an operator wrote has changed: settings, routes, certificates, host keys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

POLL_SECONDS = 0.5  # one stat call a file; a change is seen well within the second that people are promised

_Stamp = tuple[object, ...] | None


class FileWatch:
    """Compares files, and the files of folders, with what they were when they were last read."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._marked: tuple[_Stamp, ...] = ()

    def move_to(self, other: "FileWatch") -> None:
        """Watch what the other one does instead, from its last mark on."""
        self._paths, self._marked = other._paths, other._marked  # noqa: SLF001 - of the same class

    def mark(self) -> None:
        """Call it right before reading the files, so that no change falls between."""
        self._marked = self._look()

    async def changes(self) -> AsyncIterator[None]:
        """Yields whenever the files are not what was last marked. Never ends."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._look() != self._marked:
                yield

    async def wait_settled(self) -> None:
        """Until nothing has changed for a moment: who writes a file may empty it first, or write several."""
        seen = None
        while seen != (seen := self._look()):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> _Stamp:
    # The inode too: Kubernetes replaces the files of a ConfigMap or Secret by switching a symbolic link.
    try:
        stat = path.stat()
        files = sorted(path.iterdir()) if path.is_dir() else ()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino, *((file.name, _stamp(file)) for file in files))
