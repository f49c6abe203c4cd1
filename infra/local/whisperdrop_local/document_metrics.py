"""Prints the tables of docs/observability.md from the catalogue of metrics; a test compares."""

from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.metrics import Metric

_TITLES = {"api": "API", "worker": "Worker", "notifier": "Notifier", "dispatcher": "Sweep"}


def tables() -> str:
    """One table for each process."""
    return "\n".join(_table(service, metrics) for service, metrics in BY_SERVICE.items())


def _table(service: str, metrics: tuple[Metric, ...]) -> str:
    head = ["| metric | kind, labels | meaning | CloudWatch |", "|---|---|---|---|"]
    rows = [_row(metric) for metric in metrics]
    return "\n".join([f"### {_TITLES[service]}", "", *head, *rows, ""])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = f"{metric.kind}, {labels}" if labels else str(metric.kind)
    return f"| `{metric.name}` | {kind} | {metric.help} ({metric.unit}) | {_cloudwatch(metric)} |"


def _cloudwatch(metric: Metric) -> str:
    there = metric.cloudwatch
    if there is None:
        return ""
    return ", ".join(f"`{name}`" for name in there.names or (there.named({}),))


if __name__ == "__main__":
    print(tables(), end="")
