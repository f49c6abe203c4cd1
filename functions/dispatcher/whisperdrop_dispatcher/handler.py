"""The sweep as a scheduled Lambda function."""

import functools
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from whisperdrop.service.sweep import Sweep
from whisperdrop_dispatcher.composition import build, log, logger
from whisperdrop_dispatcher.settings import SweepSettings

metrics = Metrics(namespace="Whisperdrop", service="dispatcher")


@functools.cache
def _sweep() -> Sweep:
    return build(SweepSettings())  # built at the first event: nothing happens at import


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """One pass."""
    report = _sweep().run()
    log(report)
    counts = {
        "Pending": report.seen,
        "Requeued": len(report.requeued),
        "Expired": len(report.expired),
        "LostDrops": len(report.dropped),
        "Damaged": len(report.damaged),
    }
    for name, count in counts.items():
        metrics.add_metric(name=name, unit="Count", value=count)
    return counts
