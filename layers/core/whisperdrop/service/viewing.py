"""A job as it is at one moment, put together from its documents."""

from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobView, Lease, Outcome, derive_status
from whisperdrop.errors import JobNotFoundError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.cancellation import cancel_requested
from whisperdrop.service.documents import read, read_intact

REQUESTS_OF_ENDED = 1
"""What a look at a job that has ended costs, in requests to the store."""

REQUESTS_OF_OTHERS = 6
"""The most that a look at any other one costs."""


def view_of(store: ObjectStore, ref: JobRef, now: datetime) -> JobView:
    """The job as it is. Raises JobNotFoundError."""
    if outcome := outcome_of(store, ref):
        return _of_outcome(outcome)
    request = read(store, JobRequest, keys.request(ref))
    if request is None:
        raise _not_found(ref)
    lease = read_intact(store, Lease, keys.lease(ref))
    running = lease is not None and lease.live(now)
    # A lease that is not live may be that of a worker that has just ended the job.
    if lease is not None and not running and (outcome := outcome_of(store, ref)):
        return _of_outcome(outcome)
    uploaded = running or store.head(request.media_key) is not None
    return JobView(
        ref=ref,
        status=derive_status(outcome=None, lease=lease, uploaded=uploaded, now=now),
        model=request.model,
        created_at=request.created_at,
        name=request.name,
        metadata=request.metadata,
        lease=lease if running else None,
        upload_expires_at=request.upload_expires_at,
        cancel_requested=cancel_requested(store, ref),
    )


def outcome_of(store: ObjectStore, ref: JobRef) -> Outcome | None:
    """How the job ended, or None. Raises JobNotFoundError for one that was deleted."""
    outcome = read_intact(store, Outcome, keys.outcome(ref))
    if outcome is not None and outcome.deleted_at is not None:
        raise _not_found(ref)
    return outcome


def _not_found(ref: JobRef) -> JobNotFoundError:
    return JobNotFoundError(f"there is no job {ref.job_id}")


def _of_outcome(outcome: Outcome) -> JobView:
    return JobView(
        ref=outcome.ref,
        status=outcome.status,
        model=outcome.model,
        created_at=outcome.created_at,
        name=outcome.name,
        metadata=outcome.metadata,
        outcome=outcome,
    )
