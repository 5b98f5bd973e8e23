"""The rights that a gateway needs in a cluster, how to ask whether it has one, and what is lost without it. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Sequence
from dataclasses import dataclass

from routing.cluster_api import ENDPOINT_SLICES, SERVICES, ClusterAway, Manifest, Resource

REVIEWS = Resource("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")

_WANTED = (
    (SERVICES, ("list", "watch"), ""),
    (SERVICES, ("get", "patch"), "owners cannot change who may open a port"),
    (ENDPOINT_SLICES, ("list", "watch"), "a workspace that is stopped reads as one that does not answer"),
)


@dataclass(frozen=True, slots=True)
class Right:
    """To do something with the objects of a kind."""

    verb: str
    resource: Resource
    namespace: str
    """Empty for all of them."""
    loss: str
    """What does not work without it; empty where nothing works."""

    def __str__(self) -> str:
        where = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {self.resource.plural} {where}"


def wanted_rights(namespaces: Sequence[str]) -> tuple[Right, ...]:
    """Every right, needed or not, in the namespaces that are watched; none means all."""
    return tuple(
        Right(verb, resource, namespace, loss)
        for namespace in namespaces or ("",)
        for resource, verbs, loss in _WANTED
        for verb in verbs
    )


def review_of(right: Right) -> Manifest:
    """The question whether whoever asks it has the right."""
    _, _, group = right.resource.group.removesuffix("/v1").rpartition("/apis/")
    attributes = {"verb": right.verb, "resource": right.resource.plural, "namespace": right.namespace}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**attributes, "group": "" if group.startswith("/api") else group}},
    }


def read_review(manifest: Manifest) -> bool:
    """What the API server answered.

    Raises:
        ClusterAway: if that is no answer.
    """
    status = manifest.get("status")
    if not isinstance(status, dict) or not isinstance(status.get("allowed"), bool):
        raise ClusterAway("the answer to a SelfSubjectAccessReview says neither yes nor no")
    return bool(status["allowed"])
