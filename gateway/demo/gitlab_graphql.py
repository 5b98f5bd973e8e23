"""The stand-in GitLab's GraphQL endpoint: graphql-core executes, the state answers.

Statuses and shapes of answers are GitLab's. The texts of syntax and validation errors are graphql-core's, so nobody
may rely on them.
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from graphql import ExecutionResult, GraphQLError, execute_sync, parse, validate

from gateway.demo.gitlab_connection import connection
from gateway.demo.gitlab_credentials import Caller, present
from gateway.demo.gitlab_model import GitLabProject, GitLabUser, GitLabWorkspace, iso
from gateway.demo.gitlab_schema import gid, new_schema, number_of
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.gitlab_tokens import Refusal

MAX_QUERY = 10_000  # characters; GitLab's documented limit

NO_LICENCE = "'remote_development' licensed feature is not available"
NO_RESOURCE = (
    "The resource that you are attempting to access does not exist or you don't have permission to perform this action"
)

_LEVELS = {0: "NO_ACCESS", 5: "MINIMAL_ACCESS", 10: "GUEST", 15: "PLANNER", 20: "REPORTER"} | {
    30: "DEVELOPER",
    40: "MAINTAINER",
    50: "OWNER",
}

Node = dict[str, Any]


class GraphQLEndpoint:
    """`POST /api/graphql`."""

    def __init__(self, state: GitLabState, base: Callable[[], str]) -> None:
        self._state = state
        self._base = base
        self._schema = new_schema()

    async def post(self, request: web.Request) -> web.Response:
        caller = present(self._state, request)
        if isinstance(caller, Refusal):
            return _errors("Invalid token", 401)
        if caller is not None and not caller[0].has_scope("api", "read_api"):
            return _errors("Invalid token", 401)
        if caller is not None and not caller[1].is_active:
            return _errors("API not accessible for user", 403)
        try:
            asked = json.loads(await request.text())
        except ValueError:
            return _errors("Error occurred while parsing request parameters", 400)
        if not isinstance(asked, dict):
            return _errors("Unexpected end of document", 422)
        return self._answer(asked, caller)

    def _answer(self, asked: Node, caller: Caller | None) -> web.Response:
        query, variables = asked.get("query") or "", asked.get("variables") or {}
        if len(query) > MAX_QUERY:
            return _errors("Query too large", 422)
        if isinstance(variables, str):
            try:
                variables = json.loads(variables)
            except ValueError:
                return _errors("Variables are invalid JSON", 422)
        if not isinstance(variables, dict):
            return _errors("Unexpected parameter: variables must be an object", 422)
        if not query:
            return _errors("No query string was present", 200)
        return web.json_response(self._execute(query, variables, asked.get("operationName"), caller))

    def _execute(self, query: str, variables: Node, operation: str | None, caller: Caller | None) -> Node:
        try:
            document = parse(query)
        except GraphQLError as fault:
            return {"errors": [fault.formatted]}
        if faults := validate(self._schema, document):
            return {"errors": [fault.formatted for fault in faults]}
        root = Root(self._state, self._base(), caller)
        result = execute_sync(self._schema, document, root, variable_values=variables, operation_name=operation)
        return _told(result)


class Root:
    """The fields of Query and Mutation for one caller; graphql-core calls them by their names."""

    def __init__(self, state: GitLabState, base: str, caller: Caller | None) -> None:
        self._state = state
        self._base = base
        self._token = caller[0] if caller is not None else None
        self._user = caller[1] if caller is not None else None

    def currentUser(self, _info: object) -> Node | None:  # noqa: N802 - the field's name
        if self._user is None:
            return None
        return self._person(self._user) | {"workspaces": self.workspaces}

    def workspace(self, _info: object, **wanted: int) -> Node | None:
        self._need_licence()
        workspace = self._state.workspaces.get(wanted["id"])
        if workspace is None or not self._state.is_readable(workspace, self._user):
            return None
        return self._workspace(workspace)

    def workspaces(self, _info: object, **wanted: Any) -> Node:
        self._need_licence()
        own = [
            workspace
            for workspace in self._state.workspaces.values()
            if self._user is not None
            and workspace.owner_id == self._user.id
            and self._state.is_readable(workspace, self._user)
            and _is_wanted(workspace, wanted)
        ]
        return connection([self._workspace(workspace) for workspace in own], wanted)

    def projects(self, _info: object, **wanted: Any) -> Node:
        ids = wanted.get("ids")
        numbers = None if ids is None else {number_of(value, "Project") for value in ids}
        readable = [
            self._project(project)
            for project in self._state.projects.values()
            if (numbers is None or project.id in numbers) and project.is_readable_by(self._user)
        ]
        return connection(readable, wanted)

    def workspaceUpdate(self, _info: object, **wanted: Any) -> Node:  # noqa: N802 - the field's name
        asked = wanted["input"]
        workspace = self._state.workspaces.get(asked["id"])
        may_write = self._token is not None and self._token.has_scope("api")
        if workspace is None or not may_write or not self._state.is_readable(workspace, self._user):
            raise GraphQLError(NO_RESOURCE)
        self._need_licence()
        against = self._state.want_state(workspace.id, asked.get("desiredState") or "")
        changed = None if against else self._workspace(self._state.workspaces[workspace.id])
        return {"workspace": changed, "errors": list(against), "clientMutationId": asked.get("clientMutationId")}

    def _need_licence(self) -> None:
        if not self._state.has_licence:
            raise GraphQLError(NO_LICENCE)

    def _person(self, user: GitLabUser) -> Node:
        return {
            "id": gid("User", user.id),
            "username": user.username,
            "name": user.name,
            "state": user.state,
            "active": user.is_active,
            "bot": user.bot,
            "webUrl": f"{self._base}/{user.username}",
        }

    def _project(self, project: GitLabProject) -> Node:
        level = project.access_of(self._user)
        return {
            "id": gid("Project", project.id),
            "name": project.path.rpartition("/")[2],
            "fullPath": project.path,
            "visibility": project.visibility,
            "maxAccessLevel": {"integerValue": level, "stringValue": _LEVELS.get(level)},
            "userPermissions": {"readProject": True},
        }

    def _workspace(self, workspace: GitLabWorkspace) -> Node:
        agent = self._state.agents[workspace.agent_id]
        return {
            "id": workspace.gid,
            "clusterAgent": {
                "id": gid("Clusters::Agent", agent.id),
                "name": agent.name,
                "project": self._project(self._state.projects[agent.project_id]),
            },
            "projectId": gid("Project", workspace.project_id),
            "user": self._person(self._state.users[workspace.owner_id]),
            "name": workspace.name,
            "namespace": workspace.namespace,
            "desiredState": workspace.desired_state,
            "desiredStateUpdatedAt": iso(workspace.desired_state_updated),
            "actualState": workspace.actual_state,
            "respondedToAgentAt": iso(workspace.responded) if workspace.responded is not None else None,
            "url": workspace.url,
            "projectRef": workspace.project_ref,
            "devfilePath": workspace.devfile_path,
            "devfile": workspace.devfile,
            "processedDevfile": workspace.processed_devfile,
            "deploymentResourceVersion": 1,
            "desiredConfigGeneratorVersion": 3,
            "workspacesAgentConfigVersion": 1,
            "forceIncludeAllResources": False,
            "createdAt": iso(workspace.created),
            "updatedAt": iso(workspace.updated),
            "workspaceVariables": connection([], {}),
        }


def _is_wanted(workspace: GitLabWorkspace, wanted: Node) -> bool:
    asked = (
        ("ids", workspace.id),
        ("projectIds", workspace.project_id),
        ("agentIds", workspace.agent_id),
        ("actualStates", workspace.actual_state),
    )
    return all(wanted.get(name) is None or value in wanted[name] for name, value in asked)


def _told(result: ExecutionResult) -> Node:
    faults = [fault.formatted for fault in result.errors or ()]
    if result.data is None and all("path" not in fault for fault in faults):
        return {"errors": faults}
    return {"data": result.data} | ({"errors": faults} if faults else {})


def _errors(message: str, status: int) -> web.Response:
    return web.json_response({"errors": [{"message": message}]}, status=status)
