"""What one try to log in can come to, and the sentences for whoever does not get in."""

from dataclasses import dataclass

import asyncssh

from gateway.ssh.internals.ends import WorkspaceLeg

PERMISSION_DENIED = "Permission denied"
TOO_MANY = "Too many connections"
GITLAB_UNAVAILABLE = "GitLab is not reachable, try again"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The user may enter, and the workspace's sshd has let the gateway in."""

    user: str
    upstream: WorkspaceLeg
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The token does not open this workspace; another one might."""

    reason: str
    banner: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """No further try would help now."""

    reason: str
    text: str
    code: int = asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE


Outcome = Admitted | Rejected | TurnedAway


def gitlab_unavailable() -> TurnedAway:
    return TurnedAway("gitlab_unavailable", GITLAB_UNAVAILABLE, asyncssh.DISC_SERVICE_NOT_AVAILABLE)


def not_running(name: str, state: str, portal_url: str) -> TurnedAway:
    return TurnedAway("not_running", f"workspace {name} is {state}{see(portal_url)}")


def see(portal_url: str) -> str:
    """Where a person finds more, if there is a portal."""
    return f", see {portal_url}" if portal_url else ""
