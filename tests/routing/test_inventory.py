"""What becomes of the claims when Services and EndpointSlices come, change and go."""

from typing import Any

import pytest

from routing.discovery import RoutingRules
from routing.inventory import Delta, EndpointSlices, Services
from routing.model import WorkspaceState
from tests.kubernetes.objects import endpoint_slice, service


class Known:
    """Services and EndpointSlices that know each other."""

    def __init__(self) -> None:
        self.slices = EndpointSlices()
        self.services = Services(RoutingRules("portal.dev"), self.slices.state)
        self.slices.inform(self.services)

    def serve(self, name: str, **changes: Any) -> Delta:
        delta, made = Delta(), service(name, "ns", workspace_id="993", **changes)
        made["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": "2026-11-27T22:14:55Z"}
        made["spec"]["clusterIP"] = "10.96.0.7"
        self.services.put(made, delta)
        return delta

    def state(self, name: str) -> WorkspaceState:
        """Of a workspace, as the claim that was made last says it."""
        claim = self.services.get_claim(f"ns/{name}")
        assert claim is not None
        assert all(route.workspace == claim.workspace for route in claim.routes)
        return claim.workspace.state


@pytest.fixture
def known() -> Known:
    """One workspace that runs."""
    known = Known()
    known.slices.put(endpoint_slice("apple", "ns", True), Delta())  # noqa: FBT003 - a pod that is ready
    known.serve("apple")
    return known


def test_a_state_that_is_known_first_counts_for_the_service_that_comes_later(known: Known) -> None:
    """The two watches have no order."""
    assert known.state("apple") is WorkspaceState.RUNNING


def test_what_is_told_again_changes_nothing(known: Known) -> None:
    """An agent writes all of it once an hour."""
    assert known.serve("apple").claims == {}


def test_a_slice_that_goes_to_another_service_leaves_the_first(known: Known) -> None:
    """Whose state is unknown then."""
    known.serve("pear")
    moved, delta = endpoint_slice("apple", "ns", True), Delta()  # noqa: FBT003 - a pod that is ready
    moved["metadata"]["labels"]["kubernetes.io/service-name"] = "pear"
    known.slices.put(moved, delta)

    assert (known.state("apple"), known.state("pear")) == (WorkspaceState.UNKNOWN, WorkspaceState.RUNNING)
    assert set(delta.claims) == {"ns/apple", "ns/pear"}


@pytest.mark.parametrize(("namespace", "gone"), [("", True), ("ns", True), ("other", False), ("n", False)])
def test_a_new_list_is_the_whole_truth_about_its_namespace(known: Known, namespace: str, gone: bool) -> None:  # noqa: FBT001 - a table cell
    """And says nothing of any other."""
    delta = Delta()
    known.slices.retain(namespace, set(), delta)
    assert (known.state("apple") is WorkspaceState.UNKNOWN) is gone

    known.services.retain(namespace, set(), delta)
    assert (known.services.get_claim("ns/apple") is None) is gone
    assert ("ns/apple" in delta.claims) is gone


def test_a_refusal_is_told_once_until_it_changes(known: Known) -> None:
    """Whatever the hour."""
    first = known.serve("apple", zone="not_a_name")
    again = known.serve("apple", zone="not_a_name")
    known.serve("apple")
    later = known.serve("apple", zone="not_a_name")

    assert [len(delta.refusals) for delta in (first, again, later)] == [1, 0, 1]
