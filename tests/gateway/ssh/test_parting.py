"""What a peer says at the end is shown to a person without doing anything to their terminal."""

import pytest

from gateway.ssh.limits import PARTING_TEXT
from gateway.ssh.parting import make_printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("disconnected by user", "disconnected by user"),
        ("Grüße 你好", "Grüße 你好"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("two\r\nlines", "two  lines"),
        ("\x9b2J\x07\x00", "2J"),
        ("right\u202eleft", "right left"),
        ("\u2028", ""),
        ("", ""),
        ("x" * 9999, "x" * PARTING_TEXT),
    ],
)
def test_only_what_prints_is_left(text: str, shown: str) -> None:
    assert make_printable(text) == shown
