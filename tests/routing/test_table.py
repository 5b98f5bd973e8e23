"""The route table: what it answers after every kind of change."""

from dataclasses import replace

import pytest

from routing.discovery import RoutingRules, derive_claim
from routing.model import Claim, ClaimChanged, ClaimRemoved, Relisted, ServicePort, WorkspaceService
from routing.table import Conflict, RouteTable


def claim(
    name: str, *, created: float = 1.0, uid: str = "", namespace: str = "ns", ports: tuple[int, ...] = (3000,)
) -> Claim:
    """What a well-behaved Service of this name claims."""
    service = WorkspaceService(
        name=name,
        namespace=namespace,
        uid=uid or f"uid-{namespace}-{name}",
        created=created,
        workspace_id="1",
        agent_id="1",
        host_template=f"{{{{.port}}}}-{name}.ws.example.dev",
        cluster_ip="10.0.0.1",
        ports=tuple(ServicePort(f"http-{port}", port, port) for port in ports),
    )
    derived, _ = derive_claim(service, RoutingRules(portal_host="ws.example.dev"))
    assert derived is not None
    return derived


@pytest.fixture
def table() -> RouteTable:
    """A table that holds one workspace with two ports."""
    table = RouteTable()
    table.apply(Relisted((claim("apple", ports=(3000, 8080)),)))
    return table


def test_it_knows_the_routes_and_workspaces_of_its_source(table: RouteTable) -> None:
    """By canonical host and by name."""
    assert repr(table) == "<RouteTable routes=2 workspaces=1 synced=True>"
    route = table.get_route("3000-apple.ws.example.dev")
    assert route is not None
    assert route.workspace == table.get_workspace("apple")


def test_it_is_not_synced_before_the_first_whole_list() -> None:
    """A single event does not make it ready."""
    table = RouteTable()
    table.apply(ClaimChanged(claim("apple")))

    assert not table.synced


def test_a_removed_port_vanishes(table: RouteTable) -> None:
    """A change replaces the whole set of hosts of a Service."""
    table.apply(ClaimChanged(claim("apple", ports=(3000,))))

    assert table.get_route("8080-apple.ws.example.dev") is None
    assert len(table) == 1


def test_a_removed_service_vanishes_and_its_workspace_is_reported_ended(table: RouteTable) -> None:
    """Its name is free again, and so is its zone."""
    applied = table.apply(ClaimRemoved("ns/apple"))

    assert applied.ended == {"uid-ns-apple.1"}
    assert repr(table) == "<RouteTable routes=0 workspaces=0 synced=True>"
    assert table.get_workspace("apple") is None
    assert not table.is_in_zone("3000-apple.ws.example.dev")


def test_removing_what_is_not_there_changes_nothing(table: RouteTable) -> None:
    """Duplicate and late events are harmless."""
    assert table.apply(ClaimRemoved("ns/other")).ended == frozenset()
    assert len(table) == 2


def test_a_relist_replaces_everything(table: RouteTable) -> None:
    """What is not in it is gone."""
    applied = table.apply(Relisted((claim("bear"),)))

    assert applied.ended == {"uid-ns-apple.1"}
    assert [workspace.name for workspace in table.workspaces] == ["bear"]


def test_a_recreated_workspace_ends_the_old_one(table: RouteTable) -> None:
    """The name is the same, the identity is not."""
    assert table.apply(ClaimChanged(claim("apple", uid="uid-new"))).ended == {"uid-ns-apple.1"}


def test_an_unchanged_service_ends_nothing(table: RouteTable) -> None:
    """A re-list with the same content is no change."""
    applied = table.apply(Relisted((claim("apple", ports=(3000, 8080)),)))

    assert (applied.ended, applied.conflicts) == (frozenset(), ())


@pytest.mark.parametrize("older_first", [True, False])
def test_the_older_service_keeps_a_contested_name(older_first: bool) -> None:  # noqa: FBT001 - a table cell
    """Whichever of the two is seen first."""
    older, younger = claim("apple", created=1, namespace="a"), claim("apple", created=2, namespace="b")
    table = RouteTable()
    conflicts = [
        conflict
        for each in ((older, younger) if older_first else (younger, older))
        for conflict in table.apply(ClaimChanged(each)).conflicts
    ]

    route = table.get_route("3000-apple.ws.example.dev")
    assert route is not None
    assert route.workspace.namespace == "a"
    assert conflicts == [
        Conflict("host:3000-apple.ws.example.dev", refused="b/apple", holder="a/apple"),
        Conflict("workspace:apple", refused="b/apple", holder="a/apple"),
    ]


def test_of_two_equally_old_services_the_uid_decides() -> None:
    """So that all replicas come to the same answer."""
    table = RouteTable()
    table.apply(Relisted((claim("apple", namespace="b", uid="2"), claim("apple", namespace="a", uid="1"))))

    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.uid == "1.1"


def test_the_younger_claimant_gets_the_name_when_the_older_is_gone() -> None:
    """A refused claim is not forgotten."""
    table = RouteTable()
    table.apply(Relisted((claim("apple", created=1, namespace="a"), claim("apple", created=2, namespace="b"))))
    table.apply(ClaimRemoved("a/apple"))

    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.namespace == "b"


def test_the_hosts_of_a_workspace_are_those_it_really_holds(table: RouteTable) -> None:
    """In the order of its Service."""
    workspace = table.get_workspace("apple")
    assert workspace is not None

    assert [route.port for route in table.routes_of(workspace)] == [3000, 8080]
    assert table.routes_of(replace(workspace, uid="other")) == ()


def test_unknown_hosts_of_a_known_zone_are_told_from_foreign_ones(table: RouteTable) -> None:
    """The first may be asked to sign in, the second are nobody's business."""
    assert table.is_in_zone("3000-nobody.ws.example.dev")
    assert not table.is_in_zone("3000-nobody.example.dev")
