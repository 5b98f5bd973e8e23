"""Counting without a lock."""

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from gateway.telemetry.tally import Spread, Survey, Tally

BOUNDS = (0.1, 1, 10)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where Prometheus finds what was counted."""
    return CollectorRegistry()


def test_a_tally_is_a_counter(registry: CollectorRegistry) -> None:
    """By its labels."""
    tally = Tally("things", "Things.", ("kind",), registry)
    tally.labels("a").value += 1
    tally.labels("a").value += 2
    tally.labels("b").value += 1

    assert registry.get_sample_value("things_total", {"kind": "a"}) == 3
    assert registry.get_sample_value("things_total", {"kind": "b"}) == 1


def test_a_spread_says_what_a_histogram_says(registry: CollectorRegistry) -> None:
    """Line for line, for values in, between and beyond the bounds."""
    spread = Spread("seconds", "Seconds.", ("to",), BOUNDS, registry)
    other = CollectorRegistry()
    histogram = Histogram("seconds", "Seconds.", ("to",), buckets=BOUNDS, registry=other)
    for value in (0, 0.1, 0.5, 1, 9.9, 10, 11, 1000):
        spread.labels("x").add(value)
        histogram.labels("x").observe(value)

    lines = [line for line in generate_latest(other).decode().splitlines() if "_created" not in line]
    assert generate_latest(registry).decode().splitlines() == lines


def test_a_tally_asks_where_something_is_counted_elsewhere(registry: CollectorRegistry) -> None:
    """At every scrape, beside what is counted here."""
    tally, drops = Tally("things", "Things.", ("kind",), registry), [3]
    tally.labels("a").inc()
    tally.set_function(lambda: drops[0], "b")

    assert registry.get_sample_value("things_total", {"kind": "b"}) == 3
    drops[0] = 4
    assert registry.get_sample_value("things_total", {"kind": "b"}) == 4
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 1


def test_a_block_is_timed_however_it_ends(registry: CollectorRegistry) -> None:
    """Also by an exception."""
    held = Spread("seconds", "Seconds.", (), BOUNDS, registry).labels()
    with pytest.raises(ZeroDivisionError), held.time():
        raise ZeroDivisionError

    assert registry.get_sample_value("seconds_count") == 1


def test_a_survey_tells_how_things_stand_when_it_is_read() -> None:
    """And forgets how they stood before."""
    registry, values = CollectorRegistry(), [1.0, 5.0]
    Survey("age_seconds", "Age.", (2, 10), lambda: values, registry)

    first = registry.get_sample_value("age_seconds_bucket", {"le": "2.0"}), registry.get_sample_value("age_seconds_sum")
    values[:] = [7.0]
    second = (
        registry.get_sample_value("age_seconds_bucket", {"le": "2.0"}),
        registry.get_sample_value("age_seconds_sum"),
    )

    assert (first, second) == ((1, 6), (0, 7))
