"""Writes metrics in Prometheus format, with the prometheus_client library.

Imported only at the first scrape: the library takes 60 ms to import, mostly for an HTTP server and
client that are not used here.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from buntime.core.telemetry.families import LABELS, Family, Kind, Value
from buntime.core.telemetry.histogram import Histogram
from buntime.core.telemetry.metrics import FAMILIES, Snapshot

_PLAIN = "text/plain"


def write(snapshot: Snapshot, accept: str, info: dict[str, str]) -> tuple[str, bytes]:
    """The content type and the text of a scrape: OpenMetrics if `accept` asks for it.

    `info` are the labels of `buntime_info`.
    """
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is not a number
        encode, content_type = choose_encoder(_PLAIN)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, info))
    ProcessCollector(registry=registry)
    return content_type, encode(registry)


class _Collector(Collector):
    """Presents a snapshot in the library's terms."""

    def __init__(self, snapshot: Snapshot, info: dict[str, str]) -> None:
        self._snapshot = snapshot
        self._info = info

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily("buntime", "version and platform of this runtime")
        info.add_metric([], self._info)
        yield info
        for family in FAMILIES:
            metric = _new_metric(family)
            for labels, values in self._snapshot.values():
                value = values.get(family)
                if value is not None:
                    _add(metric, labels, value)
            yield metric


_Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def _new_metric(family: Family) -> _Metric:
    labels = list(LABELS[family.scope])
    if family.label is not None:
        labels.append(family.label)
    match family.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(family.name, family.meaning, labels=labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(family.name, family.meaning, labels=labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(family.name, family.meaning, labels=labels)


def _add(metric: _Metric, labels: list[str], value: Value) -> None:
    if isinstance(metric, HistogramMetricFamily):
        if not isinstance(value, Histogram):
            raise TypeError(f"{metric.name} is a histogram, and was given {value!r}")
        metric.add_metric(labels, list(value.buckets()), value.sum)
    elif isinstance(value, Histogram):
        raise TypeError(f"{metric.name} is not a histogram, and was given one")
    elif isinstance(value, float | int):
        metric.add_metric(labels, value)
    else:
        for label, each in value.items():
            metric.add_metric([*labels, label], each)
