"""Decides how open a port really is: the lowest of what its owner declared and every cap above it.

Pure. What is not understood is private: an unknown word, an empty one, a word in other letters.
"""

from fnmatch import fnmatchcase

from auth.model import Visibility, WorkspacePort
from config.settings import VisibilityRule, VisibilitySettings

_LEVELS = {"private": Visibility.PRIVATE, "internal": Visibility.INTERNAL, "public": Visibility.PUBLIC}

# GitLab starts the editor without a token of its own and sshd with an empty password: the gateway is the only
# lock they have (https://docs.gitlab.com/user/workspace/). Recognised by name or by number, whichever a Service keeps.
_LOCKED_NAMES = frozenset({"editor-server", "ssh-server"})
_LOCKED_PORTS = frozenset({60001, 60022})


def effective_visibility(port: WorkspacePort, policy: VisibilitySettings) -> Visibility:
    """Who may use the port now, under the operator's policy."""
    if is_locked(port):
        return Visibility.PRIVATE
    declared = _LEVELS.get(port.declared, Visibility.PRIVATE)
    caps = (_LEVELS[rule.max] for rule in policy.rules if _applies(rule, port))
    return min(declared, _LEVELS[policy.max], *caps)


def is_locked(port: WorkspacePort) -> bool:
    """Whether the port is private for ever, whatever anybody declares."""
    return port.port_name in _LOCKED_NAMES or port.port in _LOCKED_PORTS


def _applies(rule: VisibilityRule, port: WorkspacePort) -> bool:
    """Every criterion that a rule names must match."""
    agent = rule.agent_id is None or rule.agent_id == port.agent_id
    return agent and (rule.namespace is None or fnmatchcase(port.namespace, rule.namespace))
