"""Does the HTTP door answer where people knock: at the portal, and at a workspace's host?"""

import json
from urllib.parse import parse_qs, urlsplit

import aiohttp

from gateway.check.model import Finding, Status, fault, ok
from gateway.check.site import FROM_OUTSIDE, Site

_JSON_MAX = 64 * 1024  # bytes; the gateway's own answers have a few hundred


async def look_at_portal(site: Site) -> Finding:
    """It sends a person who wants to sign in to GitLab, as the application of these settings."""
    auth = site.settings.auth
    try:
        async with site.fetching(site.portal, "/auth/start", "text/html") as response:
            status, target = response.status, response.headers.get("Location", "")
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        return _silent(site, site.portal, exc)
    if status == 303 and parse_qs(urlsplit(target).query).get("client_id") == [auth.client_id]:
        return ok(f"{auth.portal_url} sends people to GitLab")
    if status == 303:
        return fault(
            f"{auth.portal_url} signs people in with another application than auth.client_id",
            "what answers there runs with other settings: restart the pods after a change of the Secret",
        )
    if status == 503:
        return fault(
            f"{auth.portal_url} answers 503",
            "no pod is ready, or the gateway cannot reach GitLab: see /readyz on the admin port and the log",
        )
    return fault(f"{auth.portal_url} answers {status}, as no gateway does", _LEADS_ELSEWHERE)


async def look_at_zones(site: Site) -> Finding:
    """A workspace's host is known to the gateway as one that it has to guard."""
    told = [await _look_at_zone(site, zone) for zone in site.zones]
    return next((finding for finding in told if finding.status is not Status.OK), told[0])


async def _look_at_zone(site: Site, zone: str) -> Finding:
    host = site.workspace_host(zone)
    try:
        async with site.fetching(host, "/", "application/json") as response:
            status, told = response.status, _record(await response.content.read(_JSON_MAX))
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        return _silent(site, host, exc)
    if status == 401 and str(told.get("sign_in_url", "")).startswith(site.settings.auth.portal_url):
        return ok(f"*.{zone} is guarded: whoever wants in has to sign in at the portal")
    if status == 404 and "request_id" in told:
        return ok(
            f"*.{zone} leads to the gateway, which knows no workspace there yet",
            f"set routing.zones to {zone}, so that nobody can find out which workspaces exist",
        )
    return fault(f"*.{zone} answers {status}, as no gateway does", _LEADS_ELSEWHERE)


_LEADS_ELSEWHERE = (
    "let the ingress, HTTPRoute or load balancer lead the portal's host and the wildcard to the HTTP Service of the "
    "gateway, with the Host header as it came"
)


def _silent(site: Site, host: str, exc: Exception) -> Finding:
    return fault(
        f"{host} does not answer on port {site.public_port}: {type(exc).__name__}",
        "check the ingress or load balancer, that a pod of the gateway is ready, and firewalls between here and there; "
        f"{FROM_OUTSIDE}",
    )


def _record(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
