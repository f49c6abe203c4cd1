"""The sweep: what events lost, it finds; what nobody will finish, it ends.

The queue is a hint. Every job without an outcome has a marker under pending/, and the time at which
the marker was last written says when the job was last queued; so one listing tells which jobs to
look at. A job that waits long in a deep queue is queued again ever more rarely.

It also deletes what is to be deleted: jobs whose deletion was begun, and those whose time is over.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, estimate_s, load_of
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import (
    JobFailure,
    JobRequest,
    JobStatus,
    Lease,
    Outcome,
    PendingMarker,
)
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import LostRaceError, UploadExpiredError
from whisperdrop.ports import Clock, JobQueue, ObjectInfo, ObjectStore
from whisperdrop.service.cancellation import cancel_requested, cancelled
from whisperdrop.service.deletion import expire, finish
from whisperdrop.service.documents import DamagedDocumentError, read, read_intact
from whisperdrop.service.drops import admit_drop, is_admitted, job_of_drop
from whisperdrop.service.multipart import drop_upload
from whisperdrop.service.requests import mark_pending, overdue
from whisperdrop.service.settlement import follow_up, settle

_DROP_GRACE = timedelta(seconds=60)  # an event needs a moment to become a job
_STRAY_MARKER_AGE = timedelta(hours=1)
_DEAD_WORKER_AGE = timedelta(hours=1)
_MAX_DOUBLINGS = 6
_MOST_DELETIONS = 300  # in a pass: each is some twenty requests, and a pass in Lambda has minutes


@dataclass
class SweepReport:
    """What one pass did; job ids."""

    seen: int = 0
    requeued: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    """Whoever was to end them, at their owner's wish, died first."""
    finished: list[str] = field(default_factory=list)
    """Had an outcome already; what follows from it was completed."""
    dropped: list[str] = field(default_factory=list)
    """Bucket drops whose event was lost."""
    damaged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """Their owner wanted it, or what was agreed when they were made."""
    correlation_ids: dict[str, str] = field(default_factory=dict)
    """Of the requests that made them, where these are known; by job id."""

    def note(self, about: JobRequest | Outcome) -> None:
        """Something was done about this job."""
        if about.correlation_id is not None:
            self.correlation_ids[about.job_id] = about.correlation_id


@dataclass(frozen=True)
class SweepPolicy:
    """When the sweep acts; seconds."""

    requeue_after_s: float
    upload_grace_s: float
    drop_window_s: float
    """Drops older than this are not looked at again: earlier passes have seen them."""


def due_again(queued_at: datetime, requeues: int, policy: SweepPolicy) -> datetime:
    """When a job that was queued then, for the so many-th time, is queued again."""
    return queued_at + _wait(requeues, policy)


def _wait(requeues: int, policy: SweepPolicy) -> timedelta:
    return timedelta(seconds=policy.requeue_after_s * 2 ** min(requeues, _MAX_DOUBLINGS))


class Sweep:
    """One pass over pending/ and inbox/. Several may run at once; every step can be repeated."""

    def __init__(
        self,
        store: ObjectStore,
        interactive: JobQueue,
        bulk: JobQueue,
        *,
        bucket: str,
        catalog: ModelCatalog,
        policy: SweepPolicy,
        clock: Clock,
    ) -> None:
        self._store = store
        self._interactive = interactive
        self._bulk = bulk
        self._bucket = bucket
        self._catalog = catalog
        self._policy = policy
        self._clock = clock
        self._without_message: set[JobRef] = set()
        """Held by a worker when the queues were lost: should it die, no message comes back."""

    def run(self, *, queues_lost: bool = False) -> SweepReport:
        """One pass. ``queues_lost`` queues everything that waits, whenever it was queued last.

        What a worker seems to hold just then is looked at in every later pass of this process,
        until it has ended or its lease has: its message is gone too.
        """
        report = SweepReport()
        now = self._clock()
        for info in self._store.list(keys.PENDING):
            report.seen += 1
            if ref := keys.parse_pending_key(info.key):
                try:
                    self._look_at(ref, info, now, queues_lost, report)
                except DamagedDocumentError as damaged:  # one bad document stops no other job
                    report.damaged.append(damaged.key)
                    if load_of(info.size) is not None:
                        self._wait_for_nothing(info)
        self._delete(now, report)
        self._find_lost_drops(now, queues_lost, report)
        self._forget_dead_workers(now)
        return report

    def _look_at(
        self, ref: JobRef, info: ObjectInfo, now: datetime, queues_lost: bool, report: SweepReport
    ) -> None:
        age = now - info.modified
        at_once = queues_lost or ref in self._without_message
        self._without_message.discard(ref)
        if not at_once and age < timedelta(seconds=self._policy.requeue_after_s):
            return
        if outcome := read_intact(self._store, Outcome, keys.outcome(ref)):
            follow_up(self._store, outcome)
            report.finished.append(ref.job_id)
            report.note(outcome)
            return
        request = read(self._store, JobRequest, keys.request(ref))
        if request is None:
            # A marker is written after its request, so nobody is about to write this one.
            if age > _STRAY_MARKER_AGE:
                self._store.delete(info.key)
            return
        lease = read_intact(self._store, Lease, keys.lease(ref))
        if lease is not None and lease.live(now):
            if at_once:
                self._without_message.add(ref)
            return
        if cancel_requested(self._store, ref):
            settle(self._store, cancelled(request, now))
            drop_upload(self._store, request)
            report.cancelled.append(ref.job_id)
            report.note(request)
            return
        began = lease is not None or request.source == "drop"
        media = None if began else self._store.head(request.media_key)
        if began or media is not None:
            load = load_of(info.size) or _load(request, media.size if media else request.size)
            # Should the media be gone by now, the worker says so in the outcome.
            self._requeue(request, age, at_once, load, report)
            return
        if load_of(info.size) is not None:
            self._wait_for_nothing(info)  # whoever was to store it died
        if overdue(request, now, timedelta(seconds=self._policy.upload_grace_s)):
            settle(self._store, _expired(request, now))
            drop_upload(self._store, request)
            report.expired.append(ref.job_id)
            report.note(request)

    def _requeue(
        self,
        request: JobRequest,
        age: timedelta,
        at_once: bool,
        load: Load,
        report: SweepReport,
    ) -> None:
        ref = request.ref
        if self._store.head(keys.pending(ref)) is None:  # it ended while we looked
            return
        marker = read_intact(self._store, PendingMarker, keys.pending(ref)) or PendingMarker()
        if not at_once and age < _wait(marker.requeues, self._policy):
            return
        queue = self._interactive if request.source == "sync" else self._bulk
        queue.send(direct_message(ref, request.correlation_id))
        # A worker that ends the job right now leaves this marker behind; the next pass removes it.
        mark_pending(self._store, ref, marker.requeues + 1, load=load)
        report.requeued.append(ref.job_id)
        report.note(request)

    def _wait_for_nothing(self, info: ObjectInfo) -> None:
        """No worker can do anything for this job: let none be started for it again and again."""
        try:
            if found := self._store.get(info.key):
                self._store.replace(info.key, found.body.rstrip(), found.etag)
        except LostRaceError:
            pass  # it has ended, or something came of it

    def _delete(self, now: datetime, report: SweepReport) -> None:
        for info in self._store.list(keys.DELETING):
            if len(report.deleted) >= _MOST_DELETIONS:
                return
            ref = keys.parse_deleting_key(info.key)
            if ref and finish(self._store, ref, self._clock):
                report.deleted.append(ref.job_id)
        for done, info in enumerate(self._store.list(keys.EXPIRY)):
            marked = keys.parse_expiry_key(info.key)
            if marked is None:
                continue
            due, ref = marked
            if due > now or done >= _MOST_DELETIONS:
                return
            if expire(self._store, ref, self._clock):
                report.deleted.append(ref.job_id)
            # A job that a worker still holds has its marker under deleting/ by now.
            self._store.delete(info.key)

    def _find_lost_drops(self, now: datetime, queues_lost: bool, report: SweepReport) -> None:
        window = timedelta(seconds=self._policy.drop_window_s)
        for info in self._store.list(keys.INBOX):
            drop = keys.parse_media_key(info.key)
            age = now - info.modified
            if not isinstance(drop, keys.Drop) or age < _DROP_GRACE:
                continue
            if not queues_lost and age > window:
                continue
            if is_admitted(self._store, job_of_drop(self._bucket, drop, info)):
                continue
            ref = admit_drop(
                self._store, self._bucket, drop, catalog=self._catalog, clock=self._clock
            )
            if ref is not None:
                self._bulk.send(direct_message(ref))
                report.dropped.append(ref.job_id)

    def _forget_dead_workers(self, now: datetime) -> None:
        for info in self._store.list(keys.WORKERS):
            if now - info.modified > _DEAD_WORKER_AGE:
                self._store.delete(info.key)


def _expired(request: JobRequest, now: datetime) -> Outcome:
    failure = JobFailure(
        code=UploadExpiredError.code,
        message="the upload did not arrive before its address expired; create a new job",
    )
    return Outcome.of(request, JobStatus.EXPIRED, now, error=failure)


def _load(request: JobRequest, size: int | None) -> Load:
    return Load(estimate_s(request.name, size or 0), request.source == "sync")
