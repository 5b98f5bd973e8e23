"""Remembers for a short while what GitLab said about a token and a workspace, so that it is asked once for many logins.

An editor opens several connections at once, Ansible fifty in a row. What is remembered stands under an HMAC of both,
with a key that lives as long as the process: no token is kept, and a yes to one workspace is none to another.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from pydantic import SecretStr

from auth.model import Granted, Unavailable, Verdict
from auth.remembered import Remembered
from config.settings import SshSettings
from gateway.ssh import limits
from gateway.ssh.admission import SshAccess
from gateway.ssh.states import is_enterable
from gateway.telemetry.metrics import Metrics


class RememberedAccess:
    """Answers as the access behind it did a moment ago, and never asks it the same question twice at once."""

    def __init__(
        self, access: SshAccess, settings: SshSettings, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._settings = settings
        self._secret = secrets.token_bytes(32)
        self._slots = asyncio.Semaphore(limits.TOKEN_QUESTIONS)
        self._known: Remembered[bytes, Verdict] = Remembered(limits.VERDICTS_MAX, self._lifetime, clock)

    def __repr__(self) -> str:
        return f"RememberedAccess(known={len(self._known)})"

    def adopt(self, settings: SshSettings) -> None:
        """Remember for as long as these settings say from now on."""
        self._settings = settings

    async def decide_workspace(self, token: SecretStr, workspace_id: str) -> Verdict:
        key = self._key(token, workspace_id)
        self._metrics.ssh_token_memory.labels("miss" if self._known.get(key) is None else "hit").inc()
        return await self._known.find(key, lambda: self._ask(token, workspace_id))

    async def _ask(self, token: SecretStr, workspace_id: str) -> Verdict:
        async with self._slots:
            return await self._access.decide_workspace(token, workspace_id)

    def _key(self, token: SecretStr, workspace_id: str) -> bytes:
        text = f"{workspace_id}\n{token.get_secret_value()}"  # neither holds a line break
        return hmac.digest(self._secret, text.encode(), hashlib.sha256)

    def _lifetime(self, outcome: Verdict) -> float:
        match outcome:
            case Granted():
                is_running = is_enterable(outcome)  # a start that somebody waits for may succeed any moment
                return self._settings.grant_memory if is_running else 0
            case Unavailable():
                return limits.UNAVAILABLE_MEMORY
            case _:
                return self._settings.refusal_memory
