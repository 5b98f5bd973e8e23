"""One Service as the API server writes it becomes the parts that routing reads, or the reason why it is refused. Pure.

The server vouches for the types of the fields and for nothing else: annotations are a stranger's text.
https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from routing.cluster_api import AGENT_LABEL, Manifest, key_of
from routing.model import Refusal, ServicePort, WorkspaceService
from routing.visibility_annotation import Declared, NotUnderstood, read_declared

HOST_TEMPLATE = "workspaces.gitlab.com/host-template"
WORKSPACE_ID = "workspaces.gitlab.com/id"
SSH_HOST_KEY = "workspaces.gitlab.com/ssh-host-key"
IDLE_TIMEOUT = "workspaces.gitlab.com/idle-timeout"

PORTS_MAX = 128  # of one Service: more than any devfile names, so that one Service cannot fill the table
_ID = re.compile(r"[1-9][0-9]{0,18}\Z")  # a number of GitLab's database


def read_service(manifest: Manifest) -> tuple[WorkspaceService | None, tuple[Refusal, ...]]:
    """The Service of a workspace (None where it is none, or may not be one), and what of it was refused."""
    metadata, spec, key = manifest["metadata"], manifest.get("spec", {}), key_of(manifest)
    annotations = metadata.get("annotations") or {}
    agent_id = (metadata.get("labels") or {}).get(AGENT_LABEL, "")
    if not agent_id or HOST_TEMPLATE not in annotations or WORKSPACE_ID not in annotations:
        return None, ()  # other objects of an agent carry its label too
    if reason := _get_reason_against(annotations[WORKSPACE_ID], spec):
        return None, (Refusal(key, reason),)
    refusals: list[Refusal] = []
    ports = tuple(_read_ports(spec.get("ports") or [], key, refusals))
    service = WorkspaceService(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]).timestamp(),
        workspace_id=annotations[WORKSPACE_ID],
        agent_id=sys.intern(agent_id),
        host_template=annotations[HOST_TEMPLATE],
        cluster_ip=spec["clusterIP"],
        ports=ports,
        visibility=_read_visibility(annotations, key, refusals),
        ssh_host_key=annotations.get(SSH_HOST_KEY, ""),
        idle_timeout=annotations.get(IDLE_TIMEOUT, ""),
    )
    return service, tuple(refusals)


def _get_reason_against(workspace_id: str, spec: dict[str, Any]) -> str:
    if not _ID.match(workspace_id):
        return f"{WORKSPACE_ID} is no number: {workspace_id[:64]!r}"
    if spec.get("type") == "ExternalName":
        return "an ExternalName Service leads out of the cluster"
    if spec.get("clusterIP", "") in ("", "None"):
        return "a headless Service has no address to dial"
    if not spec.get("selector"):
        return "a Service without a selector leads wherever somebody wrote"
    return ""


def _read_ports(ports: list[dict[str, Any]], key: str, refusals: list[Refusal]) -> Iterator[ServicePort]:
    for index, port in enumerate(ports):
        target = port.get("targetPort", port["port"])
        if index == PORTS_MAX:
            refusals.append(Refusal(key, f"has {len(ports)} ports, of which the first {PORTS_MAX} count"))
            return
        if port.get("protocol", "TCP") != "TCP":
            refusals.append(Refusal(key, f"port {port['port']}: {port['protocol']} is not TCP"))
        elif not isinstance(target, int):
            refusals.append(Refusal(key, f"port {port['port']}: a targetPort must be a number, because hosts show it"))
        else:
            yield ServicePort(sys.intern(port.get("name", "")), port["port"], target)


def _read_visibility(annotations: dict[str, str], key: str, refusals: list[Refusal]) -> Declared:
    try:
        return read_declared(annotations)
    except NotUnderstood as exc:
        refusals.append(Refusal(key, f"every port is private: {exc}"))
        return ()
