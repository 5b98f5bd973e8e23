"""A Service whose annotations a stranger wrote, from the manifest to routes (`routing.service`, `routing.discovery`).

An input is a list of annotations, of which each is a byte that says which, and a text that ends with a zero byte.

- The Service is one, or refused with a reason, and never an error.
- Every route lies within the zones, leads to the Service's own address, and is none of the portal.
- The levels of its ports are those of ports that can be, writing them again changes none, and a port that nobody
  declared is private, as is the editor's whatever anybody declares.
- A time-out is none, or one within the operator's maximum that is not too short.
- A host key is accepted by a pin only if the pin holds its fingerprint or its blob.
"""

import asyncssh

from auth.model import Visibility
from auth.visibility import effective_visibility
from config.settings import IdleSettings, VisibilitySettings
from config.values import IDLE_TIMEOUT_MIN
from gateway.idle.timeouts import find_timeout
from gateway.ssh.pod_keys import PodKeys
from routing.discovery import RoutingRules, derive_claim
from routing.model import Workspace, WorkspaceService
from routing.service import HOST_TEMPLATE, IDLE_TIMEOUT, SSH_HOST_KEY, WORKSPACE_ID, read_service
from routing.visibility_annotation import ANNOTATION, NotUnderstood, read_declared, write_declared

PORTAL, ZONE, ADDRESS = "portal.example.dev", "ws.example.dev", "10.0.0.7"
NAMES = (HOST_TEMPLATE, ANNOTATION, SSH_HOST_KEY, WORKSPACE_ID, IDLE_TIMEOUT)
LONGEST = 86_400
RULES = RoutingRules(PORTAL, (ZONE,))
KEY = asyncssh.import_public_key(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5zSmJRvBCSfpJTm2LMQYYyA4KXhcXiIkHXvbRLJvs8 somebody"
)
BLOB, FINGERPRINT = "AAAAC3NzaC1lZDI1NTE5AAAAIJ5zSmJRvBCSfpJTm2LMQYYyA4KXhcXiIkHXvbRLJvs8", KEY.get_fingerprint()
LEVELS = {"private": Visibility.PRIVATE, "internal": Visibility.INTERNAL, "public": Visibility.PUBLIC}


def check(data: bytes) -> None:
    annotations = {HOST_TEMPLATE: f"{{{{.port}}}}-apple.{ZONE}", WORKSPACE_ID: "7"}
    for item in data.split(b"\0"):
        if item:
            annotations[NAMES[item[0] % len(NAMES)]] = item[1:].decode("utf-8", "replace")
    service, refusals = read_service(manifest(annotations))
    if service is None:
        assert refusals
        assert all(refusal.reason for refusal in refusals)
    else:
        check_routes(service)
    check_levels(annotations)


def manifest(annotations: dict[str, str]) -> dict[str, object]:
    ports = [{"name": "http", "port": 80, "targetPort": 3000}, {"name": "editor-server", "port": 60001}]
    return {
        "metadata": {
            "name": "apple",
            "namespace": "ns",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"agent.gitlab.com/id": "1"},
            "annotations": annotations,
        },
        "spec": {"clusterIP": ADDRESS, "type": "ClusterIP", "selector": {"a": "b"}, "ports": ports},
    }


def check_routes(service: WorkspaceService) -> None:
    claim, refused = derive_claim(service, RULES)
    if claim is None:
        assert refused
        return
    check_pin(claim.workspace)
    check_timeout(claim.workspace)
    for route in claim.routes:
        assert route.host.endswith(f".{ZONE}")
        assert route.host != PORTAL
        assert route.upstream.address == ADDRESS
        declared = LEVELS.get(dict(service.visibility).get(route.port, ""), Visibility.PRIVATE)
        is_locked = route.port == 60001
        assert effective_visibility(route, VisibilitySettings()) == (Visibility.PRIVATE if is_locked else declared)


def check_levels(annotations: dict[str, str]) -> None:
    try:
        declared = read_declared(annotations)
    except NotUnderstood:
        return
    ports = [port for port, _ in declared]
    assert len(set(ports)) == len(ports)
    assert all(1 <= port <= 65535 for port in ports)
    again = {ANNOTATION: write_declared(annotations, 1, "private")}
    assert dict(read_declared(again)) == {**dict(declared), 1: "private"}


def check_timeout(workspace: Workspace) -> None:
    free = find_timeout(workspace, IdleSettings()).seconds
    assert free == 0 or free >= IDLE_TIMEOUT_MIN
    capped = find_timeout(workspace, IdleSettings(maximum=LONGEST)).seconds
    assert capped == min(free or LONGEST, LONGEST)


def check_pin(workspace: Workspace) -> None:
    pin = workspace.ssh_host_key
    if not PodKeys("refuse").judge(workspace, KEY).is_refused:
        assert not pin or FINGERPRINT in pin or BLOB in pin
