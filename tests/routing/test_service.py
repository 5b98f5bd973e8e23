"""What a Service as the API server writes it says to routing, and what of it is refused."""

import json
from typing import Any

import pytest

from routing.model import ServicePort
from routing.service import IDLE_TIMEOUT, PORTS_MAX, SSH_HOST_KEY, read_service
from routing.visibility_annotation import ANNOTATION

Change = dict[str, Any]


def manifest(*, annotations: Change | None = None, spec: Change | None = None, **metadata: Any) -> Change:
    """The Service of GitLab's own example, and what a test changes of it."""
    held = {
        "config.k8s.io/owning-inventory": "apple-workspace-inventory",
        "workspaces.gitlab.com/host-template": "{{.port}}-apple.workspaces.dev.test",
        "workspaces.gitlab.com/id": "993",
        **(annotations or {}),
    }
    return {
        "metadata": {
            "name": "apple",
            "namespace": "gl-rd-ns-apple",
            "uid": "uid-1",
            "creationTimestamp": "2026-11-27T22:14:55Z",
            "labels": {"app": "workspace", "agent.gitlab.com/id": "991"},
            "annotations": {key: value for key, value in held.items() if value is not None},
            **metadata,
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.7",
            "selector": {"app": "workspace"},
            "ports": [
                {"name": "editor-server", "port": 60001, "targetPort": 60001, "protocol": "TCP"},
                {"name": "http-3000", "port": 80, "targetPort": 3000, "protocol": "TCP"},
            ],
            **(spec or {}),
        },
    }


def test_everything_that_counts_is_read() -> None:
    """As GitLab's agent writes it."""
    annotations = {ANNOTATION: '{"3000": "internal"}', SSH_HOST_KEY: "SHA256:abc", IDLE_TIMEOUT: "30m"}
    service, refusals = read_service(manifest(annotations=annotations))

    assert service is not None
    assert (service.key, service.uid, service.created) == ("gl-rd-ns-apple/apple", "uid-1", 1795817695.0)
    assert (service.workspace_id, service.agent_id, service.cluster_ip) == ("993", "991", "10.96.0.7")
    assert service.ports == (ServicePort("editor-server", 60001, 60001), ServicePort("http-3000", 80, 3000))
    assert service.visibility == ((3000, "internal"),)
    assert (service.ssh_host_key, service.idle_timeout) == ("SHA256:abc", "30m")
    assert refusals == ()


@pytest.mark.parametrize(
    "other",
    [
        manifest(labels={"app": "workspace"}),
        manifest(labels=None),
        manifest(annotations={"workspaces.gitlab.com/id": None}),
        manifest(annotations={"workspaces.gitlab.com/host-template": None}),
    ],
)
def test_what_is_no_workspace_is_passed_by_in_silence(other: Change) -> None:
    """Other objects of an agent carry its label too."""
    assert read_service(other) == (None, ())


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (manifest(spec={"clusterIP": "None"}), "headless"),
        (manifest(spec={"clusterIP": ""}), "headless"),
        (manifest(spec={"type": "ExternalName", "externalName": "db.example.com"}), "ExternalName"),
        (manifest(spec={"selector": None}), "without a selector"),
        (manifest(spec={"selector": {}}), "without a selector"),
        (manifest(annotations={"workspaces.gitlab.com/id": ""}), "no number"),
        (manifest(annotations={"workspaces.gitlab.com/id": "0993"}), "no number"),
        (manifest(annotations={"workspaces.gitlab.com/id": "9" * 200}), "no number"),
        (manifest(annotations={"workspaces.gitlab.com/id": "993\n"}), "no number"),
        (manifest(annotations={"workspaces.gitlab.com/id": "993?per_page=1"}), "no number"),
    ],
)
def test_a_service_that_could_lead_elsewhere_is_refused(hostile: Change, reason: str) -> None:
    """Out of the cluster, or to another question at GitLab."""
    service, refusals = read_service(hostile)

    assert service is None
    (refusal,) = refusals
    assert reason in refusal.reason
    assert len(refusal.reason) < 200


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ({"name": "web", "port": 80, "targetPort": "http"}, "must be a number"),
        ({"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"}, "UDP is not TCP"),
    ],
)
def test_a_port_that_cannot_be_reached_is_refused_alone(port: Change, reason: str) -> None:
    """The others stay."""
    service, refusals = read_service(manifest(spec={"ports": [port, {"port": 3000}]}))

    assert service is not None
    assert service.ports == (ServicePort("", 3000, 3000),)
    assert reason in refusals[0].reason


def test_a_service_with_countless_ports_fills_no_table() -> None:
    """The first of them count."""
    ports = [{"name": f"p{number}", "port": number, "targetPort": number} for number in range(1, 5000)]
    service, refusals = read_service(manifest(spec={"ports": ports}))

    assert service is not None
    assert len(service.ports) == PORTS_MAX
    assert len(refusals) == 1


@pytest.mark.parametrize("annotation", ["public", "[]", "[" * 10_000, json.dumps({"3000": "x" * 20_000}), "null"])
def test_an_annotation_that_says_nothing_leaves_every_port_private(annotation: str) -> None:
    """And somebody is told."""
    service, refusals = read_service(manifest(annotations={ANNOTATION: annotation}))

    assert service is not None
    assert service.visibility == ()
    assert "every port is private" in refusals[0].reason
