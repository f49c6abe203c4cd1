"""Metrics for Prometheus to fetch. Imported only where a server process offers them."""

import logging
from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from whisperdrop.observability.metrics import Kind, Labels, Metric, Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_logger = logging.getLogger(__name__)


class PrometheusSink:
    """See ``Sink``. Keeps the metrics that it was made for, and those of the process itself."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._watchable = {metric for metric in metrics if metric.watched}
        self._metrics = {metric: self._made(metric) for metric in metrics if not metric.watched}

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """See ``Sink``."""
        found = self._metrics.get(metric)
        if found is None:
            return
        child = found.labels(**labels) if metric.labels else found
        match child:
            case Counter():
                child.inc(value)
            case Gauge():
                child.set(value)
            case Histogram():
                child.observe(value)

    def watch(self, metric: Metric, read: Reading) -> None:
        """See ``Sink``."""
        if metric in self._watchable:
            self._watchable.discard(metric)
            self._registry.register(_Watched(metric, read))

    def exposition(self) -> bytes:
        """All of it in the text format of ``CONTENT_TYPE``."""
        return generate_latest(self._registry)

    def serve(self, host: str, port: int) -> int:
        """Answer ``/metrics`` in a thread of its own; the port, which 0 lets the system choose."""
        server, _ = start_http_server(port, host, self._registry)
        return int(server.server_port)

    def _made(self, metric: Metric) -> Counter | Gauge | Histogram:
        made: Counter | Gauge | Histogram
        names, registry = metric.labels, self._registry
        if metric.kind is Kind.COUNTER:
            made = Counter(metric.name, metric.help, names, registry=registry)
        elif metric.kind is Kind.GAUGE:
            made = Gauge(metric.name, metric.help, names, registry=registry)
        else:
            made = Histogram(
                metric.name, metric.help, names, registry=registry, buckets=metric.buckets
            )
        for values in metric.known:
            made.labels(*values)
        return made


class _Watched(Collector):
    """A gauge that is read when it is looked at."""

    def __init__(self, metric: Metric, read: Reading) -> None:
        self._metric = metric
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Its name, without reading it."""
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Its values now; none where reading them fails."""
        family = self._family()
        try:
            for labels, value in self._read().items():
                family.add_metric(labels, value)
        except Exception:
            _logger.exception("metric_not_read", extra={"metric": self._metric.name})
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
