"""The types of the stand-in GitLab's GraphQL API, written from https://docs.gitlab.com/api/graphql/reference/.

Fields that GitLab has deprecated are left out, so that a query which still selects them fails here first.
"""

from functools import partial

from graphql import GraphQLSchema, build_schema

_SDL = '''
scalar Time
scalar RemoteDevelopmentWorkspaceID
scalar ProjectID
scalar ClustersAgentID
scalar UserID

enum UserState { active blocked deactivated banned ldap_blocked blocked_pending_approval }
enum AccessLevelEnum { NO_ACCESS MINIMAL_ACCESS GUEST PLANNER REPORTER DEVELOPER MAINTAINER OWNER ADMIN }

type PageInfo { hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String, endCursor: String }

interface User {
  id: UserID!
  username: String!
  name: String!
  state: UserState!
  active: Boolean
  bot: Boolean!
  webUrl: String!
}
type UserCore implements User {
  id: UserID!
  username: String!
  name: String!
  state: UserState!
  active: Boolean
  bot: Boolean!
  webUrl: String!
}
type CurrentUser implements User {
  id: UserID!
  username: String!
  name: String!
  state: UserState!
  active: Boolean
  bot: Boolean!
  webUrl: String!
  workspaces(
    ids: [RemoteDevelopmentWorkspaceID!], projectIds: [ProjectID!], agentIds: [ClustersAgentID!],
    actualStates: [String!], after: String, before: String, first: Int, last: Int
  ): WorkspaceConnection
}

type AccessLevel { integerValue: Int, stringValue: AccessLevelEnum }
type ProjectPermissions { readProject: Boolean! }
type Project {
  id: ID!
  name: String!
  fullPath: ID!
  visibility: String
  maxAccessLevel: AccessLevel!
  userPermissions: ProjectPermissions!
}
type ProjectEdge { cursor: String!, node: Project }
type ProjectConnection { nodes: [Project], edges: [ProjectEdge], pageInfo: PageInfo! }

type ClusterAgent { id: ID!, name: String, project: Project }

type WorkspaceVariable { id: ID!, key: String, value: String, variableType: String }
type WorkspaceVariableConnection { nodes: [WorkspaceVariable], pageInfo: PageInfo! }

type Workspace {
  id: RemoteDevelopmentWorkspaceID!
  clusterAgent: ClusterAgent!
  projectId: ID!
  user: UserCore!
  name: String!
  namespace: String!
  desiredState: String!
  desiredStateUpdatedAt: Time!
  actualState: String!
  respondedToAgentAt: Time
  url: String!
  projectRef: String!
  devfilePath: String
  devfile: String!
  processedDevfile: String!
  deploymentResourceVersion: Int
  desiredConfigGeneratorVersion: Int!
  workspacesAgentConfigVersion: Int!
  forceIncludeAllResources: Boolean!
  createdAt: Time!
  updatedAt: Time!
  workspaceVariables: WorkspaceVariableConnection
}
type WorkspaceEdge { cursor: String!, node: Workspace }
type WorkspaceConnection { nodes: [Workspace], edges: [WorkspaceEdge], pageInfo: PageInfo! }

type Query {
  currentUser: CurrentUser
  workspace(id: RemoteDevelopmentWorkspaceID!): Workspace
  """Those of the caller only."""
  workspaces(
    ids: [RemoteDevelopmentWorkspaceID!], projectIds: [ProjectID!], agentIds: [ClustersAgentID!],
    actualStates: [String!], after: String, before: String, first: Int, last: Int
  ): WorkspaceConnection
  projects(ids: [ID!], after: String, before: String, first: Int, last: Int): ProjectConnection
}

input WorkspaceUpdateInput { id: RemoteDevelopmentWorkspaceID!, desiredState: String, clientMutationId: String }
type WorkspaceUpdatePayload { workspace: Workspace, errors: [String!]!, clientMutationId: String }

type Mutation { workspaceUpdate(input: WorkspaceUpdateInput!): WorkspaceUpdatePayload }
'''

_MODELS = {
    "RemoteDevelopmentWorkspaceID": "RemoteDevelopment::Workspace",
    "ProjectID": "Project",
    "ClustersAgentID": "Clusters::Agent",
    "UserID": "User",
}


def gid(model: str, number: int) -> str:
    return f"gid://gitlab/{model}/{number}"


def number_of(value: object, model: str) -> int:
    """The number in a global id, which must be one of `model`."""
    head, _, number = str(value).rpartition("/")
    if not isinstance(value, str) or not head.startswith("gid://gitlab/") or not number.isdecimal():
        raise ValueError(f'"{value}" is not a valid Global ID')
    if head != f"gid://gitlab/{model}":
        raise ValueError(f'"{value}" does not represent an instance of {model}')
    return int(number)


def new_schema() -> GraphQLSchema:
    """The schema; global ids arrive in the resolvers as numbers."""
    schema = build_schema(_SDL)
    for name, model in _MODELS.items():
        for coercion in ("coerce_input_value", "parse_value"):  # as graphql-core 3.3 and 3.2 call it
            setattr(schema.type_map[name], coercion, partial(number_of, model=model))
    return schema
