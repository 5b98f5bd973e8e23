"""Is the host key usable, and is it the gateway that people's ssh reaches?"""

from gateway.check.model import Finding, fault, ok, unknown
from gateway.check.site import FROM_OUTSIDE, Site, Unresolved
from gateway.ssh.authorities import AuthorityUnreadable, load_authorities
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.probe import find_shown_keys, own_keys

_OFF = "ssh.enabled is false"


async def look_at_host_keys(site: Site) -> Finding:
    """Those of the settings."""
    if not site.settings.ssh.enabled:
        return unknown(_OFF)
    try:
        return ok(str(own_keys(site.settings.ssh)))
    except HostKeyUnreadable as exc:
        return fault(str(exc), "make one with `ssh-keygen -t ed25519 -N '' -f ssh-host-key` and give that")


async def look_at_authorities(site: Site) -> Finding:
    """Those who sign certificates of users."""
    try:
        authorities = load_authorities(site.settings.ssh)
    except AuthorityUnreadable as exc:
        return fault(f"ssh.user_ca_files: {exc}", "give the public half of the authority's key, one a line")
    return ok(f"{len(authorities)} from {', '.join(map(str, site.settings.ssh.user_ca_files))}")


async def look_at_ssh_door(site: Site) -> Finding:
    """What answers at the address that people type shows one of our keys."""
    ssh = site.settings.ssh
    if not ssh.enabled:
        return unknown(_OFF)
    host, port = ssh.public_host or site.portal, ssh.public_port or ssh.port
    try:
        address = (await site.find_addresses(host))[0]
    except Unresolved as exc:
        return fault(str(exc), "make a DNS record for it, or set ssh.public_host to the name that people use")
    try:
        shown = await find_shown_keys(address, port, site.patience)
    except (OSError, TimeoutError) as exc:
        return _silent(site, f"{host}:{port} ({address})", exc)
    if set(shown.fingerprints) <= set(own_keys(ssh).fingerprints):
        return ok(f"{host}:{port} is the gateway: {shown}")
    return fault(
        f"{host}:{port} is an SSH server with another host key: {shown}",
        "it may be the sshd of a node: give the SSH Service an address or port of its own and set ssh.public_host and "
        "ssh.public_port to it; or a gateway with another key: restart the pods after a change of it",
    )


def _silent(site: Site, where: str, exc: Exception) -> Finding:
    what = f"{where} does not answer as an SSH server does: {str(exc) or type(exc).__name__}"
    if site.settings.ssh.proxy_protocol and isinstance(exc, ConnectionError):
        return unknown(what, "from an address in ssh.proxy_protocol only a load balancer gets in; look from elsewhere")
    return fault(
        what,
        "check the address of the SSH Service and firewalls; where people use another name or port than the portal's "
        f"host and ssh.port, set ssh.public_host and ssh.public_port; {FROM_OUTSIDE}",
    )
