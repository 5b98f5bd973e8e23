"""A registry of metrics that knows what is in it."""

import pytest
from prometheus_client import generate_latest

from gateway.telemetry.catalogue import Catalogue, Described, Fold


@pytest.fixture
def catalogue() -> Catalogue:
    """With one metric of each kind."""
    made = Catalogue()
    made.counters("calls", "Calls.", "result")
    made.gauge("age_seconds", "Age.", fold=Fold.MAX)
    made.histogram("call_seconds", "Duration.", (1, 2))
    return made


def test_what_was_made_is_described(catalogue: Catalogue) -> None:
    """By the names that a query would use."""
    assert catalogue.described == [
        Described("workspaces_gateway_calls_total", "counter", ("result",), "Calls."),
        Described("workspaces_gateway_age_seconds", "gauge", (), "Age.", Fold.MAX),
        Described("workspaces_gateway_call_seconds", "histogram", (), "Duration."),
    ]


def test_what_has_no_labels_is_told_before_it_is_counted(catalogue: Catalogue) -> None:
    """So that the first of something is an increase and not a beginning."""
    catalogue.counter("faults", "Faults.")

    assert "workspaces_gateway_faults_total 0.0" in generate_latest(catalogue.registry).decode().splitlines()


def test_a_process_tells_of_itself_by_the_usual_names(catalogue: Catalogue) -> None:
    """As every program with a client library of Prometheus does."""
    catalogue.process()

    described = {metric.name for metric in catalogue.described}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"} <= described
    assert "process_cpu_seconds_total " in generate_latest(catalogue.registry).decode()
