"""The objects of a workspace as GitLab's agent writes them, as far as the gateway looks at them."""

from typing import Any

Object = dict[str, Any]

AGENT = "agent.gitlab.com/id"
ZONE = "ws.example.dev"


def service(
    name: str,
    namespace: str,
    *,
    workspace_id: str,
    ports: tuple[int, ...] = (3000,),
    zone: str = ZONE,
    annotations: dict[str, str] | None = None,
) -> Object:
    """The Service of a workspace."""
    labels = {"app": "workspace", AGENT: "991"}
    told = [{"name": "ssh-server", "port": 60022, "targetPort": 60022, "protocol": "TCP"}]
    told += [{"name": f"http-{port}", "port": port, "targetPort": port, "protocol": "TCP"} for port in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {
                "config.k8s.io/owning-inventory": f"{name}-workspace-inventory",
                "workspaces.gitlab.com/host-template": f"{{{{.port}}}}-{name}.{zone}",
                "workspaces.gitlab.com/id": workspace_id,
                **(annotations or {}),
            },
        },
        "spec": {"type": "ClusterIP", "selector": labels, "ports": told},
    }


def endpoint_slice(name: str, namespace: str, *ready: bool) -> Object:
    """The EndpointSlice of a Service with one pod for each of `ready`, as the cluster's controller writes it."""
    endpoints = [
        {"addresses": [f"10.1.0.{index + 1}"], "conditions": {"ready": each}} for index, each in enumerate(ready)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-abcde",
            "namespace": namespace,
            "labels": {"app": "workspace", AGENT: "991", "kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http-3000", "port": 3000, "protocol": "TCP"}],
    }
