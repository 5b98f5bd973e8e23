"""Whether the sshd of a workspace still proves to be the one it was: its host key, remembered or pinned.

Remembered is the key that was seen first, by the uid of the workspace, for as long as the process lives. A Service may
say more: what its annotation `workspaces.gitlab.com/ssh-host-key` names is the only key that is ever accepted.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import asyncssh
from cachetools import LRUCache

from gateway.ssh import limits
from routing.model import Workspace


class PodKey(Enum):
    """What a key is to a workspace."""

    EXPECTED = "expected"
    CHANGED = "changed"
    CHANGED_AND_REFUSED = "changed and refused"
    NOT_PINNED = "not the pinned one"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about a key, and which keys that was about."""

    verdict: PodKey
    seen: str
    """As `ssh-keygen -l` shows it."""
    expected: str

    @property
    def is_refused(self) -> bool:
        return self.verdict in (PodKey.CHANGED_AND_REFUSED, PodKey.NOT_PINNED)


class PodKeys:
    """The keys of all workspaces."""

    def __init__(self, on_change: Literal["warn", "refuse"]) -> None:
        self._on_change = on_change
        self._known: LRUCache[str, str] = LRUCache(limits.POD_KEYS_MAX)

    def __repr__(self) -> str:
        return f"PodKeys(known={len(self._known)})"

    def adopt(self, on_change: Literal["warn", "refuse"]) -> None:
        """Have this follow on a change from now on."""
        self._on_change = on_change

    def judge(self, workspace: Workspace, key: asyncssh.SSHKey) -> Judgement:
        """A change that is not refused is one only once: the new key is expected from then on."""
        seen = _fingerprint(key.public_data)
        if workspace.ssh_host_key:
            is_pinned = seen in _pinned(workspace.ssh_host_key)
            verdict = PodKey.EXPECTED if is_pinned else PodKey.NOT_PINNED
            return Judgement(verdict, seen, workspace.ssh_host_key[: limits.PARTING_TEXT])
        expected = self._known.setdefault(workspace.uid, seen)
        if expected == seen:
            return Judgement(PodKey.EXPECTED, seen, expected)
        if self._on_change == "refuse":
            return Judgement(PodKey.CHANGED_AND_REFUSED, seen, expected)
        self._known[workspace.uid] = seen
        return Judgement(PodKey.CHANGED, seen, expected)


def _pinned(annotation: str) -> frozenset[str]:
    """The fingerprints that an annotation names: keys as in a .pub file or fingerprints, one a line or by commas."""
    found = set()
    for item in annotation.replace(",", "\n").splitlines():
        words = item.split()
        if words and words[0].startswith("SHA256:"):
            found.add(words[0])
        elif len(words) > 1:
            found.add(_fingerprint_of_text(words[1]))
    return frozenset(found)


def _fingerprint_of_text(text: str) -> str:
    try:
        return _fingerprint(base64.b64decode(text, validate=True))
    except ValueError:
        return ""  # fits no key: a pin that cannot be read must not open what it was to keep shut


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
