"""Counters and histograms for what happens at every request: a dictionary and an addition, without a lock.

prometheus_client takes a lock for every increment, for programs with threads, and tells of each series when it was
made, which doubles them; a gateway process counts in one thread only. What is counted here reaches Prometheus through
the same registry as everything else.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Count:
    """What was counted under some labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add to it; whoever adds at every request adds to `value` itself."""
        self.value += amount


class Tally(Collector):
    """A counter by labels."""

    def __init__(self, name: str, text: str, labels: Labels, registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: dict[Labels, Count] = {}
        self._elsewhere: dict[Labels, Callable[[], float]] = {}
        registry.register(self)

    def labels(self, *labels: str) -> Count:
        """The count of these labels, to be added to; whoever adds often keeps it."""
        return self._counts.setdefault(labels, Count())

    def set_function(self, count: Callable[[], float], *labels: str) -> None:
        """Have these labels counted elsewhere: asked for at every scrape, and never to go down."""
        self._elsewhere[labels] = count

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count.value)
        for labels, ask in self._elsewhere.items():
            family.add_metric(labels, ask())
        yield family


class Buckets:
    """The values of a histogram under some labels."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def clear(self) -> None:
        self.counts = [0] * len(self.counts)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @contextmanager
    def time(self) -> Iterator[None]:
        """Add the seconds that the block takes, however it ends."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(time.monotonic() - started)


class Spread(Collector):
    """A histogram by labels; `bounds` are the upper ends of its buckets, inclusive and ascending."""

    def __init__(
        self, name: str, text: str, labels: Labels, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(bounds)
        self._buckets: dict[Labels, Buckets] = {}
        registry.register(self)

    def labels(self, *labels: str) -> Buckets:
        """The values of these labels, to be added to; whoever adds often keeps them."""
        return self._buckets.setdefault(labels, Buckets(self._bounds))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, held in self._buckets.items():
            running, buckets = 0, []
            for name, count in zip(names, held.counts, strict=True):
                running += count
                buckets.append((name, running))
            family.add_metric(labels, buckets, held.sum)
        yield family


class Survey(Collector):
    """A histogram of what `measure` says whenever it is read; its values go up and down."""

    def __init__(
        self,
        name: str,
        text: str,
        bounds: Sequence[float],
        measure: Callable[[], Iterable[float]],
        registry: CollectorRegistry,
    ) -> None:
        self._measure = measure
        self._spread = Spread(name, text, (), bounds, CollectorRegistry())
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        buckets = self._spread.labels()
        buckets.clear()
        for value in self._measure():
            buckets.add(value)
        return self._spread.collect()
