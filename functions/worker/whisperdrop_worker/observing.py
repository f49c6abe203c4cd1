"""What is seen of a job from outside: its lines in the log, its span, its numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from whisperdrop.domain.job import JobRequest, JobStatus, Lease, Outcome
from whisperdrop.observability import log_also, logged_with, tracing
from whisperdrop.observability.catalogue import (
    ATTEMPTS_FAILED,
    AUDIO_SECONDS,
    ENGINE_SECONDS,
    JOB_FAILURES,
    JOB_SECONDS,
    JOBS,
    QUEUE_WAIT,
)
from whisperdrop.observability.metrics import record
from whisperdrop_worker.heartbeat import InterruptedJobError


def queue_of(request: JobRequest) -> str:
    """The queue that its messages are sent to: somebody waits for a synchronous request."""
    return "interactive" if request.source == "sync" else "bulk"


@contextmanager
def at_work(request: JobRequest, lease: Lease, sent_at: datetime | None) -> Iterator[None]:
    """Around an attempt; ``sent_at`` is when its message was queued.

    Only a first attempt has waited for a worker: later ones have waited for a failure to be over.
    """
    first = lease.attempt == 1
    if first and sent_at is not None:
        waited_s = (lease.acquired_at - sent_at).total_seconds()
        record(QUEUE_WAIT, max(0.0, waited_s), queue=queue_of(request))
    with (
        logged_with(
            tenant=request.tenant,
            job_id=request.job_id,
            model=request.model,
            correlation_id=request.correlation_id,
        ),
        tracing.span(
            "job",
            kind="consumer",
            parent=request.traceparent,
            job_id=request.job_id,
            model=request.model,
            attempt=lease.attempt,
            correlation_id=request.correlation_id or "",
        ) as span,
    ):
        if first:
            tracing.past("wait", sent_at, lease.acquired_at, queue=queue_of(request))
        try:
            yield
        except InterruptedJobError:
            span.fail("handed back: the worker was stopped")
            raise


@contextmanager
def helping(request: JobRequest, invited_to: int) -> Iterator[None]:
    """Around the help with somebody else's job; its fields stay for the rest of the message."""
    log_also(
        tenant=request.tenant,
        job_id=request.job_id,
        model=request.model,
        correlation_id=request.correlation_id,
    )
    with tracing.span(
        "help",
        kind="consumer",
        parent=request.traceparent,
        job_id=request.job_id,
        span=invited_to,
        correlation_id=request.correlation_id or "",
    ):
        yield


def attempt_failed(reason: str) -> None:
    """An attempt is over and the job is not."""
    record(ATTEMPTS_FAILED, reason=reason)


def ended(request: JobRequest, outcome: Outcome) -> None:
    """Count a job that this worker has ended."""
    record(JOBS, status=outcome.status, model=request.model, source=request.source)
    if outcome.started_at is not None:
        seconds = (outcome.finished_at - outcome.started_at).total_seconds()
        record(JOB_SECONDS, max(0.0, seconds), queue=queue_of(request))
    if outcome.status is JobStatus.FAILED and outcome.error is not None:
        record(JOB_FAILURES, code=outcome.error.code)
    if outcome.usage is not None:
        record(AUDIO_SECONDS, outcome.usage.audio_s, model=request.model)
        record(ENGINE_SECONDS, outcome.usage.engine_s, model=request.model)
