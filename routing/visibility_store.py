"""Where a port's declared visibility is kept: with the routes themselves, and nowhere else.

The route file is one such place, a Service (`routing.service_visibility`) the other. What is written there comes back
the way every route comes.
"""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import yaml

from routing.model import Workspace


class VisibilityNotStored(Exception):
    """The source of the routes did not take the change; nothing was changed."""


class VisibilityNotAllowed(VisibilityNotStored):
    """The gateway itself lacks the right to write there, and an operator has to give it."""


class VisibilityStore(Protocol):
    """Takes what an owner declares about a port."""

    async def declare(self, workspace: Workspace, port: int, level: str) -> None:
        """Keep the level for this port (as people know it, the target port).

        Raises:
            VisibilityNotStored: if it could not be kept.
        """


class RouteFileVisibility(VisibilityStore):
    """Writes the level into the route file, as a whole new file or not at all; comments are lost."""

    def __init__(self, path: Path, written: Callable[[], None]) -> None:
        """`written` is called after each change, so that nobody need wait for the next look at the file."""
        self._path = path
        self._written = written

    async def declare(self, workspace: Workspace, port: int, level: str) -> None:
        try:
            await asyncio.to_thread(self._write, workspace, port, level)
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as exc:  # whatever the file has become
            raise VisibilityNotStored(f"{self._path}: {exc}") from exc
        self._written()

    def _write(self, workspace: Workspace, port: int, level: str) -> None:
        path = self._path.resolve()  # a link stays one
        with _locked(path.parent):
            told = yaml.safe_load(path.read_text(encoding="utf-8"))
            _find_port(told, workspace, port)["visibility"] = level
            _replace(path, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, of whatever process; the file itself is replaced, so its folder is locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _find_port(told: dict[str, Any], workspace: Workspace, port: int) -> dict[str, Any]:
    for entry in told["workspaces"]:
        if (entry["name"], entry.get("namespace", "default"), str(entry["id"])) == _key(workspace):
            for item in entry["ports"]:
                if item["target_port"] == port:
                    found: dict[str, Any] = item
                    return found
    raise ValueError(f"no port {port} of {workspace.name}")


def _key(workspace: Workspace) -> tuple[str, str, str]:
    return (workspace.name, workspace.namespace, workspace.id)


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).chmod(mode)
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
