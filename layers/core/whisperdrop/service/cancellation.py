"""The end of a job because its owner wants it.

A canceller writes the marker and then looks for a lease; a worker takes the lease and then looks
for the marker. So one of them sees the other: a job that a worker holds is ended by that worker,
any other at once. Should the canceller die in between, the next worker or the sweep ends the job.
"""

from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import (
    CancelMarker,
    JobFailure,
    JobRequest,
    JobStatus,
    Lease,
    Outcome,
)
from whisperdrop.errors import CancelledError, JobNotFoundError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import read, read_intact, write_once
from whisperdrop.service.settlement import settle


def cancel(store: ObjectStore, ref: JobRef, clock: Clock) -> Outcome | None:
    """Ask for the end of a job; how it ended, or None while a worker still holds it.

    Safe to repeat; a job that has ended stays as it is. Raises JobNotFoundError.
    """
    if outcome := read_intact(store, Outcome, keys.outcome(ref)):
        return outcome
    request = read(store, JobRequest, keys.request(ref))
    if request is None:
        raise JobNotFoundError(f"there is no job {ref.job_id}")
    now = clock()
    write_once(store, keys.cancel(ref), CancelMarker(requested_at=now))
    lease = read_intact(store, Lease, keys.lease(ref))
    if lease is not None and lease.live(now):
        return None
    return settle(store, cancelled(request, now))


def cancel_requested(store: ObjectStore, ref: JobRef) -> bool:
    """Whether the job's owner has asked for its end: one request to the store."""
    return store.head(keys.cancel(ref)) is not None


def cancelled(request: JobRequest, now: datetime, lease: Lease | None = None) -> Outcome:
    """The outcome of a cancelled job; ``lease`` is that of the attempt that it ended, if any.

    It has no usage: what was computed in vain is not billed.
    """
    failure = JobFailure(code=CancelledError.code, message="the job was cancelled")
    return Outcome.of(request, JobStatus.CANCELLED, now, error=failure, lease=lease)
