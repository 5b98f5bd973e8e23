"""The values of routing: frozen, free of I/O, and without a word about who may enter."""

from dataclasses import dataclass
from enum import StrEnum


class WorkspaceState(StrEnum):
    """What the source of routes knows about the pod behind a workspace."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    UNKNOWN = "unknown"

    @property
    def may_answer(self) -> bool:
        """Where nobody may read the state of pods, it is unknown of all of them, and whoever dials finds out."""
        return self in {WorkspaceState.RUNNING, WorkspaceState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address inside the cluster that the gateway dials. Never a name: no DNS in the hot path."""

    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace of the GitLab instance, as its Service describes it."""

    id: str
    """GitLab's number of the workspace, from the annotation `workspaces.gitlab.com/id`."""
    uid: str
    """Identity: a workspace re-created under the same name, or a Service that speaks for another one, has another."""
    name: str
    """What people type as the SSH user name."""
    namespace: str
    agent_id: str
    state: WorkspaceState
    ssh: Endpoint | None
    """The pod's sshd; None where the Service declares no such port."""
    ssh_host_key: str = ""
    """What the annotation `workspaces.gitlab.com/ssh-host-key` says of that sshd, exactly as written: the host keys it
    may have, or their fingerprints. Empty where nobody says so."""
    idle_timeout: str = ""
    """What the annotation `workspaces.gitlab.com/idle-timeout` says: how long it may be unused. Exactly as written."""


@dataclass(frozen=True, slots=True)
class Route:
    """A hostname and the one port of one workspace it leads to."""

    host: str
    """Canonical: lower case, no port, no trailing dot."""
    workspace: Workspace
    port: int
    """The port as people know it (the Service's targetPort, which the hostname shows)."""
    port_name: str
    upstream: Endpoint
    declared: str
    """The visibility its owner declared, exactly as written; `auth.visibility` decides what it means."""

    @property
    def workspace_id(self) -> str:
        return self.workspace.id

    @property
    def agent_id(self) -> str:
        return self.workspace.agent_id

    @property
    def namespace(self) -> str:
        return self.workspace.namespace


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service: people reach `target_port`, the gateway dials `port`."""

    name: str
    port: int
    target_port: int


@dataclass(frozen=True, slots=True)
class WorkspaceService:
    """The parts of a Kubernetes Service that routing reads, whatever source they came from."""

    name: str
    namespace: str
    uid: str
    created: float
    """Unix time; the older of two claimants keeps a hostname."""
    workspace_id: str
    agent_id: str
    host_template: str
    cluster_ip: str
    ports: tuple[ServicePort, ...]
    visibility: tuple[tuple[int, str], ...] = ()
    """Declared level by target port."""
    state: WorkspaceState = WorkspaceState.UNKNOWN
    ssh_host_key: str = ""
    """The annotation `workspaces.gitlab.com/ssh-host-key`."""
    idle_timeout: str = ""
    """The annotation `workspaces.gitlab.com/idle-timeout`."""

    @property
    def key(self) -> str:
        """What names the Service in its source: `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Claim:
    """All that one Service asks the table for."""

    key: str
    created: float
    workspace: Workspace
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something a Service asked for and did not get."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Relisted:
    """The source was read as a whole; what is not in it is gone."""

    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Several changes that arrived together; a large source is read in many of them, so that nobody waits long."""

    changed: tuple[Claim, ...] = ()
    """Of Services that appeared or changed; the whole set of hosts of each is replaced."""
    removed: tuple[str, ...] = ()
    """Keys of Services that are gone, or describe no workspace any more; one that is also in `changed` is changed."""
    is_complete: bool = False
    """Whether with this one the source has been read as a whole."""


RouteChange = Batch | Relisted
