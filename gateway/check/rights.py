"""Does the cluster let the gateway read the Services of workspaces, and write what owners say about their ports?"""

from collections.abc import Iterable

from gateway.check.model import Finding, fault, ok, unknown
from gateway.check.site import Site
from routing.cluster_api import ClusterFault, ClusterNotFound
from routing.rights import Right, wanted_rights

_GRANT = (
    "let the chart grant it (rbac.enabled, rbac.visibility, rbac.endpointSlices, watchNamespaces), or grant it to the "
    "ServiceAccount yourself"
)


async def look_at_rights(site: Site) -> Finding:
    """Each right is asked for by a SelfSubjectAccessReview, which everybody in a cluster may do."""
    if site.settings.routing.file is not None:
        return unknown("routes come from routing.file; no cluster is asked")
    # Imported here: the library takes a second, which a check of a route file does without.
    from routing.kubernetes import open_cluster  # noqa: PLC0415 - see above

    rights = wanted_rights(site.settings.watch_namespaces)
    try:
        async with open_cluster(site.settings.kubeconfig) as cluster:
            missing = [right for right in rights if not await cluster.check_allowed(right)]
    except ClusterNotFound as exc:
        return fault(str(exc), "set one of them, or run the check in the gateway's pod")
    except ClusterFault as exc:
        advice = "check kubeconfig, its credentials, and the network between here and the API server"
        return fault(f"the API server could not be asked: {exc}", advice)
    needed = [right for right in missing if not right.loss]
    if needed:
        return fault(f"the gateway may not {_listed(needed)}", _GRANT)
    if missing:
        return ok(f"Services can be read; the gateway may not {_listed(missing)}", f"{_losses(missing)}: {_GRANT}")
    return ok(f"all {len(rights)} rights are granted")


def _listed(rights: Iterable[Right]) -> str:
    return ", ".join(map(str, rights))


def _losses(rights: Iterable[Right]) -> str:
    return " and ".join(dict.fromkeys(right.loss for right in rights))
