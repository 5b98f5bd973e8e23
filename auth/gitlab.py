"""Asks GitLab who somebody is and what is theirs: the port to GitLab, and its client.

The port is what decisions are made from. The client speaks GitLab's REST and GraphQL API (https://docs.gitlab.com/api/)
and is strict: an answer that is not as documented is GitLab being unavailable, never a yes.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

from pydantic import SecretStr

from auth.calls import Calls, Observer, Reply, open_calls
from auth.model import (
    NOBODYS_WORKSPACE,
    GitLabUnavailable,
    Ownership,
    ScopeMissing,
    TokenRefused,
    User,
    WorkspaceRecord,
)
from config.settings import AuthSettings

API_SCOPES = ("api", "read_api")  # either lets a token ask GraphQL
WRITING_SCOPE = "api"  # the other one may not ask for a change
_USER_GID = "gid://gitlab/User/"
_WORKSPACE_GID = "gid://gitlab/RemoteDevelopment::Workspace/"
_ID_DIGITS = 18  # fits GitLab's 64-bit ids; more would make it fail instead of finding nothing
_QUOTE_MAX = 200  # characters of GitLab's own words in a log line

_CURRENT_USER = "currentUser { id username }"
_WORKSPACE = "id name actualState desiredState desiredStateUpdatedAt user { id }"
_OWNERSHIP = f"query($id: RemoteDevelopmentWorkspaceID!) {{ {_CURRENT_USER} workspace(id: $id) {{ {_WORKSPACE} }} }}"
_UPDATE = "mutation($input: WorkspaceUpdateInput!) { workspaceUpdate(input: $input) { errors } }"
# One page: nobody runs a hundred workspaces, and a page that lists more could not be read.
_WORKSPACES = f"{{ {_CURRENT_USER} workspaces(first: 100) {{ nodes {{ {_WORKSPACE} }} }} }}"


class GitLab(Protocol):
    """What decisions need from GitLab. Each raises TokenRefused, ScopeMissing or GitLabUnavailable."""

    async def find_user(self, token: SecretStr) -> User:
        """Whose the token is."""

    async def find_ownership(self, token: SecretStr, workspace_id: str) -> Ownership:
        """Whose the token is and, in the same round trip, the workspace; whatever the id, GitLab is asked."""

    async def find_workspaces(self, token: SecretStr) -> tuple[WorkspaceRecord, ...]:
        """The workspaces of the token's user."""

    async def want_state(self, token: SecretStr, workspace_id: str, desired: str) -> tuple[str, ...]:
        """Ask for the workspace to be Running or Stopped; what GitLab says against it, or nothing.

        ScopeMissing: the token may read, but change nothing.
        """


class GitLabClient(GitLab):
    """GitLab over HTTP."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def find_user(self, token: SecretStr) -> User:
        reply = await self.calls.ask("user", f"{self.calls.base}/api/v4/user", token=token)
        if reply.status in (401, 403):
            raise refusal(reply)
        return parse_user(_expect_ok(reply))

    async def find_ownership(self, token: SecretStr, workspace_id: str) -> Ownership:
        asked = workspace_id if _is_id(workspace_id) else NOBODYS_WORKSPACE
        data = await self._query(token, _OWNERSHIP, {"id": f"{_WORKSPACE_GID}{asked}"})
        told = data.get("workspace")
        workspace = None if told is None else _workspace(told)
        # GitLab takes 0993 for 993; an annotation that says 0993 is not about workspace 993.
        is_asked_for = workspace is not None and workspace.id == workspace_id
        return Ownership(_current_user(data), workspace if is_asked_for else None)

    async def find_workspaces(self, token: SecretStr) -> tuple[WorkspaceRecord, ...]:
        data = await self._query(token, _WORKSPACES, {})
        visitor = _current_user(data)
        connection = data.get("workspaces")
        nodes = connection.get("nodes") if isinstance(connection, dict) else None
        if not isinstance(nodes, list):
            raise _strange("workspaces without nodes")
        return tuple(record for record in map(_workspace, nodes) if record.owner_id == visitor.id)

    async def want_state(self, token: SecretStr, workspace_id: str, desired: str) -> tuple[str, ...]:
        asked = {"id": f"{_WORKSPACE_GID}{workspace_id}", "desiredState": desired}
        told = await self._ask(token, _UPDATE, {"input": asked})
        if told.get("errors"):
            if await self.may_only_read(token):
                raise ScopeMissing("the token has read_api and not api")
            return (_first_message(told["errors"]),)
        data = told.get("data")
        update = data.get("workspaceUpdate") if isinstance(data, dict) else None
        errors = update.get("errors") if isinstance(update, dict) else None
        if not isinstance(errors, list):
            raise _strange("an update without errors")
        return tuple(str(error)[:_QUOTE_MAX] for error in errors)

    async def _query(self, token: SecretStr, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        told = await self._ask(token, query, variables)
        if told.get("errors"):
            raise _strange(_first_message(told["errors"]))
        if not isinstance(told.get("data"), dict):
            raise _strange("no data")
        data: dict[str, Any] = told["data"]
        return data

    async def _ask(self, token: SecretStr, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """What GraphQL answered to a token that may ask it, errors of fields included."""
        document = {"query": query, "variables": variables}
        reply = await self.calls.ask("graphql", f"{self.calls.base}/api/graphql", token=token, document=document)
        if reply.status == 401:
            raise await self._explain_refusal(token)
        if reply.status == 403:
            raise TokenRefused("graphql answered 403: the user may not use the API")
        return _expect_ok(reply)

    async def may_only_read(self, token: SecretStr) -> bool:
        """Whether GitLab refused a change for want of the scope api, which GraphQL says in no other words than that
        there is nothing to be changed. Personal tokens tell their scopes here, OAuth tokens there."""
        base = self.calls.base
        reply = await self.calls.ask("token_self", f"{base}/api/v4/personal_access_tokens/self", token=token)
        scopes = (reply.get_record() or {}).get("scopes")
        if reply.status == 400:
            reply = await self.calls.ask("token_info", f"{base}/oauth/token/info", token=token)
            scopes = (reply.get_record() or {}).get("scope")
        return reply.status == 200 and isinstance(scopes, list) and WRITING_SCOPE not in scopes

    async def _explain_refusal(self, token: SecretStr) -> TokenRefused:
        """GraphQL answers every bad token alike; this endpoint takes personal tokens of any scope and tells more.

        To a valid OAuth token it answers 400 instead (https://docs.gitlab.com/api/personal_access_tokens/).
        """
        url = f"{self.calls.base}/api/v4/personal_access_tokens/self"
        try:
            reply = await self.calls.ask("token_self", url, token=token)
        except GitLabUnavailable as fault:
            return TokenRefused(f"graphql answered 401, and {fault.operator}")
        if reply.status == 400:
            return ScopeMissing("the OAuth token has neither api nor read_api")
        if reply.status != 200:
            return TokenRefused(f"graphql answered 401, token_self {reply.status}")
        scopes = (reply.get_record() or {}).get("scopes")
        if isinstance(scopes, list) and not any(scope in scopes for scope in API_SCOPES):
            return ScopeMissing("the token has neither api nor read_api")
        return TokenRefused("graphql answered 401 to a token that seems valid")


@asynccontextmanager
async def open_gitlab(
    settings: AuthSettings, observe: Observer, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[GitLabClient]:
    """A client of the configured GitLab while the block runs. Opening it asks GitLab nothing."""
    async with open_calls(settings, observe, clock) as calls:
        yield GitLabClient(calls)


def _expect_ok(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise reply.nonsense("no answer to the question")
    return reply.find_record()


def refusal(reply: Reply) -> TokenRefused:
    """RFC 6750, section 3.1, names the one refusal that another token of the same person would not get."""
    record = reply.get_record()
    if record is not None and record.get("error") == "insufficient_scope":
        return ScopeMissing(f"{reply.endpoint} answered {reply.status}: insufficient scope")
    return TokenRefused(f"{reply.endpoint} answered {reply.status}")


def parse_user(told: Mapping[str, Any]) -> User:
    """A user as the REST API describes them. Raises GitLabUnavailable where it is no user."""
    number, username, state = told.get("id"), told.get("username"), told.get("state")
    if type(number) is not int or not isinstance(username, str) or not isinstance(state, str):
        raise _strange("a user without id, username or state")
    # Documented for GET /user; where `external` is missing all the same, the narrower reading is the safe one.
    return User(number, username, state, bot=told.get("bot") is True, external=told.get("external") is not False)


def _current_user(data: Mapping[str, Any]) -> User:
    told = data.get("currentUser")
    if told is None:
        raise TokenRefused("graphql answered as to nobody")
    if not isinstance(told, dict) or not isinstance(told.get("username"), str):
        raise _strange("a current user without a name")
    return User(int(_number(told.get("id"), _USER_GID)), told["username"])


def _workspace(told: Any) -> WorkspaceRecord:
    if not isinstance(told, dict) or not isinstance(told.get("user"), dict):
        raise _strange("a workspace without an owner")
    name, state, desired = told.get("name"), told.get("actualState"), told.get("desiredState")
    if not isinstance(name, str) or not isinstance(state, str) or not isinstance(desired, str):
        raise _strange("a workspace without a name or a state")
    owner = int(_number(told["user"].get("id"), _USER_GID))
    since = _moment(told.get("desiredStateUpdatedAt"))
    return WorkspaceRecord(_number(told.get("id"), _WORKSPACE_GID), name, owner, state, desired, since)


def _moment(told: object) -> float:
    """Unix time of a `Time`, which is ISO 8601 (https://docs.gitlab.com/api/graphql/reference/#time)."""
    try:
        return datetime.fromisoformat(told).timestamp() if isinstance(told, str) else 0.0
    except ValueError as exc:
        raise _strange("a time that is none") from exc


def _number(gid: object, prefix: str) -> str:
    number = gid.removeprefix(prefix) if isinstance(gid, str) and gid.startswith(prefix) else ""
    if not _is_id(number):
        raise _strange("an id that is none")
    return number


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _ID_DIGITS


def _first_message(errors: object) -> str:
    """GitLab's own words, such as that a licensed feature is not available: the operator needs them."""
    first = errors[0] if isinstance(errors, list) else None
    message = first.get("message") if isinstance(first, dict) else None
    return f"the error {str(message)[:_QUOTE_MAX]!r}"


def _strange(what: str) -> GitLabUnavailable:
    return GitLabUnavailable(f"GitLab answered with {what}")
