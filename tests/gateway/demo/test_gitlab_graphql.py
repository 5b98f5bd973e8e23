"""GraphQL over a real socket: transport, validation, who reads which workspace, and starting one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_graphql import MAX_QUERY
from gateway.demo.gitlab_model import DEVELOPER, OWNER, GitLabUser, GitLabWorkspace
from gateway.demo.gitlab_schema import new_schema
from gateway.demo.gitlab_state import GitLabState

WORKSPACE = (
    "query($id: RemoteDevelopmentWorkspaceID!) { currentUser { id } workspace(id: $id) { id name user { id } } }"
)
UPDATE = """mutation($input: WorkspaceUpdateInput!) {
  workspaceUpdate(input: $input) { workspace { desiredState actualState } errors clientMutationId }
}"""
INVALID_TOKEN = (401, {"errors": [{"message": "Invalid token"}]})


@dataclass
class Site:
    """A served stand-in with a user and their workspace, and a client."""

    gitlab: StandInGitLab
    client: ClientSession
    user: GitLabUser
    workspace: GitLabWorkspace

    @property
    def state(self) -> GitLabState:
        return self.gitlab.state

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        async with self.client.post(f"{self.gitlab.url}/api/graphql", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask(self, query: str, token: str = "", **variables: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.post({"query": query, "variables": variables}, headers)

    async def read(self, reader: GitLabUser) -> Any:
        """What this user gets for the workspace."""
        _status, told = await self.ask(WORKSPACE, self.state.add_token(reader, ["read_api"]), id=self.workspace.gid)
        assert "errors" not in told
        return told["data"]["workspace"]

    async def update(self, token: str, desired: str) -> tuple[int, Any]:
        return await self.ask(UPDATE, token, input={"id": self.workspace.gid, "desiredState": desired})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = GitLabState()
    user = state.add_user("ada")
    workspace = state.add_workspace(user, "apple-bear-blue", id=993, actual_state="Stopped")
    gitlab = StandInGitLab(state)
    async with gitlab.serve(), ClientSession() as client:
        yield Site(gitlab, client, user, workspace)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"PRIVATE-TOKEN": ""}, {"Authorization": "x"}])
async def test_a_blank_token_is_anonymous(site: Site, headers: dict[str, str]) -> None:
    """Status 200 and no current user: whoever takes 200 for a valid token lets everybody in."""
    answer = await site.post({"query": "{ currentUser { id } }"}, headers)

    assert answer == (200, {"data": {"currentUser": None}})


async def test_a_bad_token_is_invalid_whatever_the_reason(site: Site) -> None:
    """Unknown, revoked or without the right scope: one answer for all."""
    revoked = site.state.add_token(site.user)
    site.state.revoke(revoked)

    for token in ("nonsense", revoked, site.state.add_token(site.user, ["read_user"])):
        assert await site.ask("{ currentUser { id } }", token) == INVALID_TOKEN


@pytest.mark.parametrize("scope", ["api", "read_api"])
async def test_two_scopes_may_read(site: Site, scope: str) -> None:
    """By personal and by OAuth token."""
    for token in (site.state.add_token(site.user, [scope]), site.state.add_oauth_token(site.user, [scope])):
        assert (await site.ask("{ currentUser { username } }", token))[1] == {
            "data": {"currentUser": {"username": "ada"}}
        }


async def test_a_personal_token_may_come_in_its_own_header(site: Site) -> None:
    """PRIVATE-TOKEN, as for REST."""
    headers = {"PRIVATE-TOKEN": site.state.add_token(site.user)}

    _status, told = await site.post({"query": "{ currentUser { bot } }"}, headers)

    assert told == {"data": {"currentUser": {"bot": False}}}


async def test_a_blocked_user_gets_403(site: Site) -> None:
    """With a message of its own."""
    token = site.state.add_token(site.user)
    site.state.block(site.user)

    status, told = await site.ask("{ currentUser { id } }", token)

    assert (status, told) == (403, {"errors": [{"message": "API not accessible for user"}]})


async def test_the_two_queries_of_gitlabs_own_proxy_work(site: Site) -> None:
    """Ownership is the equality of two global ids."""
    token = site.state.add_token(site.user)
    _status, who = await site.ask("query{currentUser{id,name,username}}", token)
    query = (
        "query($workspaceID:RemoteDevelopmentWorkspaceID!){workspace(id:$workspaceID){id,name,user{id,name,username}}}"
    )
    _status, what = await site.ask(query, token, workspaceID="gid://gitlab/RemoteDevelopment::Workspace/993")

    assert who["data"]["currentUser"]["id"] == f"gid://gitlab/User/{site.user.id}"
    assert what["data"]["workspace"]["user"] == who["data"]["currentUser"]


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nonsense }",
        "{ workspace { id } }",
        '{ workspace(id: "nonsense") { id } }',
        '{ workspace(id: "gid://gitlab/User/1") { id } }',
        "query($id: String!) { workspace(id: $id) { id } }",
        "{ currentUser { id { x } } }",
        '{ workspace(id: "gid://gitlab/RemoteDevelopment::Workspace/993") { editor } }',
        '{ workspace(id: "gid://gitlab/RemoteDevelopment::Workspace/993") { devfileRef } }',
        '{ workspace(id: "gid://gitlab/RemoteDevelopment::Workspace/993") { maxHoursBeforeTermination } }',
        "mutation { nonsense }",
    ],
)
async def test_an_invalid_document_has_errors_and_no_data(site: Site, query: str) -> None:
    """Status 200. The fields that GitLab has deprecated are invalid too."""
    status, told = await site.ask(query, site.state.add_token(site.user), id="x")

    assert (status, set(told)) == (200, {"errors"})
    assert all({"message", "locations"} <= set(fault) for fault in told["errors"])


@pytest.mark.parametrize("value", ["993", "nonsense", "gid://gitlab/User/993", 993, None, ["x"]])
async def test_an_invalid_variable_has_errors_and_no_data(site: Site, value: Any) -> None:
    """A global id must be one of a workspace."""
    status, told = await site.ask(WORKSPACE, site.state.add_token(site.user), id=value)

    assert (status, set(told)) == (200, {"errors"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "{ currentUser { id } }" + " " * MAX_QUERY}, 422),
        ({"query": "{ currentUser { id } }", "variables": "nonsense"}, 422),
        ({"query": "{ currentUser { id } }", "variables": [1]}, 422),
        ([], 422),
        ({"query": ""}, 200),
        ({}, 200),
    ],
)
async def test_a_request_that_is_none_has_only_errors(site: Site, body: Any, status: int) -> None:
    """A query of more than 10,000 characters among them."""
    answer, told = await site.post(body)

    assert (answer, set(told)) == (status, {"errors"})


async def test_a_query_of_10000_characters_is_executed(site: Site) -> None:
    """The limit itself is allowed."""
    query = "{ currentUser { id } }"

    answer = await site.post({"query": query + " " * (MAX_QUERY - len(query))})

    assert answer == (200, {"data": {"currentUser": None}})


async def test_a_body_that_is_no_json_is_refused(site: Site) -> None:
    """With 400."""
    async with site.client.post(f"{site.gitlab.url}/api/graphql", data=b"{") as answer:
        assert answer.status == 400


async def test_variables_may_be_json_in_a_string(site: Site) -> None:
    """As some clients send them; and the operation is chosen by its name."""
    query = "query A { currentUser { id } } query B($n: Int) { projects(first: $n) { nodes { id } } }"

    _status, told = await site.post({"query": query, "variables": '{"n": 1}', "operationName": "B"})

    assert told == {"data": {"projects": {"nodes": []}}}


@pytest.mark.parametrize(
    ("role", "is_found"),
    [
        ("owner", True),
        ("administrator", True),
        ("agent maintainer", True),
        ("project owner", False),
        ("anybody", False),
    ],
)
async def test_who_gets_a_workspace(site: Site, role: str, *, is_found: bool) -> None:
    """Everybody else gets null without an error, so readable is not the same as allowed: compare the owner."""
    state, reader = site.state, site.user
    if role != "owner":
        reader = state.add_user("reader", admin=role == "administrator")
    if role == "agent maintainer":
        agent = state.agents[site.workspace.agent_id]
        state.set_access(state.projects[agent.project_id], reader, 40)
    if role == "project owner":
        state.set_access(state.projects[site.workspace.project_id], reader, OWNER)

    found = await site.read(reader)

    assert (found is not None) is is_found
    if found is not None:
        assert (found["user"]["id"] == f"gid://gitlab/User/{reader.id}") is (role == "owner")


async def test_an_owner_who_is_no_developer_gets_null(site: Site) -> None:
    """Being the owner is not enough."""
    project = site.state.projects[site.workspace.project_id]

    site.state.set_access(project, site.user, DEVELOPER - 10)
    assert await site.read(site.user) is None
    site.state.set_access(project, site.user, DEVELOPER)
    assert await site.read(site.user) is not None


async def test_an_unknown_workspace_is_null(site: Site) -> None:
    """The same answer as for one that may not be read."""
    token = site.state.add_token(site.user)

    _status, told = await site.ask(WORKSPACE, token, id="gid://gitlab/RemoteDevelopment::Workspace/1")

    assert told == {"data": {"currentUser": {"id": f"gid://gitlab/User/{site.user.id}"}, "workspace": None}}


async def test_every_field_of_a_workspace_has_a_value_of_its_type(site: Site) -> None:
    """The answer passes graphql-core's own checks for every scalar field of the type."""
    schema = new_schema()
    simple = [name for name, field in schema.type_map["Workspace"].fields.items() if "{" not in _selection(field.type)]  # type: ignore[attr-defined]  # graphql-core types it wider than it is
    query = f'{{ workspace(id: "{site.workspace.gid}") {{ {" ".join(simple)} user {{ state }} clusterAgent {{ name }} '
    query += "workspaceVariables { nodes { key } } } }"

    _status, told = await site.ask(query, site.state.add_token(site.user))

    assert "errors" not in told
    assert told["data"]["workspace"]["namespace"] == "gl-rd-ns-apple-bear-blue"
    assert told["data"]["workspace"]["actualState"] == "Stopped"


def _selection(kind: object) -> str:
    """A selection for types that need one."""
    return "{}" if str(kind).rstrip("!") in {"UserCore", "ClusterAgent", "WorkspaceVariableConnection"} else ""


async def test_without_a_licence_the_field_has_an_error(site: Site) -> None:
    """Status 200, null, and a path."""
    site.state.has_licence = False

    status, told = await site.ask(WORKSPACE, site.state.add_token(site.user), id=site.workspace.gid)

    assert status == 200
    assert told["data"]["workspace"] is None
    (fault,) = told["errors"]
    assert fault["path"] == ["workspace"]
    assert fault["message"] == "'remote_development' licensed feature is not available"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ["apple-bear-blue", "second"]),
        ('(actualStates: ["Running"])', ["second"]),
        ('(ids: ["gid://gitlab/RemoteDevelopment::Workspace/993"])', ["apple-bear-blue"]),
        ('(projectIds: ["gid://gitlab/Project/99999"])', []),
        ("(first: 1)", ["apple-bear-blue"]),
        ("(last: 1)", ["second"]),
    ],
)
async def test_the_lists_hold_ones_own_workspaces(site: Site, arguments: str, expected: list[str]) -> None:
    """Also an administrator's: what others own is not in them."""
    site.state.add_workspace(site.user, "second")
    site.state.add_workspace(site.state.add_user("eve"), "of-eve")
    own = f"workspaces{arguments} {{ nodes {{ name }} }}"
    query = f"{{ {own} currentUser {{ {own} }} }}"

    _status, told = await site.ask(query, site.state.add_token(site.user))

    for found in (told["data"]["workspaces"], told["data"]["currentUser"]["workspaces"]):
        assert [node["name"] for node in found["nodes"]] == expected


async def test_a_list_can_be_walked_by_cursors(site: Site) -> None:
    """Forth and back; a cursor that is none is an error of the field."""
    for number in range(2):
        site.state.add_workspace(site.user, f"w{number}")
    token = site.state.add_token(site.user)
    query = """query($after: String, $before: String) {
      workspaces(first: 2, after: $after, before: $before) {
        edges { node { name } } pageInfo { hasNextPage hasPreviousPage endCursor startCursor } } }"""

    _status, first = await site.ask(query, token)
    page = first["data"]["workspaces"]["pageInfo"]
    assert (page["hasNextPage"], page["hasPreviousPage"]) == (True, False)
    _status, second = await site.ask(query, token, after=page["endCursor"])
    assert [edge["node"]["name"] for edge in second["data"]["workspaces"]["edges"]] == ["w1"]
    start = second["data"]["workspaces"]["pageInfo"]["startCursor"]
    assert (await site.ask(query, token, before=start))[1]["data"] == first["data"]
    _status, bad = await site.ask(query, token, after="?")
    assert bad["errors"][0]["path"] == ["workspaces"]


async def test_a_project_tells_the_callers_level(site: Site) -> None:
    """A public one is readable by all, so membership shows in the level only."""
    public = site.state.add_project("g/public", visibility="public")
    mine = site.state.projects[site.workspace.project_id]
    hidden = site.state.add_project("g/hidden")
    ids = [f"gid://gitlab/Project/{project.id}" for project in (public, mine, hidden)]
    query = """query($ids: [ID!]) { projects(ids: $ids) { nodes {
      id visibility maxAccessLevel { integerValue stringValue } userPermissions { readProject } } } }"""

    _status, told = await site.ask(query, site.state.add_token(site.user), ids=ids)

    levels = {node["id"]: node["maxAccessLevel"] for node in told["data"]["projects"]["nodes"]}
    assert levels == {
        ids[0]: {"integerValue": 0, "stringValue": "NO_ACCESS"},
        ids[1]: {"integerValue": 50, "stringValue": "OWNER"},
    }


async def test_a_stopped_workspace_can_be_started(site: Site) -> None:
    """It is starting at once, and running when its agent says so."""
    status, told = await site.update(site.state.add_token(site.user), "Running")

    assert status == 200
    assert told["data"]["workspaceUpdate"] == {
        "workspace": {"desiredState": "Running", "actualState": "Starting"},
        "errors": [],
        "clientMutationId": None,
    }
    site.state.set_actual_state(993, "Running")
    assert site.state.workspaces[993].actual_state == "Running"


async def test_what_speaks_against_an_update_is_in_errors(site: Site) -> None:
    """Not an error of the field, and no workspace beside it."""
    token = site.state.add_token(site.user)
    await site.update(token, "Terminated")

    _status, told = await site.update(token, "Running")

    payload = told["data"]["workspaceUpdate"]
    assert payload["workspace"] is None
    assert payload["errors"][0].startswith("is 'Terminated', and cannot be updated")


async def test_only_who_may_read_may_update_and_only_with_api(site: Site) -> None:
    """A stranger, a read_api token and nobody get the same: no such resource."""
    stranger = site.state.add_token(site.state.add_user("eve"))
    reading = site.state.add_token(site.user, ["read_api"])

    for token in (stranger, reading, ""):
        _status, told = await site.update(token, "Running")
        assert told["data"] == {"workspaceUpdate": None}
        assert "does not exist or you don't have permission" in told["errors"][0]["message"]
    assert site.state.workspaces[993].desired_state == "Stopped"
