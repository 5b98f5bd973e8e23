"""Changes how open a port is, for its owner alone and never beyond what the policy allows. Every change is audited.

Whoever asks, on the portal or through the API, comes with a GitLab token; GitLab says whose workspace it is.
"""

import re
from dataclasses import dataclass, replace

from pydantic import SecretStr

from auth.model import NOBODYS_WORKSPACE, Denied, Granted, Unavailable
from auth.visibility import LEVELS
from gateway.answers import GITLAB_UNAVAILABLE, TOKEN_REFUSED, UNKNOWN_WORKSPACE, Answer
from gateway.portal.parts import PortalParts
from routing.model import Route, Workspace
from routing.visibility_store import VisibilityNotAllowed, VisibilityNotStored

_NUMBER = re.compile("[0-9]{1,5}")

NO_PORT = Answer(
    404, "no_port", "There is no such port", "This workspace has no port of this number that can be shared."
)
BAD_LEVEL = Answer(400, "bad_visibility", "That is no visibility", "A port is private, internal or public.")
LIMITED = Answer(403, "visibility_limited", "This port cannot be opened that far", "")
NOT_STORED = Answer(
    503,
    "visibility_not_stored",
    "The change could not be kept",
    "The gateway could not write to where the routes come from; nothing was changed.",
    retry_after=30,
)
NOT_ALLOWED = Answer(
    503,
    "visibility_not_allowed",
    "The gateway may not change this",
    "It lacks the right to write to the workspace's Service; nothing was changed.",
    hint="An administrator of the cluster gives it the verb patch on services (rbac.visibility in the Helm chart).",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants a port to be."""

    workspace: str
    port: str
    level: str
    via: str
    """portal or api; for the audit log."""
    request_id: str


async def share(parts: PortalParts, token: SecretStr, wish: Wish) -> Route | Answer:
    """The route with its new declaration, or why there is none."""
    workspace = parts.directory.get_workspace(wish.workspace)
    # Of a workspace that nobody knows GitLab is asked all the same, so that the two take equally long.
    match await parts.access.decide_workspace(token, workspace.id if workspace else NOBODYS_WORKSPACE):
        case Granted(user) if workspace is not None:
            return await _share(parts, workspace, wish, user.id)
        case Unavailable(_, retry_after):
            return replace(GITLAB_UNAVAILABLE, retry_after=retry_after)
        case Denied(is_token_refused=True):
            return TOKEN_REFUSED
        case Denied(reason):
            parts.log.info("audit.visibility_refused", **_facts(wish), reason=reason)
            return UNKNOWN_WORKSPACE
        case _:
            return UNKNOWN_WORKSPACE


async def _share(parts: PortalParts, workspace: Workspace, wish: Wish, user_id: int) -> Route | Answer:
    route = next((route for route in parts.directory.routes_of(workspace) if str(route.port) == wish.port), None)
    if route is None:
        return NO_PORT
    level = LEVELS.get(wish.level)
    if level is None:
        return BAD_LEVEL
    limit = parts.access.limit(route)
    if level > limit.level:
        return replace(LIMITED, text=limit.reason)
    try:
        await parts.visibility.declare(workspace, route.port, wish.level)
    except VisibilityNotStored as fault:
        parts.log.warning(
            "visibility.not_stored",
            workspace=workspace.name,
            port=route.port,
            error=str(fault),
            request_id=wish.request_id,
        )
        return NOT_ALLOWED if isinstance(fault, VisibilityNotAllowed) else NOT_STORED
    parts.log.info(
        "audit.visibility_changed",
        user_id=user_id,
        workspace_id=workspace.id,
        **_facts(wish),
        before=route.declared,
        after=wish.level,
    )
    return replace(route, declared=wish.level)


def _facts(wish: Wish) -> dict[str, object]:
    facts = {"workspace": wish.workspace, "port": wish.port, "via": wish.via, "request_id": wish.request_id}
    told: dict[str, object] = {name: value[:64] for name, value in facts.items()}
    return told | {"port": int(wish.port)} if _NUMBER.fullmatch(wish.port) else told
