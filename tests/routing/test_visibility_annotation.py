"""The annotation that says how open each port is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.visibility_annotation import ANNOTATION, NotUnderstood, read_declared, write_declared


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("", ()),
        ("{}", ()),
        ('{"3000": "public", "80": "internal"}', ((80, "internal"), (3000, "public"))),
        ('{"3000": "anything"}', ((3000, "anything"),)),
        ('{"3000": true, "0": "public", "65536": "public", "x": "public", "-1": "public", "\\u0663": "public"}', ()),
        ('{"3000": "private", "3000": "public"}', ((3000, "public"),)),
        ('{"3000": "private", "03000": "public"}', ((3000, "private"),)),
        (f'{{"0000012345678": "public", "00000{"0" * 5000}1": "public"}}', ()),
        (f'{{"000001{"0" * 5000}": "public", "1{"0" * 5000}": "public"}}', ()),
    ],
)
def test_each_entry_counts_by_itself(text: str, declared: tuple[tuple[int, str], ...]) -> None:
    """What a level means is said elsewhere; what is no port or no text says nothing."""
    assert read_declared({ANNOTATION: text}) == declared


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", '{"3000":"public"}'),
        ("rubbish", '{"3000":"public"}'),
        ('{"8080": "internal", "3000": "private", "x": 7}', '{"3000":"public","8080":"internal"}'),
    ],
)
def test_one_port_is_changed_and_the_others_stay(text: str, after: str) -> None:
    """Whatever nobody understands goes."""
    assert write_declared({ANNOTATION: text}, 3000, "public") == after


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """It was written by a stranger."""
    try:
        declared = read_declared({ANNOTATION: text})
    except NotUnderstood:
        return
    assert all(1 <= port <= 65535 for port, _ in declared)
