"""Packages that only some settings need: what is said where one is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager


class ExtraMissing(Exception):
    """A package that the settings ask for is not installed."""


@contextmanager
def needs_extra(extra: str, setting: str) -> Iterator[None]:
    """Around the import of what an extra of ours brings.

    Raises:
        ExtraMissing: if it is not there; says which setting needs it, and how it is installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ExtraMissing(
            f"{setting} needs the package {exc.name}: pip install '.[{extra}]' in the folder of its source"
        ) from exc
