"""One Service becomes the claim it makes on hostnames, or the reasons why it may not. Pure.

Whatever a Service says was written by somebody who may be hostile: every part is checked here, and a part that
fails is refused with a reason while the rest still works.
"""

import socket
from dataclasses import dataclass

from routing.hostname import InvalidTemplate, is_within, render_host
from routing.model import Claim, Endpoint, Refusal, Route, ServicePort, Workspace, WorkspaceService

SSH_PORT_NAME = "ssh-server"  # GitLab's name for it (desired configuration of a workspace)


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """What a claim may not touch, whoever makes it."""

    portal_host: str
    zones: tuple[str, ...] = ()
    """Domains a host must lie in; empty means any."""
    ssh_port: int = 60022
    """The workspace's sshd, which is never an HTTP host."""


def derive_claim(service: WorkspaceService, rules: RoutingRules) -> tuple[Claim | None, tuple[Refusal, ...]]:
    """The claim of a Service (None where nothing of it can be used) and what of it was refused."""
    if not _is_address(service.cluster_ip):
        return None, (Refusal(service.key, f"no cluster address to dial: {service.cluster_ip[:64]!r}"),)
    workspace = _workspace(service, rules)
    routes: list[Route] = []
    refusals: list[Refusal] = []
    for port in service.ports:
        if _is_ssh(port, rules):
            continue
        try:
            routes.append(_route(service, workspace, port, rules))
        except InvalidTemplate as exc:
            refusals.append(Refusal(service.key, f"port {port.target_port}: {exc}"))
    return Claim(service.key, service.created, workspace, _distinct(routes)), tuple(refusals)


def _workspace(service: WorkspaceService, rules: RoutingRules) -> Workspace:
    ssh = next((port for port in service.ports if _is_ssh(port, rules)), None)
    return Workspace(
        id=service.workspace_id,
        # A Service that comes to speak for another workspace of GitLab is another workspace, whoever wrote so.
        uid=f"{service.uid}.{service.workspace_id}",
        name=service.name,
        namespace=service.namespace,
        agent_id=service.agent_id,
        state=service.state,
        ssh=Endpoint(service.cluster_ip, ssh.port) if ssh else None,
        ssh_host_key=service.ssh_host_key.strip(),
        idle_timeout=service.idle_timeout.strip(),
    )


def _route(service: WorkspaceService, workspace: Workspace, port: ServicePort, rules: RoutingRules) -> Route:
    host = render_host(service.host_template, port.target_port)
    if host == rules.portal_host:
        raise InvalidTemplate("the portal's own host cannot be claimed")
    if rules.zones and not any(is_within(host, zone) for zone in rules.zones):
        raise InvalidTemplate(f"{host} lies outside routing.zones")
    return Route(
        host=host,
        workspace=workspace,
        port=port.target_port,
        port_name=port.name,
        upstream=Endpoint(service.cluster_ip, port.port),
        declared=dict(service.visibility).get(port.target_port, "private"),
    )


def _distinct(routes: list[Route]) -> tuple[Route, ...]:
    # A template without {{.port}} gives every port the same host: the first port keeps it.
    by_host: dict[str, Route] = {}
    for route in routes:
        by_host.setdefault(route.host, route)
    return tuple(by_host.values())


def _is_ssh(port: ServicePort, rules: RoutingRules) -> bool:
    return port.name == SSH_PORT_NAME or port.target_port == rules.ssh_port


def _is_address(value: str) -> bool:
    # Headless ("None") and ExternalName Services have none; a name would mean DNS, and a way out of the cluster.
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, value)
        except (OSError, ValueError):
            continue
        return True
    return False
