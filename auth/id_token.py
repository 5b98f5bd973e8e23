"""Verifies an id_token: signed by GitLab, for this application, in time, and an answer to this very sign-in.

Pure. One algorithm and one shape: OpenID Connect Core 1.0, section 3.1.3.7, with GitLab's RS256
(https://docs.gitlab.com/integration/openid_connect_provider/). The token only proves who signed in; its lifetime of
two minutes says nothing about the session.
"""

from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from auth.model import GitLabUnavailable, SignInFailed

LEEWAY = 60  # s; two clocks that are kept by NTP differ by far less, two that are not by far more
_ALGORITHMS = ["RS256"]


class UnknownKey(SignInFailed):
    """Signed with a key that is not among those we know: GitLab may have a new one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an id_token must say."""

    issuer: str
    client_id: str
    nonce: str
    now: float


def read_keys(document: dict[str, Any]) -> KeySet:
    """The RSA keys of a JWK set (RFC 7517, section 5); other kinds cannot have signed our tokens."""
    keys = document.get("keys")
    usable = (
        [key for key in keys if isinstance(key, dict) and key.get("kty") == "RSA"] if isinstance(keys, list) else []
    )
    try:
        return KeySet.import_key_set({"keys": usable})
    except (JoseError, TypeError, ValueError, KeyError) as exc:
        raise GitLabUnavailable(f"GitLab's signing keys cannot be read: {type(exc).__name__}") from exc


def subject_of(id_token: str, keys: KeySet, expected: Expected) -> str:
    """Who signed in, if the token can be believed."""
    try:
        claims = jwt.decode(id_token, keys, algorithms=_ALGORITHMS).claims
        _claims_registry(expected).validate(claims)
    except InvalidKeyIdError as exc:
        raise UnknownKey("the id_token is signed with an unknown key") from exc
    except (JoseError, ValueError, TypeError, RecursionError) as exc:
        raise SignInFailed(f"the id_token is not valid: {type(exc).__name__} {getattr(exc, 'claim', '')}") from exc
    # The registry takes a list that has the value among others. A token for several audiences is one that another
    # of them could hand to us, and a nonce among others is no answer to ours.
    if claims["aud"] not in (expected.client_id, [expected.client_id]) or claims["nonce"] != expected.nonce:
        raise SignInFailed("the id_token is for others too")
    subject: str = claims["sub"]
    return subject


def _claims_registry(expected: Expected) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=int(expected.now),
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        nonce={"essential": True, "value": expected.nonce},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )
