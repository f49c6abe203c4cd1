"""Metrics: declared once in ``catalogue.py``, recorded where they happen, kept by whom it concerns.

A process has one set of sinks, like its log: Prometheus where it is a server, CloudWatch's embedded
format where AWS runs it, none in tests and tools. Who records knows neither.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Labels = Mapping[str, str]
Reading = Callable[[], Mapping[tuple[str, ...], float]]
"""Values now, by the values of the metric's labels, in their order."""


class Kind(StrEnum):
    """How values of a metric add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class CloudWatch:
    """How a metric is called there; its unit is one of CloudWatch's."""

    name: str | Callable[[Labels], str]
    unit: str = "Count"
    names: tuple[str, ...] = ()
    """All that it can be called, where that depends on the labels."""
    note: str | None = None
    """A label that goes along as a property that can be searched, not as a dimension that costs."""

    def named(self, labels: Labels) -> str:
        """The name for these labels."""
        return self.name if isinstance(self.name, str) else self.name(labels)


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric under its Prometheus name. Few values for each label: never a tenant or a job."""

    name: str
    kind: Kind
    help: str
    unit: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    watched: bool = False
    """Read when somebody looks; absent where nobody knows how to."""
    known: tuple[tuple[str, ...], ...] = ()
    """Values of the labels that are there from the start, at 0."""
    cloudwatch: CloudWatch | None = field(default=None)


class Sink(Protocol):
    """Keeps what is recorded. Safe to call from several threads."""

    def record(self, metric: Metric, value: float, labels: Labels) -> None:
        """A counter grows by ``value``, a gauge becomes it, a histogram sees it."""
        ...

    def watch(self, metric: Metric, read: Reading) -> None:
        """Ask ``read`` whenever somebody looks at the gauge."""
        ...


_sinks: tuple[Sink, ...] = ()


def use(*sinks: Sink) -> None:
    """From now on, what this process records goes to ``sinks``."""
    global _sinks  # noqa: PLW0603 - like logging: one of it in a process
    _sinks = sinks


def record(metric: Metric, value: float = 1, **labels: str) -> None:
    """See ``Sink.record``."""
    for sink in _sinks:
        sink.record(metric, value, labels)


def watch(metric: Metric, read: Reading) -> None:
    """See ``Sink.watch``."""
    for sink in _sinks:
        sink.watch(metric, read)
