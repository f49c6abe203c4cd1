"""The sweep as a scheduled Lambda function."""

import functools
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import use
from whisperdrop.service.notification_sweep import NotificationSweep
from whisperdrop.service.sweep import Sweep
from whisperdrop_dispatcher.composition import (
    build,
    build_notification_sweep,
    log,
    log_notifications,
    logger,
)
from whisperdrop_dispatcher.settings import SweepSettings

metrics = Metrics(namespace=NAMESPACE, service="dispatcher")
_sink = EmfSink(metrics)


@functools.cache
def _sweep() -> Sweep:
    return build(SweepSettings())  # built at the first event: nothing happens at import


@functools.cache
def _notifications() -> NotificationSweep | None:
    return build_notification_sweep(SweepSettings())


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """One pass."""
    use(_sink)
    report = _sweep().run()
    log(report)
    told = None
    if (notifications := _notifications()) is not None:
        told = notifications.run()
        log_notifications(told)
    return {
        "Pending": report.seen,
        "Requeued": len(report.requeued),
        "Expired": len(report.expired),
        "LostDrops": len(report.dropped),
        "Deleted": len(report.deleted),
        "Damaged": len(report.damaged) + (len(told.damaged) if told else 0),
        "NotificationsSent": len(told.sent) if told else 0,
    }
