"""Can the gateway read where the workspaces are?"""

from gateway.check.cluster import look_at_cluster
from gateway.check.model import Finding, fault, ok
from gateway.check.site import Site
from gateway.routes.source import rules_of
from routing.file import RouteFile, RouteFileError


async def look_at_routes(site: Site) -> Finding:
    """All of them, by the rules of the gateway; the steps after this one know the workspaces by it."""
    settings = site.settings
    rules = rules_of(settings)
    if settings.routing.file is None:
        return await look_at_cluster(site, rules)
    try:
        change, refusals = RouteFile(settings.routing.file, rules).read()
    except RouteFileError as exc:
        return fault(" ".join(str(exc).split("\n")), "mend the file; the README shows what it holds")
    refused = site.fill(change, refusals)
    if refused:
        return fault(f"{site.known}, and refused: {'; '.join(refused)}", "mend what is named; the rest works")
    return ok(site.known)
