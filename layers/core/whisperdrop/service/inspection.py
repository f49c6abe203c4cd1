"""A job as an operator wants to see it: every document that there is, and what will happen next."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobStatus, Lease, Outcome, PendingMarker
from whisperdrop.domain.webhook import Delivery, Notification
from whisperdrop.errors import JobNotFoundError
from whisperdrop.ports import ObjectInfo, ObjectStore
from whisperdrop.service.cancellation import cancel_requested
from whisperdrop.service.documents import DamagedDocumentError, read
from whisperdrop.service.notifications import wanted_at
from whisperdrop.service.sweep import SweepPolicy, due_again

Document = TypeVar("Document", bound=BaseModel)


@dataclass
class Inspection:
    """What lies in the bucket for one job."""

    ref: JobRef
    request: JobRequest | None = None
    lease: Lease | None = None
    outcome: Outcome | None = None
    pending: ObjectInfo | None = None
    requeues: int = 0
    media: ObjectInfo | None = None
    checkpoints: int = 0
    cancel_requested: bool = False
    deleting: bool = False
    notification: Notification | None = None
    deliveries: tuple[Delivery, ...] = ()
    wants_to_be_told: bool = False
    damaged: list[str] = field(default_factory=list)
    """Keys of documents that cannot be read."""

    def status(self, now: datetime) -> str:
        """As its owner sees it, or what is wrong."""
        if self.outcome is not None:
            return "deleted" if self.outcome.deleted_at else str(self.outcome.status)
        if self.request is None:
            return "damaged" if self.damaged else "unknown"
        if self.lease is not None and self.lease.live(now):
            return str(JobStatus.RUNNING)
        return str(JobStatus.QUEUED if self.media else JobStatus.AWAITING_UPLOAD)


def inspect(store: ObjectStore, ref: JobRef) -> Inspection:
    """Everything about one job; some ten requests. Raises JobNotFoundError."""
    found = Inspection(ref)

    def document(kind: type[Document], key: str) -> Document | None:
        try:
            return read(store, kind, key)
        except DamagedDocumentError as damaged:
            found.damaged.append(damaged.key)
            return None

    found.outcome = document(Outcome, keys.outcome(ref))
    found.request = document(JobRequest, keys.request(ref))
    found.pending = store.head(keys.pending(ref))
    found.deleting = store.head(keys.deleting(ref)) is not None
    if not (found.outcome or found.request or found.pending or found.deleting or found.damaged):
        raise JobNotFoundError(f"there is no job {ref.job_id} of the tenant {ref.tenant}")
    found.lease = document(Lease, keys.lease(ref))
    if found.pending is not None:
        marker = document(PendingMarker, keys.pending(ref))
        found.requeues = marker.requeues if marker else 0
    if found.request is not None:
        found.media = store.head(found.request.media_key)
    found.checkpoints = sum(1 for _ in store.list(keys.parts(ref)))
    found.cancel_requested = cancel_requested(store, ref)
    found.notification = document(Notification, keys.notification(ref))
    found.deliveries = tuple(
        delivery
        for info in store.list(keys.deliveries(ref))
        if (delivery := document(Delivery, info.key)) is not None
    )
    if found.outcome is not None:
        found.wants_to_be_told = wanted_at(store, found.outcome) is not None
    return found


def what_next(found: Inspection, now: datetime, policy: SweepPolicy) -> str:
    """What will happen to the job if nobody does anything, in a sentence."""
    if found.deleting:
        return "it is being deleted; the next sweep goes on with that"
    if found.outcome is not None:
        return _after_the_end(found, found.outcome, policy)
    if found.damaged and found.request is None:
        return (
            "nothing: its request cannot be read. Restore the document from a version of the "
            "bucket, or delete the job"
        )
    if found.request is None:
        return "nothing: there is a marker without a request; the sweep removes it after an hour"
    if found.lease is not None and found.lease.live(now):
        return (
            f"{found.lease.owner} works on it and renews its lease while it lives; if it is dead, "
            f"another worker may take the job from {_time(found.lease.expires_at)} on"
        )
    if found.pending is None:
        return "nothing: it is LOST, no marker under pending/ makes the sweep look; run `mend`"
    looked_at = _time(due_again(found.pending.modified, found.requeues, policy))
    if found.cancel_requested:
        return f"the next worker to take it, or the sweep after {looked_at}, ends it as cancelled"
    if found.media is not None or found.lease is not None:
        return (
            "it waits for a worker: its message is in the queue; should that be lost, the sweep "
            f"sends another after {looked_at}. `requeue` does so now"
        )
    if found.request.upload_expires_at is None:
        return (
            f"its media is not there; a worker ends it as failed, the sweep asks after {looked_at}"
        )
    grace = timedelta(seconds=policy.upload_grace_s)
    until = found.request.upload_expires_at
    return (
        f"it waits for its upload, whose address ends at {_time(until)}; the sweep expires it "
        f"after {_time(until + grace)}"
    )


def _after_the_end(found: Inspection, outcome: Outcome, policy: SweepPolicy) -> str:
    if outcome.deleted_at is not None:
        when = f" after {_time(outcome.forget_at)}" if outcome.forget_at else ""
        return f"it was deleted; the sweep removes what is left{when}"
    if found.pending is not None:
        when = _time(due_again(found.pending.modified, 0, policy))
        return f"it has ended; the sweep completes what follows from that after {when}"
    told = found.notification
    if told is not None and told.waiting:
        return f"it has ended; its owner is told at {_time(told.next_at)}, attempt {told.tries + 1}"
    if told is None and found.wants_to_be_told:
        return "it has ended; a notifier is to tell its owner, and the sweep reminds it"
    if outcome.retention_days is not None:
        gone = outcome.finished_at + timedelta(days=outcome.retention_days)
        return f"nothing until it is deleted at {_time(gone)}"
    return "nothing: it has ended"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
