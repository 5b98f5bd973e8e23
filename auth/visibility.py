"""Decides how open a port really is: the lowest of what its owner declared and every cap above it.

Pure. What is not understood is private: an unknown word, an empty one, a word in other letters.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from auth.model import Visibility, WorkspacePort
from config.settings import VisibilityRule, VisibilitySettings

LEVELS = {"private": Visibility.PRIVATE, "internal": Visibility.INTERNAL, "public": Visibility.PUBLIC}
_REASONS = {
    "private": "The operator of this gateway lets nobody share a port.",
    "internal": "The operator of this gateway lets nobody share a port beyond the users of GitLab.",
}

# GitLab starts the editor without a token of its own and sshd with an empty password: the gateway is the only
# lock they have (https://docs.gitlab.com/user/workspace/). Recognised by name or by number, whichever a Service keeps.
_LOCKED_NAMES = frozenset({"editor-server", "ssh-server"})
_LOCKED_PORTS = frozenset({60001, 60022})


def effective_visibility(port: WorkspacePort, policy: VisibilitySettings) -> Visibility:
    """Who may use the port now, under the operator's policy."""
    if is_locked(port):
        return Visibility.PRIVATE
    return min(LEVELS.get(port.declared, Visibility.PRIVATE), find_limit(port, policy).level)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a port may be opened."""

    level: Visibility
    reason: str
    """For its owner; empty where there is no limit."""


def find_limit(port: WorkspacePort, policy: VisibilitySettings) -> Limit:
    """What stands above whatever the owner of the port declares."""
    if is_locked(port):
        return Limit(Visibility.PRIVATE, "The gateway is the only lock that this port has, so it is never shared.")
    limit = Limit(LEVELS[policy.max], _REASONS.get(policy.max, ""))
    for rule in policy.rules:
        if _applies(rule, port) and LEVELS[rule.max] < limit.level:
            limit = Limit(LEVELS[rule.max], f"{_REASONS[rule.max]} This is a rule for {_subject(rule)}.")
    return limit


def is_locked(port: WorkspacePort) -> bool:
    """Whether the port is private for ever, whatever anybody declares."""
    return port.port_name in _LOCKED_NAMES or port.port in _LOCKED_PORTS


def _applies(rule: VisibilityRule, port: WorkspacePort) -> bool:
    """Every criterion that a rule names must match."""
    agent = rule.agent_id is None or rule.agent_id == port.agent_id
    return agent and (rule.namespace is None or fnmatchcase(port.namespace, rule.namespace))


def _subject(rule: VisibilityRule) -> str:
    return "the namespace of this workspace" if rule.namespace is not None else "the agent of this workspace"
