"""What routing asks of a Kubernetes API server, and how such a question can fail.

Objects are JSON as the server wrote it: of 100,000 Services only a few fields each are read, and full model objects
would cost ten times the time and memory. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

Manifest = dict[str, Any]
"""One object of the API, as JSON."""


def key_of(manifest: Manifest) -> str:
    """What names an object among those of its kind: `namespace/name`."""
    metadata = manifest["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, by its place in the API."""

    group: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Of one object, or of all in a namespace, or of all there are."""
        parts = (self.group, *(("namespaces", namespace) if namespace else ()), self.plural, *((name,) if name else ()))
        return "/".join(parts)


SERVICES = Resource("/api/v1", "services")
ENDPOINT_SLICES = Resource("/apis/discovery.k8s.io/v1", "endpointslices")

AGENT_LABEL = "agent.gitlab.com/id"
"""On every object of a workspace, and on the EndpointSlices of its Service, which inherit the Service's labels."""


class ClusterNotFound(Exception):
    """There is no cluster to take routes from. The text says what to set."""


class ClusterFault(Exception):
    """The API server did not do what it was asked; the text is for the operator."""

    retry_after: float = 0
    """Seconds the server asks to be left alone."""


class ClusterAway(ClusterFault):
    """It cannot be reached, is not ready, or does not speak the API."""


class ClusterRefused(ClusterFault):
    """It answered with a refusal."""

    def __init__(self, status: int, message: str, retry_after: float = 0) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.retry_after = retry_after


class Forbidden(ClusterRefused):
    """The gateway lacks the right (RBAC), or its credentials are not accepted."""


class Missing(ClusterRefused):
    """There is no such object, or no such namespace."""


class Conflicting(ClusterRefused):
    """Somebody else changed the object since it was read."""


class Expired(ClusterRefused):
    """The version to go on from is forgotten (410 Gone): only a new list helps."""


class ClusterApi(Protocol):
    """One cluster's API server."""

    async def list_page(self, resource: Resource, namespace: str, limit: int, token: str) -> Manifest:
        """At most `limit` objects that carry the agent's label, from where the token of the page before points.

        Raises:
            ClusterFault: Expired where the token is too old.
        """

    def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[list[Manifest]]:
        """Events since a version, as many at once as arrived together; ends where the server ends it.

        Raises:
            ClusterFault: Expired where the version is too old.
        """

    async def get_service(self, namespace: str, name: str) -> Manifest:
        """One Service as it is now.

        Raises:
            ClusterFault: Missing, Forbidden.
        """

    async def patch_service(self, namespace: str, name: str, patch: Manifest) -> Manifest:
        """The Service after a JSON merge patch (RFC 7386).

        Raises:
            ClusterFault: Conflicting where the patch names another version than the present one.
        """
