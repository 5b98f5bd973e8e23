"""Do the portal and the workspaces have names that lead somewhere, and to the same place?"""

from gateway.check.model import Finding, fault, ok
from gateway.check.site import Site, Unresolved


async def look_at_portal_name(site: Site) -> Finding:
    """The host of auth.redirect_uri."""
    try:
        addresses = await site.find_addresses(site.portal)
    except Unresolved as exc:
        return fault(str(exc), f"make a DNS record {site.portal} that leads to the ingress or load balancer")
    return ok(f"{site.portal} leads to {', '.join(addresses)}")


async def look_at_zone_names(site: Site) -> Finding:
    """A name below each zone that nobody can have made by hand, so that it takes a wildcard record."""
    found = []
    for zone in site.zones:
        record = f"*.{zone}"
        try:
            addresses = await site.find_addresses(site.workspace_host(zone))
        except Unresolved:
            return fault(
                f"{record} does not resolve",
                f"make a wildcard DNS record {record} that leads to where {site.portal} leads; if workspaces have "
                "another zone, set routing.zones",
            )
        found.append(f"{record} leads to {', '.join(addresses)}")
        if not await _shares(site, addresses):
            found[-1] += f", {site.portal} elsewhere"
    return ok("; ".join(found))


async def _shares(site: Site, addresses: tuple[str, ...]) -> bool:
    try:
        return bool(set(addresses) & set(await site.find_addresses(site.portal)))
    except Unresolved:
        return True  # said by the step that looks at the portal's name
