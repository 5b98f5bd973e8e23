"""What is generated is checked at every position."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.content import BLOCK, Checker, Corrupt, content

SIZES = st.integers(0, 3 * BLOCK)


@given(SIZES, st.lists(st.integers(0, 3 * BLOCK), max_size=5))
def test_content_passes_in_whatever_pieces(size: int, cuts: list[int]) -> None:
    """Cut anywhere, empty pieces included."""
    data, checker = content("a", size), Checker("a")
    places = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, end in pairwise(places):
        checker.feed(data[start:end])

    checker.end(size)


@given(st.integers(0, 2 * BLOCK))
def test_a_changed_byte_is_found_where_it_is(position: int) -> None:
    """Whichever it is."""
    data = bytearray(content("a", 2 * BLOCK + 1))
    data[position] ^= 1

    with pytest.raises(Corrupt, match=f"byte {position} is wrong"):
        Checker("a").feed(bytes(data))


@pytest.mark.parametrize("lost", [1, 100, BLOCK], ids=["a byte", "some", "a whole block"])
def test_lost_and_repeated_bytes_are_found(lost: int) -> None:
    """Also where as many are lost as one block has."""
    data = content("a", 4 * BLOCK)
    with pytest.raises(Corrupt):
        Checker("a").feed(data[:BLOCK] + data[BLOCK + lost :])
    with pytest.raises(Corrupt):
        Checker("a").feed(data[:BLOCK] + data[BLOCK - lost :])


def test_another_streams_bytes_are_found() -> None:
    """At the first."""
    with pytest.raises(Corrupt, match="byte 0 "):
        Checker("a").feed(content("b", 10))


@pytest.mark.parametrize("size", [9, 11])
def test_an_end_too_early_or_too_late_is_found(size: int) -> None:
    """Though each byte is right."""
    checker = Checker("a")
    checker.feed(content("a", size))
    with pytest.raises(Corrupt, match=f"{size} bytes instead of 10"):
        checker.end(10)
