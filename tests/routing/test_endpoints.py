"""What EndpointSlices say of a workspace's state."""

from typing import Any

import pytest

from routing.endpoints import get_owner_key, read_slice, state_of
from routing.model import WorkspaceState

READY, UNREADY = {"conditions": {"ready": True}}, {"conditions": {"ready": False}}
LEAVING = {"conditions": {"ready": False, "serving": True, "terminating": True}}


@pytest.mark.parametrize(
    ("endpoints", "state"),
    [
        (None, "stopped"),
        ([], "stopped"),
        ([LEAVING], "stopped"),
        ([UNREADY], "starting"),
        ([LEAVING, UNREADY], "starting"),
        ([READY], "running"),
        ([UNREADY, READY], "running"),
        ([{}], "running"),
        ([{"conditions": {}}], "running"),
    ],
)
def test_a_slice_says_how_far_its_pods_are(endpoints: list[dict[str, Any]] | None, state: str) -> None:
    """A condition that is not there is to be read as ready, says the API."""
    assert read_slice({"metadata": {}, "endpoints": endpoints}) == state


@pytest.mark.parametrize(
    ("slices", "state"),
    [
        ((), WorkspaceState.UNKNOWN),
        (("stopped", "starting"), WorkspaceState.STARTING),
        (("starting", "running"), WorkspaceState.RUNNING),
    ],
)
def test_of_several_slices_the_furthest_counts(slices: tuple[str, ...], state: WorkspaceState) -> None:
    """Without any nothing is known."""
    assert state_of(WorkspaceState(each) for each in slices) is state


@pytest.mark.parametrize(
    ("labels", "owner"), [(None, None), ({}, None), ({"kubernetes.io/service-name": "apple"}, "ns/apple")]
)
def test_a_slice_belongs_to_the_service_that_its_label_names(labels: dict[str, str] | None, owner: str | None) -> None:
    """In its own namespace, so that nobody speaks for another tenant's workspace."""
    assert get_owner_key({"metadata": {"namespace": "ns", "name": "apple-x", "labels": labels}}) == owner
