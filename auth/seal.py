"""Seals values that leave the gateway and come back: encrypted, authenticated, dated, and of one purpose.

Pure: bytes in, bytes out. A sealed text is AES-256-GCM (NIST SP 800-38D) under a key that HKDF (RFC 5869) derives
for each purpose, so that what was sealed as one thing can never be opened as another. Whatever is wrong with a text
(garbage, another key, another purpose, one flipped bit, too old), opening it gives None and tells nothing more.
"""

import json
import math
import secrets
import struct
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import asdict
from enum import IntEnum
from functools import lru_cache
from typing import Any, NoReturn, TypeVar, get_type_hints

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

TEXT_MAX = 64 * 1024  # what a request head can carry at most; nothing longer can have come from us
_NONCE = 12  # bytes; random ones are safe for 2^32 seals under one key, far beyond a signing key's life
_KEYS_MAX = 64  # derived keys remembered; a handful of purposes times a few signing keys
_EXPIRES = struct.Struct(">d")

RecordT = TypeVar("RecordT")


class Sealer:
    """Seals with the first signing key and opens with any of them, so that a key can be rotated."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = _checked(keys)
        self._cipher = lru_cache(maxsize=_KEYS_MAX)(_derive)

    def __repr__(self) -> str:
        return f"<Sealer with {len(self._keys)} keys>"

    def adopt(self, keys: Sequence[SecretStr]) -> None:
        """Seal with the first of these from now on, and open what any of them sealed and nothing else."""
        self._keys = _checked(keys)
        self._cipher.cache_clear()  # what is derived from a key that is none any more must not stay in memory

    def seal(self, purpose: str, payload: bytes) -> str:
        """Base64url without padding: fits a cookie, a query and a path."""
        nonce = secrets.token_bytes(_NONCE)
        return _encode(nonce + self._cipher(self._keys[0], purpose).encrypt(nonce, payload, None))

    def open(self, purpose: str, text: str) -> bytes | None:
        """The payload, or None for anything that this sealer did not seal for this purpose."""
        sealed = _decode(text)
        if sealed is None or len(sealed) <= _NONCE:
            return None
        for key in self._keys:
            try:
                return self._cipher(key, purpose).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
            except InvalidTag:
                continue
        return None

    def seal_record(self, purpose: str, record: Any, expires: float) -> str:
        """Seal a flat dataclass that is void from `expires` (Unix time) on."""
        return self.seal(purpose, _EXPIRES.pack(expires) + json.dumps(asdict(record)).encode())

    def open_record(self, purpose: str, kind: type[RecordT], text: str, now: float) -> RecordT | None:
        """The record, if it is sealed for this purpose, still in time, and has exactly the fields of its kind."""
        payload = self.open(purpose, text)
        if payload is None or len(payload) < _EXPIRES.size:
            return None
        (expires,) = _EXPIRES.unpack_from(payload)
        if not (math.isfinite(expires) and now < expires):
            return None
        return _parse(kind, payload[_EXPIRES.size :])


def _checked(keys: Sequence[SecretStr]) -> tuple[SecretStr, ...]:
    if not keys or not all(key.get_secret_value() for key in keys):
        raise ValueError("a sealer needs at least one key, and no empty one")
    return tuple(keys)


def _derive(key: SecretStr, purpose: str) -> AESGCM:
    info = f"workspaces-gateway {purpose}".encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.get_secret_value().encode()))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    """Accepts only the one spelling that `_encode` gives, so that a sealed text is as unique as its bytes."""
    if len(text) > TEXT_MAX:
        return None
    try:
        data = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (Base64Error, ValueError):  # ValueError: not ASCII
        return None
    return data if _encode(data) == text else None


def _parse(kind: type[RecordT], payload: bytes) -> RecordT | None:
    """Strict about names and types: a record of an older or newer release is refused, not guessed at."""
    try:
        fields = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    shape = get_type_hints(kind)
    if type(fields) is not dict or fields.keys() != shape.keys():
        return None
    try:
        return kind(**{name: _typed(fields[name], expected) for name, expected in shape.items()})
    except (TypeError, ValueError):
        return None


def _typed(value: Any, expected: type) -> Any:
    """The value as its field wants it: JSON knows an IntEnum only as its number."""
    if issubclass(expected, IntEnum) and type(value) is int:
        return expected(value)
    if type(value) is not expected:
        raise TypeError("the value has another type than its field")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
