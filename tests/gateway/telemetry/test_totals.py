"""The metrics of several workers as one."""

from functools import partial

import pytest

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.totals import Totals


def worker(sign_ins: int, tunnels: int, routes: int, seconds: float, age: float = 0) -> str:
    """What the metrics page of one worker says."""
    metrics = Metrics()
    metrics.sign_ins.labels("ok").inc(sign_ins)
    metrics.http_tunnels.set(tunnels)
    metrics.routes.set(routes)
    metrics.watch_age.set(age)
    metrics.http_seconds.labels("workspace").add(seconds)
    return metrics.render().decode()


@pytest.fixture
def totals() -> Totals:
    """Two workers."""
    totals = Totals(Metrics().catalogue.described)
    totals.update(1, worker(sign_ins=3, tunnels=2, routes=7, seconds=0.002, age=30))
    totals.update(2, worker(sign_ins=4, tunnels=5, routes=7, seconds=0.2, age=10))
    return totals


@pytest.mark.parametrize(
    "line",
    [
        'workspaces_gateway_sign_ins_total{result="ok"} 7.0',
        "workspaces_gateway_http_tunnels 7.0",
        "workspaces_gateway_routes 7.0",
        "workspaces_gateway_watch_age_seconds 30.0",
        'workspaces_gateway_http_request_seconds_count{to="workspace"} 2.0',
        'workspaces_gateway_http_request_seconds_bucket{le="0.005",to="workspace"} 1.0',
    ],
)
def test_counters_gauges_and_histograms_add_up(totals: Totals, line: str) -> None:
    """But of what every worker holds a copy of, the one that is worst off speaks."""
    assert line in totals.render().decode().splitlines()


def test_what_a_worker_says_later_replaces_what_it_said(totals: Totals) -> None:
    """A scrape is no event."""
    totals.update(2, worker(sign_ins=5, tunnels=0, routes=7, seconds=1))

    assert 'workspaces_gateway_sign_ins_total{result="ok"} 8.0' in totals.render().decode()


def test_what_an_ended_worker_counted_stays_and_what_it_held_goes(totals: Totals) -> None:
    """Also when another one ends after it."""
    totals.end(1)
    totals.end(2)
    totals.update(3, worker(sign_ins=1, tunnels=1, routes=7, seconds=1))

    lines = totals.render().decode().splitlines()
    assert 'workspaces_gateway_sign_ins_total{result="ok"} 8.0' in lines
    assert "workspaces_gateway_http_tunnels 1.0" in lines


def test_a_worker_that_never_said_anything_may_end(totals: Totals) -> None:
    """It died before the first scrape."""
    totals.end(9)

    assert 'workspaces_gateway_sign_ins_total{result="ok"} 7.0' in totals.render().decode()


def test_what_every_worker_tells_of_the_same_workspaces_is_not_added_up(totals: Totals) -> None:
    """Nor kept of a worker that ended."""
    for number, idle in ((1, (30.0, 7200.0)), (2, (20.0, 7200.0))):
        metrics = Metrics()
        metrics.measure_idle = partial(tuple, idle)
        totals.update(number, metrics.render().decode())
    both = totals.render().decode().splitlines()
    totals.end(1)
    totals.end(2)

    assert "workspaces_gateway_workspace_idle_seconds_count 2.0" in both
    assert 'workspaces_gateway_workspace_idle_seconds_bucket{le="60.0"} 1.0' in both
    assert "workspace_idle_seconds" not in totals.render().decode()
