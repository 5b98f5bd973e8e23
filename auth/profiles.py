"""Asks GitLab about somebody else: whether their account is active, and which SSH keys are in their profile.

GitLab's REST API (https://docs.gitlab.com/api/users/ and https://docs.gitlab.com/api/user_keys/), as strict as
`gitlab`: an answer that is not as documented is GitLab being unavailable, and a key nobody understands opens nothing.
"""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from pydantic import SecretStr

from auth.calls import Calls, Reply
from auth.gitlab import parse_user, refusal
from auth.model import GitLabUnavailable, User

PER_PAGE = 100  # GitLab's own limit
PAGES_MAX = 10  # a thousand keys; whoever has more is no person, and the rest opens nothing
_AUTHENTICATING = frozenset({"auth", "auth_and_signing"})


def fingerprint(blob: bytes) -> bytes:
    """What stands for a public key: exactly this key has it (SHA-256, as `ssh-keygen -l` shows it)."""
    return hashlib.sha256(blob).digest()


class Profiles(Protocol):
    """What a key needs to be judged. Each raises TokenRefused, ScopeMissing or GitLabUnavailable."""

    async def get_profile(self, token: SecretStr, user_id: int) -> User | None:
        """Somebody's account as others see it; None where there is none."""

    async def find_keys(self, token: SecretStr, user_id: int) -> frozenset[bytes]:
        """The fingerprints of the keys that may authenticate this user now."""


class ProfileClient(Profiles):
    """Profiles over HTTP."""

    def __init__(self, calls: Calls, clock: Callable[[], float] = time.time) -> None:
        self._calls = calls
        self._clock = clock

    async def get_profile(self, token: SecretStr, user_id: int) -> User | None:
        reply = await self._calls.ask("profile", f"{self._calls.base}/api/v4/users/{user_id}", token=token)
        if reply.status == 404:
            return None
        user = parse_user(_expect_ok(reply).find_record())
        if user.id != user_id:
            raise reply.nonsense("another user")
        return user

    async def find_keys(self, token: SecretStr, user_id: int) -> frozenset[bytes]:
        found: set[bytes] = set()
        for page in range(1, PAGES_MAX + 1):
            url = f"{self._calls.base}/api/v4/users/{user_id}/keys?per_page={PER_PAGE}&page={page}"
            keys = _find_list(await self._calls.ask("user_keys", url, token=token))
            found.update(filter(None, (self._read_key(key) for key in keys)))
            if len(keys) < PER_PAGE:
                break
        return frozenset(found)

    def _read_key(self, told: Mapping[str, Any]) -> bytes | None:
        """The fingerprint of a key that authenticates; None for one that signs commits only, or has expired."""
        # GitLab before 15.7 knows no usage type: all its keys authenticate.
        if told.get("usage_type", "auth") not in _AUTHENTICATING or not self._is_in_time(told.get("expires_at")):
            return None
        words = str(told.get("key")).split(None, 2)
        try:
            blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
        except (binascii.Error, ValueError):  # ValueError: not ASCII
            return None
        return fingerprint(blob) if blob else None

    def _is_in_time(self, expires: object) -> bool:
        if expires is None:
            return True
        try:
            return self._clock() < datetime.fromisoformat(str(expires)).timestamp()
        except (ValueError, OverflowError):
            return False


def _expect_ok(reply: Reply) -> Reply:
    if reply.status in (401, 403):
        raise refusal(reply)
    if reply.status != 200:
        raise reply.nonsense("no answer to the question")
    return reply


def _find_list(reply: Reply) -> list[Mapping[str, Any]]:
    if reply.status == 404:
        return []  # the user went away a moment ago
    try:
        told = json.loads(_expect_ok(reply).body)
    except (ValueError, RecursionError) as exc:  # RecursionError: deep nesting
        raise GitLabUnavailable("user_keys answered with no JSON") from exc
    if not isinstance(told, list) or not all(isinstance(item, dict) for item in told):
        raise reply.nonsense("no list of keys")
    return told
