"""A registry of metrics that knows what is in it: what each is called and means, and how those of workers add up.

Everything about a metric is said where it is made, once; the page of Prometheus, the totals of several workers and the
table for people are made from that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from gateway.telemetry.tally import Buckets, Count, Spread, Survey, Tally

PREFIX = "workspaces_gateway_"
"""What the name of every metric of the gateway's own begins with."""


class Fold(Enum):
    """What several workers' values of one gauge are together."""

    SUM = "sum"
    MAX = "max"
    """Of what every worker holds a copy of, or where the worst is the highest."""
    MIN = "min"
    """Where the worst is the lowest."""


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of a metric before anything was counted."""

    name: str
    """As its samples have it, but for the suffixes of a histogram's."""
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    text: str
    fold: Fold = Fold.SUM


class Catalogue:
    """Makes metrics and remembers what they are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []

    def counter(self, name: str, text: str) -> Count:
        """A counter without labels."""
        return self.counters(name, text).labels()

    def counters(self, name: str, text: str, *labels: str) -> Tally:
        self._describe(f"{name}_total", "counter", labels, text)
        return Tally(PREFIX + name, text, labels, self.registry)

    def gauge(self, name: str, text: str, *labels: str, fold: Fold = Fold.SUM) -> Gauge:
        self._describe(name, "gauge", labels, text, fold)
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> Buckets:
        """A histogram without labels."""
        return self.histograms(name, text, bounds).labels()

    def histograms(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Spread:
        self._describe(name, "histogram", labels, text)
        return Spread(PREFIX + name, text, labels, bounds, self.registry)

    def survey(self, name: str, text: str, bounds: Sequence[float], measure: Callable[[], Iterable[float]]) -> None:
        """A histogram of how things stand when it is read, and not of what happened so far."""
        self._describe(name, "histogram", (), text, Fold.MAX)
        Survey(PREFIX + name, text, bounds, measure, self.registry)

    def process(self) -> None:
        """What every program tells of itself, by the names that every dashboard knows."""
        for family in ProcessCollector(registry=self.registry).collect():
            # A start moves when any worker is replaced; everything else is what all of them take together.
            fold = Fold.MAX if family.name == "process_start_time_seconds" else Fold.SUM
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.described.append(Described(name, family.type, (), family.documentation, fold))

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], text: str, fold: Fold = Fold.SUM) -> None:
        self.described.append(Described(PREFIX + name, kind, labels, text, fold))
