"""Lets a program in by the GitLab token it brings along, and asks GitLab about one token and port once a minute.

A token is remembered only as a keyed hash together with the port it was used on, so that neither a dump of the memory
nor a second port gets anything out of what was learnt here.
"""

import hmac
import secrets
import time
from collections.abc import Callable

from cachetools import TTLCache
from pydantic import SecretStr

from auth.access import AccessPolicy
from auth.model import (
    NOBODYS_WORKSPACE,
    Denied,
    GitLabUnavailable,
    Granted,
    Unavailable,
    Verdict,
    WorkspacePort,
)
from auth.remembered import Remembered
from auth.share import KNOWN_PROGRAMS, PROGRAMS, Share

GRANTED_SECONDS = 60  # as long as a person waits for a revoked token to be refused
REFUSED_SECONDS = 10  # a script in a loop costs GitLab six questions a minute, and a new right works at once
UNAVAILABLE_SECONDS = 2  # a script in a loop asks a GitLab that is down no more often, and hardly waits when it is back
VOUCHED_SECONDS = 86_400  # for which a token that was good is no stranger's: a nightly build comes back within it
VERDICTS_MAX = 10_000  # about 500 B each; beyond it GitLab is merely asked again


class Programs:
    """Verdicts on tokens in the header X-Workspaces-Token."""

    def __init__(self, policy: AccessPolicy, clock: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._key = secrets.token_bytes(32)
        self._verdicts: Remembered[str, Verdict] = Remembered(VERDICTS_MAX, _lifetime, clock)
        self._share, self._known_share = Share(PROGRAMS), Share(KNOWN_PROGRAMS)
        self._vouched: TTLCache[str, bool] = TTLCache(VERDICTS_MAX, VOUCHED_SECONDS, timer=clock)

    def __repr__(self) -> str:
        return f"<Programs {len(self._verdicts)} verdicts>"

    def ref(self, token: SecretStr) -> str:
        """What names the token wherever something is noted about it; useless to become it."""
        return "program " + self._hash(token.get_secret_value())

    def get_verdict(self, token: SecretStr, uid: str, port: WorkspacePort) -> Verdict | None:
        """What GitLab said lately about the token on this port of the workspace; never waits."""
        return self._verdicts.get(self._key_of(token, uid, port))

    async def decide(self, token: SecretStr, uid: str, port: WorkspacePort) -> Verdict:
        """The verdict, of now or of the last minute; asked for once, however many wait for it."""
        return await self._verdicts.find(self._key_of(token, uid, port), lambda: self._ask(token, port))

    async def decide_unknown(self, token: SecretStr) -> Verdict:
        """For a host nobody knows: takes as long, and says the same, as for one that is not this person's."""
        try:
            async with self._share.slot():
                return await self._policy.decide_workspace(token, NOBODYS_WORKSPACE)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)

    async def _ask(self, token: SecretStr, port: WorkspacePort) -> Verdict:
        ref = self.ref(token)
        # A flood of made-up tokens makes wait who comes for the first time, and nobody whom GitLab has vouched for.
        room = self._known_share if ref in self._vouched else self._share
        try:
            async with room.slot():
                verdict = await self._policy.decide_port(token, port)
        except GitLabUnavailable as fault:
            return Unavailable(fault.operator, fault.retry_after)
        if isinstance(verdict, Granted):
            self._vouched[ref] = True
        return verdict

    def _key_of(self, token: SecretStr, uid: str, port: WorkspacePort) -> str:
        # With the visibility: a yes to an internal port is none once the port is private.
        return self._hash(f"{self._policy.visibility(port)} {uid} {port.port} {token.get_secret_value()}")

    def _hash(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


def _lifetime(verdict: Verdict) -> float:
    match verdict:
        case Granted():
            return GRANTED_SECONDS
        case Denied():
            return REFUSED_SECONDS
        case _:
            return UNAVAILABLE_SECONDS
