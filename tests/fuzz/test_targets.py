"""Nothing that a stranger writes breaks what must hold of it: the inputs that once did, and some of a day's invention.

`make fuzz` searches longer, and by what the inputs reach. What it finds is kept in `corpus`, where these tests read it.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import catalogue
from tests.fuzz.catalogue import TARGETS
from tests.fuzz.pieces import Pieces

CORPUS = Path(__file__).parent / "corpus"
KEPT = sorted(CORPUS.glob("*/*"))
LONGEST_KEPT = 8192  # bytes: an input that is kept is one that a person can read
WORDS = re.compile(rb"\w+|\W")


@cache
def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Any bytes; or what is kept, with parts of it taken out, repeated, moved, or from elsewhere."""
    kept = [path.read_bytes() for path in (CORPUS / target).iterdir()]
    words = sorted({word for data in kept for word in WORDS.findall(data)})
    piece = st.one_of(st.sampled_from(words), st.binary(max_size=8))
    cuts = st.tuples(st.sampled_from(kept), st.integers(0, 400), st.integers(0, 40), st.lists(piece, max_size=4))
    changed = cuts.map(lambda cut: cut[0][: cut[1]] + b"".join(cut[3]) + cut[0][cut[1] + cut[2] :])
    return st.one_of(changed, st.lists(piece, max_size=30).map(b"".join), st.binary(max_size=200))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_that_is_kept_breaks_nothing(path: Path) -> None:
    """Many of them did once."""
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_other_input_does(target: str, data: st.DataObject) -> None:
    """Nearly like one that is kept, or like none."""
    TARGETS[target](data.draw(inputs(target)))


def test_every_target_says_what_must_hold_and_has_inputs() -> None:
    """Its properties are sentences, its inputs short."""
    for target in TARGETS:
        module = getattr(catalogue, target)
        assert len(re.findall(r"^- .*?\.$", module.__doc__, re.MULTILINE | re.DOTALL)) >= 1, target
        assert any(path.parent.name == target for path in KEPT), target
    assert {path.parent.name for path in KEPT} == set(TARGETS)
    assert all(path.stat().st_size <= LONGEST_KEPT for path in KEPT)


def test_pieces_are_taken_in_order_and_end_empty() -> None:
    """A number, a string, and what is left."""
    pieces = Pieces(b"\x07\x02abrest")

    assert (pieces.number(5), pieces.string(), pieces.has_more) == (2, b"ab", True)
    assert (pieces.rest(), pieces.has_more) == (b"rest", False)
    assert (pieces.rest(), pieces.number(9), pieces.string()) == (b"", 0, b"")
