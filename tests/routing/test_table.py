"""The route table: what it answers after every kind of change."""

from dataclasses import replace

import pytest

from routing.claimants import CLAIMANTS_MAX
from routing.discovery import RoutingRules, derive_claim
from routing.model import Batch, Claim, Relisted, ServicePort, WorkspaceService
from routing.table import Applied, Conflict, RouteTable


def claim(
    name: str,
    *,
    created: float = 1.0,
    uid: str = "",
    namespace: str = "ns",
    ports: tuple[int, ...] = (3000,),
    workspace_id: str = "1",
) -> Claim:
    """What a well-behaved Service of this name claims."""
    service = WorkspaceService(
        name=name,
        namespace=namespace,
        uid=uid or f"uid-{namespace}-{name}",
        created=created,
        workspace_id=workspace_id,
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
    table.apply(Batch(changed=(claim("apple"),)))

    assert not table.synced


def test_a_removed_port_vanishes(table: RouteTable) -> None:
    """A change replaces the whole set of hosts of a Service."""
    table.apply(Batch(changed=(claim("apple", ports=(3000,)),)))

    assert table.get_route("8080-apple.ws.example.dev") is None
    assert len(table) == 1


def test_a_removed_service_vanishes_and_its_workspace_is_reported_ended(table: RouteTable) -> None:
    """Its name is free again, and so is its zone."""
    applied = table.apply(Batch(removed=("ns/apple",)))

    assert applied.ended == {"uid-ns-apple.1"}
    assert repr(table) == "<RouteTable routes=0 workspaces=0 synced=True>"
    assert table.get_workspace("apple") is None
    assert not table.is_in_zone("3000-apple.ws.example.dev")


def test_removing_what_is_not_there_changes_nothing(table: RouteTable) -> None:
    """Duplicate and late events are harmless."""
    assert table.apply(Batch(removed=("ns/other",))).ended == frozenset()
    assert len(table) == 2


def test_a_relist_replaces_everything(table: RouteTable) -> None:
    """What is not in it is gone."""
    applied = table.apply(Relisted((claim("bear"),)))

    assert applied.ended == {"uid-ns-apple.1"}
    assert [workspace.name for workspace in table.workspaces] == ["bear"]


def test_a_recreated_workspace_ends_the_old_one(table: RouteTable) -> None:
    """The name is the same, the identity is not."""
    assert table.apply(Batch(changed=(claim("apple", uid="uid-new"),))).ended == {"uid-ns-apple.1"}


def test_an_unchanged_service_ends_nothing(table: RouteTable) -> None:
    """A re-list with the same content is no change."""
    applied = table.apply(Relisted((claim("apple", ports=(3000, 8080)),)))

    assert (applied.ended, applied.conflicts) == (frozenset(), ())


@pytest.mark.parametrize("older_first", [True, False])
def test_the_older_service_keeps_a_contested_name(older_first: bool) -> None:  # noqa: FBT001 - a table cell
    """Whichever of the two is seen first."""
    older = claim("apple", created=1, namespace="a")
    younger = claim("apple", created=2, namespace="b", workspace_id="2")
    table = RouteTable()
    table.apply(Relisted(()))
    conflicts = [
        conflict
        for each in ((older, younger) if older_first else (younger, older))
        for conflict in table.apply(Batch(changed=(each,))).conflicts
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
    later = claim("apple", namespace="b", uid="2", workspace_id="2")
    table.apply(Relisted((later, claim("apple", namespace="a", uid="1"))))

    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.uid == "1.1"


def test_the_younger_claimant_gets_the_name_when_the_older_is_gone() -> None:
    """A refused claim is not forgotten."""
    table = RouteTable()
    younger = claim("apple", created=2, namespace="b", workspace_id="2")
    table.apply(Relisted((claim("apple", created=1, namespace="a"), younger)))
    table.apply(Batch(removed=("a/apple",)))

    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.namespace == "b"


def test_nobody_sees_anything_before_the_source_was_read_as_a_whole() -> None:
    """An older Service may still come, to which a name belongs."""
    table = RouteTable()
    table.apply(Batch(changed=(claim("apple"),)))
    assert (table.get_route("3000-apple.ws.example.dev"), table.get_workspace("apple"), len(table)) == (None, None, 1)

    table.apply(Batch(is_complete=True))
    assert table.synced
    assert table.get_route("3000-apple.ws.example.dev") is not None
    assert table.get_workspace("apple") is not None


def test_a_batch_is_one_change(table: RouteTable) -> None:
    """What moves from one Service to another is no conflict, and whoever looks is told once."""
    told: list[None] = []
    table.subscribe(lambda: told.append(None))
    moved = claim("apple", namespace="other", workspace_id="2", created=9)
    applied = table.apply(Batch(changed=(moved,), removed=("ns/apple",)))

    assert applied == Applied((), frozenset({"uid-ns-apple.1"}))
    assert len(told) == 1


def test_a_workspace_id_belongs_to_the_namespace_of_the_oldest() -> None:
    """Whoever uses the id of somebody else's workspace gets nothing at all: GitLab would let its owner in there."""
    table = RouteTable()
    victim = claim("apple", created=1, namespace="a", workspace_id="993")
    thief = claim("pear", created=2, namespace="b", workspace_id="993")
    table.apply(Relisted((thief,)))
    applied = table.apply(Batch(changed=(victim,)))

    assert table.get_route("3000-pear.ws.example.dev") is None
    assert table.get_workspace("pear") is None
    assert table.get_workspace("apple") == victim.workspace
    assert applied.conflicts == (Conflict("id:993", refused="b/pear", holder="a/apple"),)


def test_an_id_is_free_again_when_its_holder_is_gone() -> None:
    """All that was refused for it is given."""
    table = RouteTable()
    victim = claim("apple", created=1, namespace="a", workspace_id="993")
    other = claim("pear", created=2, namespace="b", workspace_id="993")
    table.apply(Relisted((victim, other)))
    table.apply(Batch(removed=("a/apple",)))

    assert table.get_route("3000-pear.ws.example.dev") is not None
    assert table.get_workspace("pear") == other.workspace
    assert table.contested == 0


def test_a_second_service_of_a_workspace_is_welcome_in_its_namespace() -> None:
    """GitLab does not promise that there is only one."""
    table = RouteTable()
    table.apply(Relisted((claim("apple", workspace_id="993"), claim("apple-ports", workspace_id="993", created=2))))

    assert table.get_route("3000-apple.ws.example.dev") is not None
    assert table.get_route("3000-apple-ports.ws.example.dev") is not None
    assert table.contested == 0


def test_of_the_services_of_one_number_the_oldest_is_known() -> None:
    """Whatever the order in which they came."""
    table = RouteTable()
    younger = claim("apple-ports", workspace_id="993", created=2)
    table.apply(Relisted((younger, claim("apple", workspace_id="993"))))

    assert {each.name: table.is_eldest(each) for each in table.workspaces} == {"apple": True, "apple-ports": False}
    table.apply(Relisted((younger,)))
    assert table.is_eldest(younger.workspace)


def test_a_conflict_is_told_once() -> None:
    """The loser may change as often as it likes; what is contested now is still counted."""
    table = RouteTable()
    younger = claim("apple", created=2, namespace="b", workspace_id="2")
    first = table.apply(Relisted((claim("apple", created=1, namespace="a"), younger)))
    again = table.apply(Batch(changed=(replace(younger, created=3),)))

    assert (len(first.conflicts), again.conflicts, table.contested) == (2, (), 2)


def test_a_crowd_of_claimants_does_not_displace_the_holder() -> None:
    """Of those who come too late only so many are remembered."""
    table = RouteTable()
    table.apply(Relisted((claim("apple", created=1, namespace="a"),)))
    for number in range(2 * CLAIMANTS_MAX):
        table.apply(
            Batch(changed=(claim("apple", created=2 + number, namespace=f"n{number}", workspace_id=f"{number}9"),))
        )

    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.namespace == "a"
    table.apply(Batch(removed=("a/apple",)))
    workspace = table.get_workspace("apple")
    assert workspace is not None
    assert workspace.namespace == "n0"


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
