"""What EndpointSlices say about the pod behind a Service: stopped, starting or running. Pure.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from collections.abc import Iterable

from routing.cluster_api import Manifest
from routing.model import WorkspaceState

_SERVICE_NAME = "kubernetes.io/service-name"
_ORDER = (WorkspaceState.RUNNING, WorkspaceState.STARTING, WorkspaceState.STOPPED)


def get_owner_key(manifest: Manifest) -> str | None:
    """The key of the Service that a slice belongs to."""
    metadata = manifest["metadata"]
    name = (metadata.get("labels") or {}).get(_SERVICE_NAME)
    return f"{metadata['namespace']}/{name}" if name else None


def read_slice(manifest: Manifest) -> WorkspaceState:
    """What one slice says. A pod on its way out counts as gone."""
    conditions = [endpoint.get("conditions") or {} for endpoint in manifest.get("endpoints") or ()]
    staying = [each for each in conditions if not each.get("terminating")]
    if any(each.get("ready") is not False for each in staying):  # "unknown" is to be read as ready
        return WorkspaceState.RUNNING
    return WorkspaceState.STARTING if staying else WorkspaceState.STOPPED


def state_of(slices: Iterable[WorkspaceState]) -> WorkspaceState:
    """What all slices of a Service say together. Without one nothing is known: a stopped workspace has an empty one."""
    told = set(slices)
    return next((state for state in _ORDER if state in told), WorkspaceState.UNKNOWN)
