"""What a person's home page shows: GitLab says which workspaces are theirs, the route table what is open in them.

Pure: values in, views out.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from auth.access import AccessPolicy
from auth.model import WorkspaceRecord
from auth.visibility import is_locked
from config.settings import Settings
from gateway.idle.standing import Standing, describe
from gateway.pages import PortView, WorkspaceView
from routing.model import Route, Workspace, WorkspaceState

_SSH_PORT = 22  # what ssh dials by itself

# GitLab's actual states (https://docs.gitlab.com/user/workspace/#workspace-states), in the words of a page.
_STATES = {
    "Running": "running",
    "CreationRequested": "starting",
    "Starting": "starting",
    "Stopping": "stopped",
    "Stopped": "stopped",
}


class RouteDirectory(Protocol):
    """The part of the route table that the portal reads."""

    def get_route(self, host: str) -> Route | None: ...

    def get_workspace(self, name: str) -> Workspace | None: ...

    def routes_of(self, workspace: Workspace) -> tuple[Route, ...]: ...


def workspace_views(
    records: Iterable[WorkspaceRecord],
    directory: RouteDirectory,
    policy: AccessPolicy,
    settings: Settings,
    get_standing: Callable[[Workspace], Standing | None],
) -> list[WorkspaceView]:
    """The person's workspaces that the table knows, by name; of each, the editor comes first."""
    views = []
    for record in sorted(records, key=lambda record: record.name):
        workspace = directory.get_workspace(record.name)
        # A Service may call itself anything; only GitLab's number makes it this workspace.
        if workspace is not None and workspace.id == record.id:
            view = _workspace_view(record, workspace, directory.routes_of(workspace), policy, settings)
            views.append(replace(view, idle=_idle(get_standing(workspace))) if view.state == "running" else view)
    return views


def _workspace_view(
    record: WorkspaceRecord, workspace: Workspace, routes: Iterable[Route], policy: AccessPolicy, settings: Settings
) -> WorkspaceView:
    ports = tuple(
        _port_view(route, policy, settings)
        for route in sorted(routes, key=lambda route: (not is_locked(route), route.port))
    )
    return WorkspaceView(
        workspace.name,
        _state(record, workspace),
        ports,
        _ssh_command(workspace, settings),
        _ssh_config(workspace, settings),
        ports_wake=settings.http.wake == "auto",
    )


def _idle(standing: Standing | None) -> str:
    if standing is None or standing.left is None:
        return ""
    idle, late = describe(standing.idle), standing.idle - standing.timeout
    if standing.problem:
        return f"idle for {idle}; it should have stopped {describe(late)} ago, but could not be"
    return f"idle for {idle}, stops in {describe(standing.left)}"


def _port_view(route: Route, policy: AccessPolicy, settings: Settings) -> PortView:
    # Portal and workspaces share one door, so they share its port too.
    port = urlsplit(settings.auth.redirect_uri).port
    authority = route.host if port is None else f"{route.host}:{port}"
    level, limit = policy.visibility(route).name.lower(), policy.limit(route)
    url = f"{settings.auth.protocol}://{authority}/"
    return PortView(route.port_name, route.port, url, level, limit.level.name.lower(), limit.reason)


def _state(record: WorkspaceRecord, workspace: Workspace) -> str:
    """The cluster knows it first, where the gateway may read it there, but for a pod that is not there yet."""
    told = _STATES.get(record.actual_state, WorkspaceState.UNKNOWN.value)
    is_told = workspace.state is not WorkspaceState.UNKNOWN
    is_coming = workspace.state is WorkspaceState.STOPPED and told == WorkspaceState.STARTING.value
    return workspace.state.value if is_told and not is_coming else told


def _ssh_command(workspace: Workspace, settings: Settings) -> str:
    if not settings.ssh.enabled or workspace.ssh is None:
        return ""
    host, port = _ssh_address(settings)
    return f"ssh{'' if port == _SSH_PORT else f' -p {port}'} {workspace.name}@{host}"


def _ssh_config(workspace: Workspace, settings: Settings) -> str:
    if not _ssh_command(workspace, settings):
        return ""
    host, port = _ssh_address(settings)
    lines = [f"Host {workspace.name}", f"  HostName {host}", f"  User {workspace.name}"]
    if port != _SSH_PORT:
        lines.append(f"  Port {port}")
    return "\n".join(lines) + "\n"


def _ssh_address(settings: Settings) -> tuple[str, int]:
    """Where people reach the SSH door from outside."""
    return settings.ssh.public_host or settings.auth.portal_host, settings.ssh.public_port or settings.ssh.port
