"""Keeps a port's declared visibility in the annotation of its Service: the cluster is the database.

A merge patch that names the version it was made for, so that of two replicas at once neither undoes the other; and a
field of its own for a server-side apply, so that the agent's hourly one leaves it alone.
"""

from collections.abc import Callable

from routing.cluster_api import ClusterApi, ClusterFault, Conflicting, Forbidden, Manifest
from routing.model import Workspace
from routing.visibility_annotation import ANNOTATION, write_declared
from routing.visibility_store import VisibilityNotAllowed, VisibilityNotStored, VisibilityStore

_TRIES = 8  # each lost one means that somebody else's change was taken


class ServiceVisibility(VisibilityStore):
    """Writes the level into the annotation of the workspace's Service."""

    def __init__(self, api: ClusterApi, written: Callable[[Manifest], None]) -> None:
        """`written` gets the Service as it is after each change, so that nobody need wait for the watch."""
        self._api = api
        self._written = written

    async def declare(self, workspace: Workspace, port: int, level: str) -> None:
        try:
            self._written(await self._patch(workspace, port, level))
        except Forbidden as exc:
            raise VisibilityNotAllowed(f"grant the verbs get and patch on services: {exc}") from exc
        except ClusterFault as exc:
            raise VisibilityNotStored(str(exc)) from exc

    async def _patch(self, workspace: Workspace, port: int, level: str) -> Manifest:
        lost = None
        for _ in range(_TRIES):
            service = await self._api.get_service(workspace.namespace, workspace.name)
            metadata = service["metadata"]
            if not workspace.uid.startswith(f"{metadata['uid']}."):
                raise VisibilityNotStored(f"the Service {workspace.namespace}/{workspace.name} was made anew")
            annotation = write_declared(metadata.get("annotations") or {}, port, level)
            change = {"resourceVersion": metadata["resourceVersion"], "annotations": {ANNOTATION: annotation}}
            try:
                return await self._api.patch_service(workspace.namespace, workspace.name, {"metadata": change})
            except Conflicting as exc:
                lost = exc
        raise VisibilityNotStored(f"others changed the Service {_TRIES} times in between: {lost}")
