"""Metrics for CloudWatch in its embedded format: lines of the log that it counts by itself."""

import atexit
import os
import threading

from aws_lambda_powertools import Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from whisperdrop.observability.metrics import Labels, Metric, Reading

NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Whisperdrop")
"""A namespace for each stage: two in one account would count into each other's alarms otherwise."""

_FLUSH_S = 30.0


class EmfSink:
    """See ``Sink``. In Lambda, ``log_metrics`` of the same ``Metrics`` prints what was recorded."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """See ``Sink``."""
        there = metric.cloudwatch
        if there is None:
            return
        name = there.named(labels)
        with self._lock:
            if there.note is None:
                self._metrics.add_metric(name=name, unit=there.unit, value=value)
                return
            # A property belongs to a line: in one with other failures its code would be theirs.
            with single_metric(
                name,
                MetricUnit(there.unit),
                value,
                namespace=NAMESPACE,
                default_dimensions={"service": self._metrics.service or "unknown"},
            ) as alone:
                alone.add_metadata(there.note, labels[there.note])

    def watch(self, metric: Metric, read: Reading) -> None:
        """Nobody looks at CloudWatch's metrics here: a gauge is recorded or it is not there."""

    def flush(self) -> None:
        """Print what was recorded since the last time."""
        with self._lock:
            if self._metrics.metric_set:
                self._metrics.flush_metrics()


def printing_sink(service: str) -> EmfSink:
    """For a process that is no function: prints by itself, every half minute and at the end."""
    sink = EmfSink(Metrics(namespace=NAMESPACE, service=service))

    def print_for_ever() -> None:
        pause = threading.Event()
        while not pause.wait(_FLUSH_S):
            sink.flush()

    threading.Thread(target=print_for_ever, name="emf", daemon=True).start()
    atexit.register(sink.flush)
    return sink
