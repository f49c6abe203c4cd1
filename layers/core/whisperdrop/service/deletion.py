"""The end of a job's traces, in steps of which each can be repeated by whoever comes next.

1. A marker under deleting/. From here on the sweep finishes what nobody else does.
2. A job that goes on is cancelled; what a worker holds waits until that worker has let go of it.
3. Its outcome is swapped for one that says "deleted". This is the decision, one write: before it
   the job is whole, after it the job is gone for everybody who asks.
4. Media, parts of an upload, results and documents go, the request last, since it names the rest.
5. The marker under deleting/ makes way for one under expiry/.

What is left, the outcome, is where every late writer arrives: a worker that finishes the job finds
that it has ended, and so does the event of a late upload; both ask for the deletion once more.
When nobody can be late any more the sweep removes it. Usage records stay: they are the bill.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import get_args

from whisperdrop.domain import keys
from whisperdrop.domain.formats import Format
from whisperdrop.domain.ids import JobRef, is_of_second
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.errors import JobNotFoundError, LostRaceError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.deduplication import fingerprint
from whisperdrop.service.documents import (
    DamagedDocumentError,
    dump,
    read_intact,
    read_with_etag,
    write_once,
)
from whisperdrop.service.idempotency import forget
from whisperdrop.service.parts import delete_all
from whisperdrop.service.retention import expire_at, retained_until

LATENESS = timedelta(days=1)
"""How long after the deletion, or the end of its upload's address, somebody may still be late."""

_TRIES = 5
_RENDERINGS = (*get_args(Format), "error.json")


def delete(store: ObjectStore, ref: JobRef, clock: Clock) -> bool:
    """Delete the job; False while a worker holds it, and then the sweep does it later.

    Safe to repeat until it is gone. Raises JobNotFoundError.
    """
    outcome = read_intact(store, Outcome, keys.outcome(ref))
    gone = outcome is not None and outcome.deleted_at is not None
    there = not gone and (outcome is not None or store.head(keys.request(ref)) is not None)
    if not there and store.head(keys.deleting(ref)) is None:
        raise JobNotFoundError(f"there is no job {ref.job_id}")
    store.put(keys.deleting(ref), b"")
    return finish(store, ref, clock)


def finish(store: ObjectStore, ref: JobRef, clock: Clock) -> bool:
    """Do what the marker under deleting/ asks for; False while a worker holds the job."""
    if not _decide(store, ref, clock):
        return False
    _purge(store, ref)
    if outcome := read_intact(store, Outcome, keys.outcome(ref)):
        expire_at(store, ref, outcome.forget_at or clock() + LATENESS)
    store.delete(keys.deleting(ref))
    return True


def expire(store: ObjectStore, ref: JobRef, clock: Clock) -> bool:
    """Do what a marker under expiry/ that is due asks for; whether that deleted a job."""
    now = clock()
    outcome = read_intact(store, Outcome, keys.outcome(ref))
    if outcome is None:
        if store.head(keys.request(ref)) is None:  # forgotten already
            _purge(store, ref)
    elif outcome.deleted_at is None:
        due = retained_until(outcome)
        if due is None or due > now:
            return False
        store.put(keys.deleting(ref), b"")
        return finish(store, ref, clock)
    elif outcome.forget_at is None or outcome.forget_at <= now:
        _purge(store, ref)
        store.delete(keys.outcome(ref))
    return False


def _decide(store: ObjectStore, ref: JobRef, clock: Clock) -> bool:
    """Swap the outcome for one that says "deleted"; False while a worker holds the job."""
    for _ in range(_TRIES):
        now = clock()
        try:
            found = read_with_etag(store, Outcome, keys.outcome(ref))
        except DamagedDocumentError as damaged:
            found = _unreadable(ref, now), damaged.etag
        if found is None:
            try:
                if cancel(store, ref, clock) is None:
                    return False
            except JobNotFoundError:
                return True  # there are but leftovers
            except DamagedDocumentError:  # a request that no worker can read either
                ended = _unreadable(ref, now).deleted(now, now + LATENESS)
                write_once(store, keys.outcome(ref), ended)
            continue
        outcome, etag = found
        if outcome.deleted_at is not None:
            return True
        request = read_intact(store, JobRequest, keys.request(ref))
        gone = outcome.deleted(now, _forget_at(request, now))
        try:
            store.replace(keys.outcome(ref), dump(gone), etag)
        except LostRaceError:
            continue
        return True
    raise LostRaceError(f"job {ref.job_id} is changing too fast to be deleted; try again")


def _unreadable(ref: JobRef, now: datetime) -> Outcome:
    return Outcome(
        tenant=ref.tenant,
        job_id=ref.job_id,
        status=JobStatus.FAILED,
        model="",
        created_at=now,
        finished_at=now,
    )


def _forget_at(request: JobRequest | None, now: datetime) -> datetime:
    last_upload = request.upload_expires_at if request else None
    return max(now, last_upload or now) + LATENESS


def _purge(store: ObjectStore, ref: JobRef) -> None:
    """Remove all but the outcome; safe to repeat."""
    request = read_intact(store, JobRequest, keys.request(ref))
    if request is not None:
        if request.upload_id is not None:
            # First: an upload without its parts can no longer be completed.
            store.abort_multipart(request.media_key, request.upload_id)
        if request.source == "drop":
            _delete_drop(store, request)
        _forget_claims(store, request)
    for prefix in keys.bytes_of(ref):
        delete_all(store, (info.key for info in store.list(prefix)))
    delete_all(store, _documents(store, ref))
    store.delete(keys.request(ref))
    store.delete(keys.pending(ref))


def _documents(store: ObjectStore, ref: JobRef) -> Iterator[str]:
    stay = (keys.outcome(ref), keys.request(ref))
    return (info.key for info in store.list(keys.documents(ref)) if info.key not in stay)


def _delete_drop(store: ObjectStore, request: JobRequest) -> None:
    """The dropped file and what it was rendered to, unless another file has taken its place."""
    info = store.head(request.media_key)
    if info is not None and not is_of_second(request.job_id, info.modified):
        return
    delete_all(store, (keys.outbox(request.media_key, name) for name in _RENDERINGS))
    store.delete(request.media_key)


def _forget_claims(store: ObjectStore, request: JobRequest) -> None:
    if request.idempotency is not None:
        forget(store, request.ref, request.idempotency)
    if request.content_sha256 is not None:
        claimed = fingerprint(request.content_sha256, request.model, request.options)
        forget(store, request.ref, claimed)
