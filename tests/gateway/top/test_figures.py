"""What two readings of the admin port say together."""

from typing import Any

import pytest

from gateway.telemetry.slowest import Slow
from gateway.top.figures import compare
from gateway.top.reading import Reading
from gateway.top.screen import draw


def reading(at: float, **values: dict[str, float] | float) -> Reading:
    """At this time; a name has one value, or one for each text of `label=value`."""
    told: dict[str, Any] = {"build_info": {"version=1.2.3": 1.0}, **values}
    samples = {}
    for name, value in told.items():
        by = value if isinstance(value, dict) else {"": value}
        samples[f"workspaces_gateway_{name}"] = tuple((labels(text), count) for text, count in by.items())
    return Reading(at, samples, Slow())


def labels(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split(",") if pair)


def test_what_grows_is_told_by_the_second() -> None:
    """Over all labels, and by some of them."""
    figures = compare(
        reading(10, http_requests_total={"to=workspace,status=200": 100, "to=gateway,status=404": 10}),
        reading(14, http_requests_total={"to=workspace,status=200": 140, "to=gateway,status=404": 12}),
    )

    assert figures.http.requests_per_second == 10.5
    assert figures.http.workspace_requests_per_second == 10
    assert figures.http.client_errors_per_second == 0.5
    assert figures.http.server_errors_per_second == 0


def test_what_there_is_is_told_as_of_now() -> None:
    """However much it was before."""
    figures = compare(
        reading(10, ssh_connections={"state=open": 7, "state=login": 3}, http_tunnels=9),
        reading(14, ssh_connections={"state=open": 5, "state=login": 1}, http_tunnels=2),
    )

    assert (figures.ssh.sessions, figures.ssh.logging_in, figures.http.tunnels) == (5, 1, 2)


def test_a_gateway_that_was_restarted_counts_from_nothing() -> None:
    """And never backwards."""
    figures = compare(reading(10, http_bytes_total=5000), reading(12, http_bytes_total={"direction=sent": 100}))

    assert figures.http.sent_bytes_per_second == 50
    assert figures.http.received_bytes_per_second == 0


@pytest.mark.parametrize(
    ("within", "p50", "p99"),
    [
        ({"le=0.1": 0, "le=1.0": 0, "le=+Inf": 0}, None, None),
        ({"le=0.1": 99, "le=1.0": 100, "le=+Inf": 100}, 0.1, 0.1),
        ({"le=0.1": 10, "le=1.0": 98, "le=+Inf": 98}, 1, 1),
        ({"le=0.1": 60, "le=1.0": 80, "le=+Inf": 100}, 0.1, 1),
    ],
    ids=["nothing", "quick", "slow", "beyond"],
)
def test_a_quantile_is_of_what_happened_meanwhile(
    within: dict[str, float], p50: float | None, p99: float | None
) -> None:
    """As well as the buckets tell it; what lies beyond the last is at least as much as that."""
    before = {"le=0.1": 1000.0, "le=1.0": 1000.0, "le=+Inf": 1500.0}
    after = {name: before[name] + count for name, count in within.items()}
    figures = compare(reading(10, http_request_seconds_bucket=before), reading(12, http_request_seconds_bucket=after))

    assert (figures.http.p50_seconds, figures.http.p99_seconds) == (p50, p99)


def test_a_gateway_that_counts_nothing_yet_can_be_drawn() -> None:
    """One door alone has no figures of the other."""
    lines = draw(compare(reading(1), reading(2)), columns=100, rows=30)

    assert lines[0].startswith("workspaces gateway 1.2.3: NOT READY")
    assert any(line.startswith("ssh      0 sessions") for line in lines)
