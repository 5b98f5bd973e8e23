"""Pages of a list as GraphQL connections cut them (https://relay.dev/graphql/connections.htm)."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError

MAX_PAGE = 100  # GitLab's default limit of a page


def connection(nodes: Sequence[dict[str, Any]], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A page of `nodes` cut by first, last, after and before; a cursor holds a position."""
    start = _position(wanted.get("after"), -1) + 1
    end = min(_position(wanted.get("before"), len(nodes)), len(nodes))
    if wanted.get("last") is not None and wanted.get("first") is None:
        start = max(start, end - min(wanted["last"], MAX_PAGE))
    end = min(end, start + min(wanted.get("first") or MAX_PAGE, MAX_PAGE))
    edges = [{"cursor": _cursor(at), "node": nodes[at]} for at in range(start, max(start, end))]
    return {
        "nodes": [edge["node"] for edge in edges],
        "edges": edges,
        "pageInfo": {
            "hasNextPage": end < len(nodes),
            "hasPreviousPage": start > 0,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _position(cursor: str | None, default: int) -> int:
    if cursor is None:
        return default
    try:
        return int(base64.urlsafe_b64decode(cursor))
    except ValueError as fault:
        raise GraphQLError("Please provide a valid cursor") from fault
