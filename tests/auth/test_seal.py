"""Sealed values open only as what they were sealed as, and nothing that a stranger sends opens at all."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from auth.seal import TEXT_MAX, Sealer

OLD, NEW = SecretStr("old-signing-key-0123456789"), SecretStr("new-signing-key-0123456789")
SEALER = Sealer([NEW])
SEALED = SEALER.seal("grant", b"payload")


@dataclass(frozen=True)
class Card:
    name: str
    number: int
    weight: float


@given(st.binary(max_size=2000), st.text(max_size=20))
def test_what_was_sealed_opens_to_the_same_bytes(payload: bytes, purpose: str) -> None:
    """Sealing then opening gives the payload back, whatever it is."""
    assert payload == SEALER.open(purpose, SEALER.seal(purpose, payload))


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda data: urlsafe_b64encode(data).decode()))
def test_garbage_opens_to_nothing(text: str) -> None:
    """No text that the sealer did not make opens, and none raises."""
    assert SEALER.open("grant", text) is None


@given(st.integers(0, len(SEALED) * 6 - 1))
def test_every_flipped_bit_is_noticed(position: int) -> None:
    """Changing any one bit of a sealed text, its last and partly unused character included, voids it."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    index, bit = divmod(position, 6)
    flipped = alphabet[alphabet.index(SEALED[index]) ^ (1 << bit)]

    assert SEALER.open("grant", SEALED[:index] + flipped + SEALED[index + 1 :]) is None


@given(st.integers(0, len(SEALED) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """A sealed text that lost its end is void."""
    assert SEALER.open("grant", SEALED[:length]) is None


@pytest.mark.parametrize(
    "text",
    [SEALED + "=", SEALED + "\n", " " + SEALED, SEALED + "A", "A" * (TEXT_MAX + 1), "é"],
    ids=["padded", "line end", "leading space", "longer", "giant", "not ASCII"],
)
def test_a_sealed_text_has_one_spelling(text: str) -> None:
    """Padding, white space, additions and giants are refused, so that caching by text is sound."""
    assert SEALER.open("grant", text) is None


def test_a_value_of_one_purpose_is_void_for_another() -> None:
    """A sealed target can never pass as a grant."""
    assert SEALER.open("target", SEALED) is None


def test_old_keys_open_and_the_first_key_seals() -> None:
    """During a rotation both keys open, but only the first is used for new values."""
    before, during = Sealer([OLD]), Sealer([NEW, OLD])

    assert during.open("grant", before.seal("grant", b"x")) == b"x"
    assert before.open("grant", during.seal("grant", b"x")) is None


def test_two_seals_of_one_payload_differ() -> None:
    """A watcher cannot tell that two sealed texts hold the same."""
    assert SEALER.seal("grant", b"payload") != SEALED


@pytest.mark.parametrize("keys", [[], [SecretStr("")], [NEW, SecretStr("")]], ids=len)
def test_a_sealer_without_a_key_cannot_be_made(keys: list[SecretStr]) -> None:
    """No key means no gateway, rather than one that seals with what everybody knows."""
    with pytest.raises(ValueError, match="at least one key"):
        Sealer(keys)


def test_no_key_shows_in_the_repr() -> None:
    """A sealer in a log line gives nothing away."""
    assert "signing-key" not in repr(Sealer([NEW, OLD]))


def test_a_record_is_void_from_its_last_second_on() -> None:
    """Expiry is exclusive: at the very moment of expiry a record is gone."""
    text = SEALER.seal_record("card", Card("a", 1, 2.0), expires=100.0)

    assert SEALER.open_record("card", Card, text, now=99.9) == Card("a", 1, 2.0)
    assert SEALER.open_record("card", Card, text, now=100.0) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"name": "a", "number": 1}',
        b'{"name": "a", "number": 1, "weight": 2.0, "more": 3}',
        b'{"name": "a", "number": true, "weight": 2.0}',
        b'{"name": "a", "number": 1.0, "weight": 2.0}',
        b'{"name": "a", "number": "1", "weight": 2.0}',
        b'{"name": null, "number": 1, "weight": 2.0}',
        b'{"name": "a", "number": 1, "weight": NaN}',
        b"[" * 5000,
        b'{"name": "a", "number": 1, "weight": Infinity}',
    ],
)
def test_a_record_with_other_fields_or_types_is_refused(body: bytes) -> None:
    """Even a text sealed with our key is refused when it is not exactly the record asked for."""
    far_future = bytes.fromhex("4270000000000000")

    assert SEALER.open_record("card", Card, SEALER.seal("card", far_future + body), now=1.0) is None


@pytest.mark.parametrize("expires", [b"", b"\0" * 7, b"\x7f\xf0" + b"\0" * 6, b"\x7f\xf8" + b"\0" * 6])
def test_a_record_without_a_finite_expiry_is_refused(expires: bytes) -> None:
    """Missing, infinite and not-a-number expiries do not make a record eternal."""
    body = json.dumps({"name": "a", "number": 1, "weight": 2.0}).encode() if len(expires) == 8 else b""

    assert SEALER.open_record("card", Card, SEALER.seal("card", expires + body), now=1.0) is None


def test_the_payload_cannot_be_read_without_the_key() -> None:
    """Sealed means encrypted: the original URL of a visitor is not legible in the address bar."""
    text = SEALER.seal("target", b"https://secret.example/?token=1")

    assert b"secret" not in urlsafe_b64decode(text + "=" * (-len(text) % 4))
