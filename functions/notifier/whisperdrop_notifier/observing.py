"""What is seen of a delivery from outside: its line in the log, its span, its numbers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from whisperdrop.domain.job import Outcome
from whisperdrop.domain.webhook import Delivery
from whisperdrop.observability import Logger, logged_with, tracing
from whisperdrop.observability.catalogue import WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS
from whisperdrop.observability.metrics import record
from whisperdrop.service.delivery import correlated

logger = Logger(service="notifier")


@contextmanager
def telling(outcome: Outcome) -> Iterator[Mapping[str, str]]:
    """Around an attempt; its headers lead the receiver to the request, and to the trace."""
    with (
        logged_with(
            tenant=outcome.tenant, job_id=outcome.job_id, correlation_id=outcome.correlation_id
        ),
        tracing.span(
            "webhook",
            kind="client",
            parent=outcome.traceparent,
            job_id=outcome.job_id,
            correlation_id=outcome.correlation_id or "",
        ),
        correlated(outcome) as headers,
    ):
        here = tracing.traceparent()
        yield headers if here is None else {**headers, "traceparent": here}


def told(tenant: str, job_id: str, delivery: Delivery) -> None:
    """Count an attempt and log it."""
    answered = "refused" if delivery.status is not None else "unreachable"
    record(WEBHOOK_ATTEMPTS, result="delivered" if delivery.delivered else answered)
    record(WEBHOOK_SECONDS, delivery.ms / 1000)
    logger.info(
        "delivery",
        extra={
            "tenant": tenant,
            "job_id": job_id,
            "correlation_id": delivery.correlation_id,
            "attempt": delivery.attempt,
            "status": delivery.status,
            "error": delivery.error,
            "ms": delivery.ms,
            "delivered": delivery.delivered,
        },
    )
