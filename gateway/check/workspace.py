"""Do the ports of a workspace answer the gateway?"""

import asyncio

from gateway.check.model import Finding, fault, ok, unknown
from gateway.check.site import Site
from routing.model import Endpoint, Workspace

_POLICY = (
    "its NetworkPolicy lets in pods with the label app.kubernetes.io/name: gitlab-workspaces-proxy from the namespace "
    "that the agent's configuration names in gitlab_workspaces_proxy.namespace; look from inside of the cluster"
)
_VERSION_MAX = 255  # bytes, RFC 4253 section 4.2


async def look_at_ports(site: Site) -> Finding:
    """Each port is dialled; one that nobody listens on is its developer's affair, one that hangs the operator's."""
    workspace = site.get_workspace()
    if workspace is None:
        return _none(site)
    listening, silent = [], []
    for route in site.table.routes_of(workspace):
        try:
            await _greet(site, route.upstream, expected=False)
            listening.append(str(route.port))
        except ConnectionRefusedError:
            silent.append(str(route.port))
        except (OSError, TimeoutError) as exc:
            return fault(f"{workspace.name}: {route.upstream} does not answer: {_kind(site, exc)}", _POLICY)
    if not listening:
        return fault(
            f"nothing listens on any port of {workspace.name}",
            "is it running? see its log in GitLab, and in the pod /tmp/workspace-logs",
        )
    tail = f", nobody on {', '.join(silent)}" if silent else ""
    return ok(f"{workspace.name} listens on {', '.join(listening)}{tail}")


async def look_at_sshd(site: Site) -> Finding:
    """It says that it is an SSH server."""
    workspace = site.get_workspace()
    if workspace is None:
        return _none(site)
    if not site.settings.ssh.enabled:
        return unknown("ssh.enabled is false")
    if workspace.ssh is None:
        return fault(f"the Service of {workspace.name} has no SSH port", _image(workspace))
    try:
        version = await _greet(site, workspace.ssh, expected=True)
    except ConnectionRefusedError:
        return fault(f"no sshd listens in {workspace.name}", _image(workspace))
    except (OSError, TimeoutError) as exc:
        return fault(f"{workspace.name}: {workspace.ssh} does not answer: {_kind(site, exc)}", _POLICY)
    if not version.startswith(b"SSH-2.0-"):
        return fault(f"{workspace.ssh} of {workspace.name} is no SSH server", _image(workspace))
    return ok(f"{workspace.name} has {version.decode(errors='replace')}")


async def _greet(site: Site, endpoint: Endpoint, *, expected: bool) -> bytes:
    """Connect; the first line the other side says, where one is expected."""
    async with asyncio.timeout(site.patience):
        reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port, limit=_VERSION_MAX)
        try:
            return (await reader.read(_VERSION_MAX)).partition(b"\r\n")[0] if expected else b""
        finally:
            writer.transport.abort()


def _none(site: Site) -> Finding:
    if site.workspace:
        return fault(f"no workspace is called {site.workspace}", "the name is the one in the workspace's address")
    return unknown("there is no running workspace to try", "start one in GitLab and check again")


def _image(workspace: Workspace) -> str:
    return f"the image of {workspace.name} needs an sshd in its PATH: see helm/README.md on the image of a workspace"


def _kind(site: Site, exc: Exception) -> str:
    return f"nothing within {site.patience:g} s" if isinstance(exc, TimeoutError) else type(exc).__name__
