"""The bridge's metrics in Prometheus' text format.

Gauges are read off the status at each scrape; counters and histograms off the measurements. Nothing is registered with
prometheus-client's registry for the whole process. Label values are addresses, enumerations of ours and what the
operator configured; text that peers or daemons wrote is never one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from softmesh.control.histogram import Histogram
from softmesh.control.measurements import Measurements
from softmesh.web.metric_catalogue import CATALOGUE, Described, Kind, Moment, Row

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Renders what was measured."""

    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements

    async def __call__(self, status: Mapping[str, Any]) -> bytes:
        """Return the exposition; ``status`` is what ``Bridge.status`` says, of a moment ago at most."""
        families = self.families(status)
        # With thousands of softwires the text takes most of a second, and BGP and charon do not wait.
        return await asyncio.to_thread(text, families)

    def families(self, status: Mapping[str, Any]) -> list[Metric]:
        """The catalogue's metrics now, also those that have no sample: what may come is known beforehand."""
        moment = Moment(status, self._measurements, time.monotonic(), time.time())
        return [_family(described, described.rows(moment)) for described in CATALOGUE]


def text(families: Sequence[Metric]) -> bytes:
    """The text of these metrics, and of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Collected(Collector):
    """Metrics that have their values."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        """Return them."""
        return self._families


_FAMILIES: Mapping[Kind, Callable[..., Metric]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _family(described: Described, rows: Iterable[Row]) -> Metric:
    family = _FAMILIES[described.kind](described.name, described.help, labels=described.labels)
    for values, value in rows:
        labels = dict(zip(described.labels, values, strict=True))
        if isinstance(value, Histogram):
            for bound, count in _cumulative(value):
                family.add_sample(f"{described.name}_bucket", {**labels, "le": bound}, count)
            family.add_sample(f"{described.name}_count", labels, count)
            family.add_sample(f"{described.name}_sum", labels, value.sum)
        else:
            family.add_sample(described.name, labels, value)
    return family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    counts = list(histogram.counts)
    for index in range(1, len(counts)):
        counts[index] += counts[index - 1]
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, counts), strict=True))
