"""An id_token is believed only when everything about it fits; the classic forgeries are rows here."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from auth.id_token import Expected, UnknownKey, read_keys, subject_of
from auth.model import GitLabUnavailable, SignInFailed

NOW = 1_700_000_000.0
KEY, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
KEY.ensure_kid()
OTHER.ensure_kid()
KEYS = read_keys({"keys": [KEY.as_dict(private=False)]})
EXPECTED = Expected("https://gitlab.test/gitlab", "client-1", "nonce-1", NOW)
CLAIMS: dict[str, Any] = {
    "iss": "https://gitlab.test/gitlab",
    "aud": "client-1",
    "sub": "7",
    "nonce": "nonce-1",
    "iat": int(NOW),
    "exp": int(NOW) + 120,
}


def sign(claims: dict[str, Any], key: RSAKey = KEY, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key, algorithms=["RS256"])


def raw(header: dict[str, Any], payload: bytes, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_right_token_names_its_subject() -> None:
    """Signed, for us, now, and in answer to our nonce."""
    assert subject_of(sign(CLAIMS), KEYS, EXPECTED) == "7"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://gitlab.test"},
        {"iss": "https://gitlab.test/gitlab/"},
        {"iss": ["https://gitlab.test/gitlab"]},
        {"iss": None},
        {"aud": "client-2"},
        {"aud": ["client-1", "client-2"]},
        {"aud": []},
        {"aud": None},
        {"nonce": "nonce-2"},
        {"nonce": ["nonce-1"]},
        {"nonce": ""},
        {"nonce": None},
        {"exp": int(NOW) - 60},
        {"exp": str(int(NOW) + 120)},
        {"exp": True},
        {"exp": None},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": int(NOW) + 61},
        {"iat": "now"},
        {"iat": None},
        {"nbf": int(NOW) + 61},
        {"sub": 7},
        {"sub": ""},
        {"sub": None},
    ],
    ids=str,
)
def test_a_wrong_claim_voids_the_token(change: dict[str, Any]) -> None:
    """One claim of another value, another type, or none at all is enough."""
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}

    with pytest.raises(SignInFailed):
        subject_of(sign(claims), KEYS, EXPECTED)


@pytest.mark.parametrize(
    "change", [{"exp": int(NOW) - 59}, {"iat": int(NOW) + 60}, {"aud": ["client-1"]}, {"extra": [1]}], ids=str
)
def test_a_minute_of_clock_difference_is_forgiven(change: dict[str, Any]) -> None:
    """What two honest machines may disagree about does not keep anybody out."""
    assert subject_of(sign(CLAIMS | change), KEYS, EXPECTED) == "7"


def forged_with_public_key() -> str:
    """HS256 with the public key as the secret."""
    header = {"alg": "HS256", "kid": KEY.kid}
    signing_input = raw(header, json.dumps(CLAIMS).encode()).rpartition(".")[0]
    digest = hmac.new(KEY.as_pem(private=False), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


PAYLOAD = json.dumps(CLAIMS).encode()
FORGERIES = {
    "alg none": raw({"alg": "none"}, PAYLOAD),
    "alg none with kid": raw({"alg": "none", "kid": KEY.kid}, PAYLOAD),
    "alg NONE": raw({"alg": "NONE", "kid": KEY.kid}, PAYLOAD),
    "no alg": raw({"kid": KEY.kid}, PAYLOAD),
    "HS256 with the public key": forged_with_public_key(),
    "HS256 with its own key": jwt.encode({"alg": "HS256", "kid": KEY.kid}, CLAIMS, OctKey.generate_key(256)),
    "ES256": jwt.encode({"alg": "ES256", "kid": KEY.kid}, CLAIMS, ECKey.generate_key("P-256")),
    "RS512 with our key": jwt.encode({"alg": "RS512", "kid": KEY.kid}, CLAIMS, KEY, algorithms=["RS512"]),
    "another key under our kid": sign(CLAIMS, OTHER, kid=KEY.kid),
    "another payload": sign(CLAIMS).split(".")[0] + "." + raw({}, PAYLOAD).split(".")[1] + "x." + "A" * 342,
    "signature cut": sign(CLAIMS)[:-10],
    "unknown crit": raw({"alg": "RS256", "kid": KEY.kid, "crit": ["x"], "x": 1}, PAYLOAD, b"x" * 256),
    "nothing": "",
    "dots": "....",
    "four dots, as encrypted": "a.b.c.d.e",
    "not base64": "é.é.é",
    "a megabyte": "A" * 1_000_000,
    "a megabyte of dots": "." * 1_000_000,
    "payload no object": raw({"alg": "RS256", "kid": KEY.kid}, b"[]", b"x" * 256),
    "deep header": raw({"alg": "RS256", "kid": KEY.kid}, b"[" * 100_000, b"x" * 256),
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_refused_at_once(token: str) -> None:
    """No forgery names a subject, and none costs noticeable time."""
    started = time.process_time()
    with pytest.raises(SignInFailed):
        subject_of(token, KEYS, EXPECTED)

    assert time.process_time() - started < 1


def test_a_signed_payload_that_is_no_object_is_refused() -> None:
    """GitLab's own signature under nonsense is still nonsense."""
    from joserfc import jws  # noqa: PLC0415 - only here

    token = jws.serialize_compact({"alg": "RS256", "kid": KEY.kid}, b"[1]", KEY, algorithms=["RS256"])

    with pytest.raises(SignInFailed):
        subject_of(token, KEYS, EXPECTED)


def test_an_unknown_key_is_told_apart() -> None:
    """GitLab may have rotated its key, so this one failure is worth a second look."""
    with pytest.raises(UnknownKey):
        subject_of(sign(CLAIMS, OTHER), KEYS, EXPECTED)


def test_keys_of_other_kinds_are_passed_over() -> None:
    """A key set with something new in it still works."""
    keys = read_keys({"keys": [{"kty": "AKP", "pub": "x"}, "junk", None, KEY.as_dict(private=False)]})

    assert subject_of(sign(CLAIMS), keys, EXPECTED) == "7"
    assert isinstance(keys, KeySet)


@pytest.mark.parametrize(
    "document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [{"kty": "RSA", "n": 1}]}]
)
def test_a_key_set_that_is_none_is_gitlabs_fault(document: dict[str, Any]) -> None:
    """Without keys nobody can sign in, and that is no visitor's fault."""
    with pytest.raises(GitLabUnavailable):
        read_keys(document)
