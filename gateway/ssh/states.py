"""In which state a workspace is, as GitLab and the source of routes say it, and whether that keeps it shut. Pure."""

from auth.model import Granted
from routing.model import Workspace, WorkspaceState

RUNNING = "Running"

_NO_STATE = frozenset(("", "Unknown"))
_STATE_OF_SOURCE = {WorkspaceState.STOPPED: "Stopped", WorkspaceState.STARTING: "Starting"}


def is_enterable(granted: Granted) -> bool:
    """Whether GitLab knows of nothing that keeps the workspace shut."""
    return granted.workspace is None or granted.workspace.actual_state in (RUNNING, *_NO_STATE)


def state_of(workspace: Workspace, granted: Granted) -> str:
    """GitLab's word, or what the source of routes knows where GitLab has none."""
    state = granted.workspace.actual_state if granted.workspace else ""
    return get_state_of_source(workspace) or RUNNING if state in _NO_STATE else state


def get_state_of_source(workspace: Workspace) -> str:
    """What keeps it shut by the source of routes alone, which learns of a pod's end first; empty for nothing."""
    return _STATE_OF_SOURCE.get(workspace.state, "")
