"""All that the stand-in GitLab remembers, and the rules about who may see and change a workspace.

No I/O, and nothing waits: whoever wants to act on a change (start a process, say) subscribes to it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import count
from typing import Literal

from gateway.demo.gitlab_grants import AuthorizationServer
from gateway.demo.gitlab_model import (
    ACTUAL_STATES,
    DESIRED_STATES,
    DEVELOPER,
    MAINTAINER,
    OWNER,
    GitLabAgent,
    GitLabKey,
    GitLabProject,
    GitLabUser,
    GitLabWorkspace,
    UsageType,
    UserState,
    underway,
)
from gateway.demo.gitlab_tokens import Clock, Refusal, Token, TokenStore, digest

WorkspaceObserver = Callable[[GitLabWorkspace, GitLabWorkspace], None]
"""Called with the workspace as it was and as it is."""


class GitLabState:
    """Users, projects, agents, workspaces, tokens and applications of one GitLab."""

    def __init__(self, clock: Clock = time.time) -> None:
        self.clock = clock
        self.users: dict[int, GitLabUser] = {}
        self.projects: dict[int, GitLabProject] = {}
        self.agents: dict[int, GitLabAgent] = {}
        self.workspaces: dict[int, GitLabWorkspace] = {}
        self.tokens = TokenStore(clock)
        self.oauth = AuthorizationServer(self.tokens, clock)
        self.has_licence = True
        """Without it every workspace field answers that the feature is not available."""
        self._observers: list[WorkspaceObserver] = []
        self._ids = count(1)

    def __repr__(self) -> str:
        return f"<GitLabState {len(self.users)} users, {len(self.workspaces)} workspaces>"

    def add_user(
        self,
        username: str,
        *,
        name: str = "",
        state: UserState = "active",
        bot: bool = False,
        external: bool = False,
        admin: bool = False,
    ) -> GitLabUser:
        user = GitLabUser(
            id=next(self._ids),
            username=username,
            name=name or username.capitalize(),
            created=self.clock(),
            state=state,
            bot=bot,
            external=external,
            admin=admin,
        )
        self.users[user.id] = user
        return user

    def add_bot(self, project: GitLabProject) -> GitLabUser:
        """The user that an access token of this project acts as."""
        return self.add_user(f"project_{project.id}_bot_{next(self._ids):x}", name="A project token", bot=True)

    def add_key(
        self,
        user: GitLabUser,
        key: str,
        *,
        title: str = "key",
        usage_type: UsageType = "auth_and_signing",
        expires: float | None = None,
    ) -> GitLabKey:
        added = GitLabKey(next(self._ids), key.strip(), title, self.clock(), usage_type, expires)
        held = self.users[user.id]
        self.users[user.id] = replace(held, keys=(*held.keys, added))
        return added

    def block(self, user: GitLabUser, state: UserState = "blocked") -> None:
        """Their tokens stay, and are refused with 403 until `unblock`."""
        self.users[user.id] = replace(self.users[user.id], state=state)

    def unblock(self, user: GitLabUser) -> None:
        self.block(user, "active")

    def require_dpop(self, user: GitLabUser) -> None:
        self.users[user.id] = replace(self.users[user.id], requires_dpop=True)

    def get_user(self, id_or_username: int | str) -> GitLabUser | None:
        if isinstance(id_or_username, int) or id_or_username.isdecimal():
            return self.users.get(int(id_or_username))
        return next((user for user in self.users.values() if user.username == id_or_username), None)

    def add_token(
        self,
        user: GitLabUser,
        scopes: Sequence[str] = ("api",),
        *,
        expires_on: date | None = None,
        prefix: str = "glpat-",
        name: str = "a token",
    ) -> str:
        """A personal access token (of a bot: a project access token). It dies at 00:00 UTC of `expires_on`."""
        return self.tokens.issue_personal(user.id, tuple(scopes), prefix=prefix, name=name, expires_on=expires_on)

    def add_oauth_token(self, user: GitLabUser, scopes: Sequence[str] = ("api",)) -> str:
        """An OAuth access token that came from elsewhere, without a refresh token."""
        family = self.tokens.new_family()
        return self.tokens.issue_oauth(user.id, tuple(scopes), client_id="elsewhere", family=family)

    def revoke(self, token: str) -> None:
        self.tokens.revoke(digest(token))

    def present(self, token: str) -> tuple[Token, GitLabUser] | Refusal:
        """Use a token; the first use of a refreshed access token ends the refresh token it came from."""
        found = self.tokens.use(token)
        if isinstance(found, Refusal):
            return found
        self.oauth.confirm(found)
        return found, self.users[found.user_id]

    def add_project(
        self,
        path: str,
        members: Mapping[GitLabUser, int] | None = None,
        *,
        visibility: Literal["private", "internal", "public"] = "private",
    ) -> GitLabProject:
        levels = {user.id: level for user, level in (members or {}).items()}
        project = GitLabProject(next(self._ids), path, visibility, levels)
        self.projects[project.id] = project
        return project

    def set_access(self, project: GitLabProject, user: GitLabUser, level: int) -> None:
        """Make `user` a member with this level; 0 removes them."""
        held = self.projects[project.id]
        self.projects[project.id] = replace(held, members={**held.members, user.id: level})

    def add_agent(self, name: str, project: GitLabProject) -> GitLabAgent:
        agent = GitLabAgent(next(self._ids), name, project.id)
        self.agents[agent.id] = agent
        return agent

    def add_workspace(
        self,
        owner: GitLabUser,
        name: str,
        *,
        id: int | None = None,  # noqa: A002 - the word GitLab and the annotation use
        project: GitLabProject | None = None,
        agent: GitLabAgent | None = None,
        namespace: str = "",
        url: str = "",
        actual_state: str = "Running",
        desired_state: str = "",
        desired_for: float = 0,
    ) -> GitLabWorkspace:
        """A workspace of `owner`, who owns its project unless one is given, in its desired state for some seconds."""
        project = project or self.add_project(f"{owner.username}/{name}", {owner: OWNER})
        agent = agent or self.add_agent("agent", self.add_project(f"agents/{name}"))
        now = self.clock()
        workspace = GitLabWorkspace(
            id=id if id is not None else next(self._ids),
            name=name,
            owner_id=owner.id,
            project_id=project.id,
            agent_id=agent.id,
            namespace=namespace or f"gl-rd-ns-{name}",
            url=url or f"https://60001-{name}.workspaces.example.com/?folder=%2Fprojects%2F{name}",
            desired_state=desired_state or ("Stopped" if actual_state == "Stopped" else "Running"),
            actual_state=actual_state,
            created=now,
            updated=now,
            desired_state_updated=now - desired_for,
            responded=now,
        )
        self.workspaces[workspace.id] = workspace
        return workspace

    def subscribe(self, observer: WorkspaceObserver) -> None:
        """Have `observer` called at every change of a workspace's desired or actual state."""
        self._observers.append(observer)

    def set_actual_state(self, workspace_id: int, actual_state: str) -> None:
        """What the agent reports. A restart that has stopped goes on to run."""
        if actual_state not in ACTUAL_STATES:
            raise ValueError(f"{actual_state} is no actual state")
        before = self.workspaces[workspace_id]
        is_restart = before.desired_state == "RestartRequested" and actual_state == "Stopped"
        now = self.clock()
        self._replace(
            replace(
                before,
                actual_state=actual_state,
                desired_state="Running" if is_restart else before.desired_state,
                responded=now,
                updated=now,
            )
        )

    def set_owner(self, workspace_id: int, owner: GitLabUser) -> None:
        self._replace(replace(self.workspaces[workspace_id], owner_id=owner.id))

    def remove_workspace(self, workspace_id: int) -> None:
        del self.workspaces[workspace_id]

    def want_state(self, workspace_id: int, desired_state: str) -> tuple[str, ...]:
        """Change the desired state as `workspaceUpdate` does; what GitLab says against it, or nothing."""
        before = self.workspaces[workspace_id]
        if desired_state not in DESIRED_STATES:
            return ("Desired state is not included in the list",)
        if before.desired_state == "Terminated":
            return ("is 'Terminated', and cannot be updated. Create a new workspace instead.",)
        now = self.clock()
        actual = underway(desired_state, before.actual_state)
        self._replace(
            replace(before, desired_state=desired_state, actual_state=actual, desired_state_updated=now, updated=now)
        )
        return ()

    def is_readable(self, workspace: GitLabWorkspace, user: GitLabUser | None) -> bool:
        """An administrator, whoever maintains the agent's project, and an owner who is still a Developer."""
        if user is None or not user.is_active:
            return False
        agent_project = self.projects[self.agents[workspace.agent_id].project_id]
        is_owner = workspace.owner_id == user.id and self.projects[workspace.project_id].access_of(user) >= DEVELOPER
        return user.admin or is_owner or agent_project.access_of(user) >= MAINTAINER

    def _replace(self, after: GitLabWorkspace) -> None:
        before = self.workspaces[after.id]
        self.workspaces[after.id] = after
        for observer in self._observers:
            observer(before, after)
