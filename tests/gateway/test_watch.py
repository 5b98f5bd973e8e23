"""Noticing changed files."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.watch import FileWatch


def replace(path: Path) -> None:
    """As Kubernetes and careful editors do: another file takes the name."""
    other = path.with_suffix(".new")
    other.write_text("same size")
    other.rename(path)


def rewrite(path: Path) -> None:
    """In place."""
    path.write_text("another size")


@pytest.mark.parametrize("change", [replace, rewrite, Path.unlink], ids=["replaced", "rewritten", "removed"])
async def test_a_change_after_the_mark_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Within seconds, whatever kind of change it is."""
    path = tmp_path / "file"
    path.write_text("same size")
    watch = FileWatch(tmp_path / "unchanged", path)
    watch.mark()
    change(path)

    async with asyncio.timeout(10):
        await anext(aiter(watch.changes()))
