"""Sealed values as they come back: cookies, targets, codes, and records in Redis (`auth.seal`).

The first byte of an input chooses what is done to a sealed value, the rest says how.

- A text that was not sealed opens to nothing, and nothing is raised.
- A sealed text that was changed anywhere, cut, joined with another or used for another purpose opens to nothing.
- A sealed payload that is no record of the kind asked for is none, whatever JSON it is; one that is has its types.
"""

from base64 import urlsafe_b64encode
from dataclasses import fields

from pydantic import SecretStr

from auth.model import Grant
from auth.seal import Sealer
from tests.fuzz.pieces import Pieces

SEALER = Sealer([SecretStr("the-first-signing-key-of-two"), SecretStr("the-second-signing-key-of-two")])
STRANGER = Sealer([SecretStr("the-signing-key-of-another-gateway")])
SEALED = tuple(SEALER.seal("grant", payload) for payload in (b"", b"a", b"payload", bytes(200)))
NEVER = 4e9


def check(data: bytes) -> None:
    pieces = Pieces(data)
    match pieces.number(4):
        case 0:
            check_text(pieces.rest().decode("latin-1"))
        case 1:
            check_text(urlsafe_b64encode(pieces.rest()).decode().rstrip("="))
        case 2:
            check_text(edit(SEALED[pieces.number(len(SEALED))], pieces))
        case _:
            check_record(pieces.rest())


def edit(text: str, pieces: Pieces) -> str:
    """Some characters replaced, put in, or taken out."""
    while pieces.has_more:
        start, size, new = pieces.number(256), pieces.number(4), pieces.take(pieces.number(4)).decode("latin-1")
        text = text[:start] + new + text[start + size :]
    return text


def check_text(text: str) -> None:
    opened = SEALER.open("grant", text)
    assert (opened is not None) == (text in SEALED)
    assert SEALER.open("target", text) is None
    assert STRANGER.open("grant", text) is None
    assert SEALER.open_record("grant", Grant, text, 0.0) is None


def check_record(payload: bytes) -> None:
    sealed = SEALER.seal("grant", b"\x41\xed\xcd\x65\x00\x00\x00\x00" + payload)  # 4e9, the year 2096
    record = SEALER.open_record("grant", Grant, sealed, 0.0)
    if record is not None:
        assert all(getattr(record, each.name) is not None for each in fields(Grant))
        again = SEALER.seal_record("grant", record, NEVER)
        assert SEALER.open_record("grant", Grant, again, 0.0) == record
