"""What the stand-in GitLab knows about people, projects and workspaces, as frozen values.

Only values and what can be told from one value alone live here. A change is a new value.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

DEVELOPER = 30
MAINTAINER = 40
OWNER = 50

DESIRED_STATES = ("Running", "RestartRequested", "Stopped", "Terminated")
ACTUAL_STATES = (
    "CreationRequested",
    "Starting",
    "Running",
    "Stopping",
    "Stopped",
    "Terminating",
    "Terminated",
    "Failed",
    "Error",
    "Unknown",
)

_UNDERWAY = {
    ("Running", "Stopped"): "Starting",
    ("Running", "Stopping"): "Starting",
    ("Running", "Failed"): "Starting",
    ("Stopped", "Running"): "Stopping",
    ("Stopped", "Starting"): "Stopping",
    ("RestartRequested", "Running"): "Stopping",
    ("RestartRequested", "Stopped"): "Starting",
    ("Terminated", "Running"): "Terminating",
    ("Terminated", "Stopped"): "Terminating",
}

UserState = Literal["active", "blocked", "ldap_blocked", "deactivated", "banned", "blocked_pending_approval"]
UsageType = Literal["auth", "signing", "auth_and_signing"]


def iso(moment: float) -> str:
    """A Unix time as the REST and GraphQL APIs write it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def underway(desired_state: str, actual_state: str) -> str:
    """The actual state while the agent brings about the desired one."""
    return _UNDERWAY.get((desired_state, actual_state), actual_state)


def start_of(day: date) -> float:
    """The Unix time of 00:00 UTC of that date: when a token that expires on it dies."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class GitLabKey:
    """An SSH public key of somebody's profile."""

    id: int
    key: str
    title: str
    created: float
    usage_type: UsageType = "auth_and_signing"
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class GitLabUser:
    """An account; `bot` is what a project or group access token acts as."""

    id: int
    username: str
    name: str
    created: float
    state: UserState = "active"
    bot: bool = False
    external: bool = False
    admin: bool = False
    requires_dpop: bool = False
    """Whether personal access tokens of this user are refused by the REST API without a DPoP proof."""
    keys: tuple[GitLabKey, ...] = ()

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"

    @property
    def is_active(self) -> bool:
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class GitLabProject:
    """A project and who may do what in it (30 Developer, 40 Maintainer, 50 Owner)."""

    id: int
    path: str
    visibility: Literal["private", "internal", "public"] = "private"
    members: dict[int, int] = field(default_factory=dict)
    """Access level by user id; 0 or absence is no member. Replaced, never changed."""

    def access_of(self, user: GitLabUser | None) -> int:
        return self.members.get(user.id, 0) if user is not None else 0

    def is_readable_by(self, user: GitLabUser | None) -> bool:
        if self.visibility == "public" or (user is not None and (user.admin or self.access_of(user) > 0)):
            return True
        return self.visibility == "internal" and user is not None and not user.external


@dataclass(frozen=True, slots=True)
class GitLabAgent:
    """An agent for Kubernetes; whoever maintains its project may administer its workspaces."""

    id: int
    name: str
    project_id: int


@dataclass(frozen=True, slots=True)
class GitLabWorkspace:
    """A workspace as GitLab's database has it."""

    id: int
    name: str
    owner_id: int
    project_id: int
    agent_id: int
    namespace: str
    url: str
    desired_state: str
    actual_state: str
    created: float
    updated: float
    desired_state_updated: float
    responded: float | None = None
    project_ref: str = "main"
    devfile_path: str = ".devfile.yaml"
    devfile: str = "schemaVersion: 2.2.0\n"
    processed_devfile: str = "schemaVersion: 2.2.0\n"

    @property
    def gid(self) -> str:
        return f"gid://gitlab/RemoteDevelopment::Workspace/{self.id}"
