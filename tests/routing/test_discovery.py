"""What a Service may claim."""

from dataclasses import replace

import pytest

from routing.discovery import RoutingRules, derive_claim
from routing.model import Endpoint, ServicePort, WorkspaceService, WorkspaceState

RULES = RoutingRules(portal_host="ws.example.dev")
SERVICE = WorkspaceService(
    name="apple-bear-blue",
    namespace="gl-rd-ns-apple-bear-blue",
    uid="uid-1",
    created=1.0,
    workspace_id="993",
    agent_id="991",
    host_template="{{.port}}-apple-bear-blue.ws.example.dev",
    cluster_ip="10.96.0.7",
    ports=(
        ServicePort("editor-server", 60001, 60001),
        ServicePort("ssh-server", 60022, 60022),
        ServicePort("http-3000", 80, 3000),
    ),
    visibility=((3000, "internal"),),
    state=WorkspaceState.RUNNING,
)


def test_each_port_but_ssh_becomes_a_route() -> None:
    """The hostname shows the target port, the gateway dials the Service's port."""
    claim, refusals = derive_claim(SERVICE, RULES)

    assert claim is not None
    assert [(r.host, str(r.upstream), r.port, r.declared) for r in claim.routes] == [
        ("60001-apple-bear-blue.ws.example.dev", "10.96.0.7:60001", 60001, "private"),
        ("3000-apple-bear-blue.ws.example.dev", "10.96.0.7:80", 3000, "internal"),
    ]
    assert claim.workspace.ssh == Endpoint("10.96.0.7", 60022)
    assert refusals == ()


def test_a_service_that_speaks_for_another_workspace_is_another_one() -> None:
    """Or the former owner's grants would open it."""
    before, _ = derive_claim(SERVICE, RULES)
    after, _ = derive_claim(replace(SERVICE, workspace_id="994"), RULES)

    assert before is not None
    assert after is not None
    assert before.workspace.uid != after.workspace.uid


def test_a_service_without_an_ssh_port_has_no_ssh() -> None:
    """Nothing is guessed."""
    claim, _ = derive_claim(replace(SERVICE, ports=SERVICE.ports[:1]), RULES)

    assert claim is not None
    assert claim.workspace.ssh is None


@pytest.mark.parametrize("address", ["None", "", "db.example.com", "10.0.0", "169.254.169.254.nip.io"])
def test_a_service_without_a_cluster_address_is_refused(address: str) -> None:
    """Headless and ExternalName Services would lead out of the cluster."""
    claim, refusals = derive_claim(replace(SERVICE, cluster_ip=address), RULES)

    assert claim is None
    assert len(refusals) == 1


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("ws.example.dev", "portal"),
        ("WS.Example.dev.", "portal"),
        ("{{.port}}-x.other.dev", "routing.zones"),
        ("{{.secret}}-x.ws.example.dev", "only {{.port}}"),
        ("{{.port}}-x_.ws.example.dev", "no DNS name"),
    ],
)
def test_a_host_that_may_not_be_claimed_is_refused_with_its_reason(template: str, reason: str) -> None:
    """The workspace itself, and its SSH door, stay."""
    rules = replace(RULES, zones=("ws.example.dev", "example.dev"))
    claim, refusals = derive_claim(replace(SERVICE, host_template=template), rules)

    assert claim is not None
    assert claim.routes == ()
    assert all(reason in refusal.reason for refusal in refusals)
    assert len(refusals) == 2


def test_a_template_without_a_placeholder_gives_the_host_to_the_first_port() -> None:
    """GitLab's own fixtures hold such a template."""
    claim, _ = derive_claim(replace(SERVICE, host_template="3000-apple.ws.example.dev"), RULES)

    assert claim is not None
    assert [route.port for route in claim.routes] == [60001]


def test_the_sshd_is_no_http_host_under_any_name() -> None:
    """Neither its port name nor its number gets a hostname."""
    ports = (ServicePort("web", 1, 60022), ServicePort("ssh-server", 2, 22))
    claim, _ = derive_claim(replace(SERVICE, ports=ports), RULES)

    assert claim is not None
    assert claim.routes == ()
