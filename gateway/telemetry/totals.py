"""Adds up the metrics of several worker processes, so that one scrape tells of all of them. Pure.

Counters and histograms of a worker that ended stay in the totals: a counter never goes down. What every worker tells of
the same things, a gauge or a histogram, is theirs together and ends with the last of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.telemetry.catalogue import Described, Fold

_CHOOSE: dict[Fold, Callable[[float, float], float]] = {Fold.SUM: add, Fold.MAX: max, Fold.MIN: min}

_Key = tuple[str, tuple[tuple[str, str], ...]]


class Totals:
    """The latest word of every worker, and the last word of those that ended."""

    def __init__(self, described: Iterable[Described]) -> None:
        self._folds = {metric.name: metric.fold for metric in described}
        self._latest: dict[int, list[Metric]] = {}
        self._ended: list[Metric] = []

    def update(self, worker: int, exposition: str) -> None:
        """What a worker's own metrics page says now."""
        self._latest[worker] = list(text_string_to_metric_families(exposition))

    def end(self, worker: int) -> None:
        """The worker is no more: what it counted stays, what it held is gone."""
        counted = [family for family in self._latest.pop(worker, []) if self._is_counted(family)]
        self._ended = list(self._add_up([self._ended, counted]))

    def render(self) -> bytes:
        """The Prometheus text exposition of all workers together."""
        return generate_latest(_Collected(self._add_up([self._ended, *self._latest.values()])))

    def _is_counted(self, family: Metric) -> bool:
        return family.type != "gauge" and self._folds.get(family.name, Fold.SUM) is Fold.SUM

    def _add_up(self, expositions: Iterable[Iterable[Metric]]) -> Iterator[Metric]:
        """One family of each name, with the samples of all of them made one."""
        families: dict[str, Metric] = {}
        values: dict[str, dict[_Key, float]] = {}
        for exposition in expositions:
            for family in exposition:
                families.setdefault(family.name, family)
                _fold(values.setdefault(family.name, {}), family, self._folds.get(family.name, Fold.SUM))
        for name, family in families.items():
            total = Metric(name, family.documentation, family.type)
            for (sample, labels), value in values[name].items():
                total.add_sample(sample, dict(labels), value)
            yield total


def _fold(values: dict[_Key, float], family: Metric, fold: Fold) -> None:
    for sample in family.samples:
        labels: Mapping[str, str] = sample.labels
        key = (sample.name, tuple(labels.items()))
        values[key] = _CHOOSE[fold](values[key], sample.value) if key in values else sample.value


class _Collected(Collector):
    """What `generate_latest` takes, made of families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
