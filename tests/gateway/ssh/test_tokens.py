"""What can be a token is one word, whatever was pasted around it."""

import pytest
from asyncssh.packet import Boolean, SSHPacket, String

from gateway.ssh.tokens import parse_token, with_clean_password


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("glpat-abc_DEF.123", "glpat-abc_DEF.123"),
        (" glpat-a\r\n", "glpat-a"),
        ("", None),
        (" \t\n", None),
        ("glpat a", None),
        ("glpat-a\nX-Header: b", None),
        ("glpat-\x00", None),
        ("glpat-\x7f", None),
        ("glpat-\xe9", None),
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, None),
    ],
)
def test_a_token_is_one_word_of_printable_ascii(text: str, token: str | None) -> None:
    parsed = parse_token(text)

    assert (parsed.get_secret_value() if parsed else None) == token


@pytest.mark.parametrize(
    ("password", "cleaned"),
    [
        (b"glpat-a\n", b"glpat-a"),
        (b" glpat-a \r\n", b"glpat-a"),
        (b"glpat a", b""),
        (b"\xff\xfe", b""),
        (b"glpat-\xc3\xa9", b""),
        (b"", b""),
    ],
)
def test_a_password_request_keeps_its_form_and_loses_what_breaks_it(password: bytes, cleaned: bytes) -> None:
    rest = with_clean_password(SSHPacket(Boolean(True) + String(password) + String("new")))  # noqa: FBT003 - the encoder takes it so

    assert rest.get_full_payload() == Boolean(True) + String(cleaned) + String("new")  # noqa: FBT003 - the encoder takes it so
