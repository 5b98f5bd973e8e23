"""What is there of workspaces in the cluster, and may the gateway see it?"""

from collections.abc import Sequence

from gateway.check.model import Finding, fault, ok
from gateway.check.site import Site
from routing.cluster_api import ENDPOINT_SLICES, SERVICES, ClusterApi, ClusterFault, ClusterNotFound, Resource
from routing.discovery import RoutingRules
from routing.inventory import Delta, EndpointSlices, Inventory, Services
from routing.model import Relisted

_PAGE = 500  # nobody waits meanwhile


async def look_at_cluster(site: Site, rules: RoutingRules) -> Finding:
    """Every namespace that is watched, once; the table of the site then holds what they declare."""
    # Imported here: the library takes a second, which a check of a route file does without.
    from routing.kubernetes import open_cluster  # noqa: PLC0415 - see above

    try:
        async with open_cluster(site.settings.kubeconfig) as api:
            return await _look(site, rules, api)
    except ClusterNotFound as exc:
        return fault(str(exc), "set one of them, or run the check in the gateway's pod")


async def _look(site: Site, rules: RoutingRules, api: ClusterApi) -> Finding:
    slices, delta = EndpointSlices(), Delta()
    services = Services(rules, slices.state)
    places = site.settings.watch_namespaces or ("",)
    unseen = await _read(api, ENDPOINT_SLICES, places, slices, delta)
    closed = await _read(api, SERVICES, places, services, delta)
    claims = tuple(claim for claim in delta.claims.values() if claim is not None)
    refused = site.fill(Relisted(claims), delta.refusals)
    if closed:
        advice = "give the gateway's ServiceAccount get, list and watch on services there, or mend watch_namespaces"
        return fault(f"{site.known}; {'; '.join(closed)}", advice)
    if refused:
        return fault(
            f"{site.known}, and refused: {'; '.join(refused)}", "mend the Services that are named; the rest works"
        )
    if unseen:
        return ok(
            site.known,
            "with the right to read endpointslices the gateway also tells a stopped workspace from a silent one",
        )
    return ok(site.known)


async def _read(
    api: ClusterApi, resource: Resource, places: Sequence[str], inventory: Inventory, delta: Delta
) -> list[str]:
    """Put all objects into the inventory; what was in the way, a line for each namespace."""
    failures = []
    for place in places:
        try:
            await _read_pages(api, resource, place, inventory, delta)
        except ClusterFault as exc:
            failures.append(f"{place or 'all namespaces'}: {exc}")
    return failures


async def _read_pages(api: ClusterApi, resource: Resource, place: str, inventory: Inventory, delta: Delta) -> None:
    token = ""
    while True:
        page = await api.list_page(resource, place, _PAGE, token)
        for manifest in page.get("items") or []:
            inventory.put(manifest, delta)
        token = page["metadata"].get("continue", "")
        if not token:
            return
