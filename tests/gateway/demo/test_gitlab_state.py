"""Who may read a workspace, what changes its state, and who is told."""

import pytest

from gateway.demo.gitlab_model import (
    ACTUAL_STATES,
    DEVELOPER,
    MAINTAINER,
    OWNER,
    GitLabProject,
    GitLabUser,
    GitLabWorkspace,
)
from gateway.demo.gitlab_state import GitLabState


@pytest.fixture
def state() -> GitLabState:
    return GitLabState()


@pytest.fixture
def ada(state: GitLabState) -> GitLabUser:
    return state.add_user("ada")


@pytest.mark.parametrize(
    ("is_owner", "is_admin", "project_level", "agent_level", "expected"),
    [
        (True, False, OWNER, 0, True),
        (True, False, DEVELOPER, 0, True),
        (True, False, 20, 0, False),
        (True, False, 0, 0, False),
        (False, False, OWNER, 0, False),
        (False, False, DEVELOPER, DEVELOPER, False),
        (False, True, 0, 0, True),
        (False, False, 0, MAINTAINER, True),
        (False, False, 0, DEVELOPER, False),
        (False, False, 0, 0, False),
    ],
)
def test_who_may_read_a_workspace(
    state: GitLabState,
    ada: GitLabUser,
    *,
    is_owner: bool,
    is_admin: bool,
    project_level: int,
    agent_level: int,
    expected: bool,
) -> None:
    """Owner and Developer both, or administrator, or maintainer of the agent's project; nobody else."""
    reader = state.add_user("reader", admin=is_admin)
    project = state.add_project("g/p", {reader: project_level, ada: OWNER})
    agent = state.add_agent("agent", state.add_project("g/agents", {reader: agent_level}))
    workspace = state.add_workspace(reader if is_owner else ada, "apple", project=project, agent=agent)

    assert state.is_readable(workspace, reader) is expected


def test_nobody_without_a_name_may_read_a_workspace(state: GitLabState, ada: GitLabUser) -> None:
    """Not even when its project is public."""
    workspace = state.add_workspace(ada, "apple", project=state.add_project("g/p", {ada: OWNER}, visibility="public"))

    assert not state.is_readable(workspace, None)


def test_a_blocked_owner_may_not_read(state: GitLabState, ada: GitLabUser) -> None:
    """Until they are unblocked."""
    workspace = state.add_workspace(ada, "apple")

    state.block(ada)
    assert not state.is_readable(workspace, state.users[ada.id])
    state.unblock(ada)
    assert state.is_readable(workspace, state.users[ada.id])


def test_an_owner_can_lose_their_role(state: GitLabState, ada: GitLabUser) -> None:
    """And with it the right to read what they still own."""
    project = state.add_project("g/p", {ada: DEVELOPER})
    workspace = state.add_workspace(ada, "apple", project=project)

    state.set_access(project, ada, 0)

    assert not state.is_readable(workspace, ada)


@pytest.mark.parametrize(
    ("visibility", "external", "is_member", "expected"),
    [
        ("public", True, False, True),
        ("internal", False, False, True),
        ("internal", True, False, False),
        ("internal", True, True, True),
        ("private", False, False, False),
        ("private", False, True, True),
    ],
)
def test_who_may_read_a_project(
    state: GitLabState, ada: GitLabUser, visibility: str, *, external: bool, is_member: bool, expected: bool
) -> None:
    """External users see internal projects only as members."""
    visitor = state.add_user("visitor", external=external)
    members = {visitor.id: DEVELOPER} if is_member else {ada.id: OWNER}
    project = GitLabProject(1, "g/p", visibility, members)  # type: ignore[arg-type] # a row of the table

    assert project.is_readable_by(visitor) is expected


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        ("Running", "Stopped", "Starting"),
        ("Running", "Running", "Running"),
        ("Running", "Failed", "Starting"),
        ("Stopped", "Running", "Stopping"),
        ("Stopped", "Stopped", "Stopped"),
        ("RestartRequested", "Running", "Stopping"),
        ("Terminated", "Running", "Terminating"),
    ],
)
def test_a_wish_sets_the_agent_to_work(
    state: GitLabState, ada: GitLabUser, wanted: str, actual: str, expected: str
) -> None:
    """The actual state is what it is while the agent works; it says itself when it is done."""
    workspace = state.add_workspace(ada, "apple", actual_state=actual)

    assert state.want_state(workspace.id, wanted) == ()
    changed = state.workspaces[workspace.id]
    assert (changed.desired_state, changed.actual_state) == (wanted, expected)


def test_observers_can_start_what_is_wanted(state: GitLabState, ada: GitLabUser) -> None:
    """An observer sees the workspace before and after, and may report progress from within the call."""
    workspace = state.add_workspace(ada, "apple", actual_state="Stopped")
    seen: list[tuple[str, str]] = []

    def start(before: GitLabWorkspace, after: GitLabWorkspace) -> None:
        seen.append((before.actual_state, after.actual_state))
        if after.actual_state == "Starting":
            state.set_actual_state(after.id, "Running")

    state.subscribe(start)
    state.want_state(workspace.id, "Running")

    assert seen == [("Stopped", "Starting"), ("Starting", "Running")]
    assert state.workspaces[workspace.id].actual_state == "Running"


def test_a_restart_goes_on_to_run(state: GitLabState, ada: GitLabUser) -> None:
    """Once it has stopped, what is desired is Running again."""
    workspace = state.add_workspace(ada, "apple")
    state.want_state(workspace.id, "RestartRequested")

    state.set_actual_state(workspace.id, "Stopped")

    assert state.workspaces[workspace.id].desired_state == "Running"


def test_a_terminated_workspace_stays_so(state: GitLabState, ada: GitLabUser) -> None:
    """GitLab says why, and changes nothing."""
    workspace = state.add_workspace(ada, "apple")
    state.want_state(workspace.id, "Terminated")

    (against,) = state.want_state(workspace.id, "Running")

    assert against.startswith("is 'Terminated', and cannot be updated")
    assert state.workspaces[workspace.id].desired_state == "Terminated"


def test_a_word_that_is_no_state_is_refused(state: GitLabState, ada: GitLabUser) -> None:
    """As a wish it is an error for the caller, as a report a mistake of the test."""
    workspace = state.add_workspace(ada, "apple")

    assert state.want_state(workspace.id, "Asleep") == ("Desired state is not included in the list",)
    with pytest.raises(ValueError, match="Asleep"):
        state.set_actual_state(workspace.id, "Asleep")


def test_every_documented_actual_state_can_be_reported(state: GitLabState, ada: GitLabUser) -> None:
    """So that a page can be shown for each."""
    workspace = state.add_workspace(ada, "apple")

    for word in ACTUAL_STATES:
        state.set_actual_state(workspace.id, word)
        assert state.workspaces[workspace.id].actual_state == word


def test_users_are_found_by_number_and_by_name(state: GitLabState, ada: GitLabUser) -> None:
    """As in the paths of the REST API."""
    assert state.get_user(str(ada.id)) == state.get_user("ada") == ada
    assert state.get_user("nobody") is None


def test_a_project_token_acts_as_a_bot(state: GitLabState, ada: GitLabUser) -> None:
    """Its name says of which project, and it owns nothing."""
    project = state.add_project("g/p", {ada: OWNER})

    bot = state.add_bot(project)

    assert bot.bot
    assert bot.username.startswith(f"project_{project.id}_bot_")
