"""Long work in steps, after each of which others get the event loop. Pure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

STEP = 50  # Services read, or claims written: a few milliseconds

_T = TypeVar("_T")


def portions(items: Iterable[_T]) -> Iterator[list[_T]]:
    """The items, at most `STEP` at a time."""
    rest = iter(items)
    while portion := list(islice(rest, STEP)):
        yield portion
