from datetime import timedelta
from typing import Any

import pytest

from tests.builders import (
    BUCKET,
    a_lease,
    a_ref,
    a_request,
    a_transcript,
    an_outcome,
    keys_in,
    stored_job,
)
from tests.clock import NOON, ManualClock
from tests.stores import BeforeWriteStore, FailingStore
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import Work, parse_event
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome, PendingMarker
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import dump, read
from whisperdrop.service.drops import job_of_drop
from whisperdrop.service.settlement import settle
from whisperdrop.service.sweep import Sweep, SweepPolicy, SweepReport

REQUEUE_S = 600
GRACE_S = 3600
WINDOW_S = 86_400
DROP = keys.Drop("acme", "inbox/acme/a.mp3")


class Yard:
    """A store, its two queues, and the sweep over them."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store = MemoryObjectStore(clock)
        self.interactive = MemoryJobQueue(clock)
        self.bulk = MemoryJobQueue(clock)
        self._process = self._new(self.store)

    def sweep(
        self, *, through: ObjectStore | None = None, queues_lost: bool = False
    ) -> SweepReport:
        sweep = self._new(through) if through else self._process
        return sweep.run(queues_lost=queues_lost)

    def _new(self, store: ObjectStore) -> Sweep:
        return Sweep(
            store,
            self.interactive,
            self.bulk,
            bucket=BUCKET,
            catalog=ModelCatalog(("tiny.en",)),
            policy=SweepPolicy(REQUEUE_S, GRACE_S, WINDOW_S),
            clock=self.clock,
        )

    def job(self, *, media: bytes | None = b"audio", **fields: Any) -> JobRequest:
        return stored_job(self.store, a_request(**fields), media=media)

    def drop(self) -> keys.Drop:
        self.store.put(DROP.key, b"audio", "audio/mpeg")
        return DROP


@pytest.fixture
def yard(clock: ManualClock) -> Yard:
    return Yard(clock)


def queued(queue: MemoryJobQueue) -> list[Work]:
    work: list[Work] = []
    while message := queue.receive(wait_s=0, visibility_s=1):
        work += parse_event(message.body, bucket=BUCKET)
        queue.delete(message)
    return work


def nothing_done(report: SweepReport) -> bool:
    return report == SweepReport(seen=report.seen)


def test_a_lost_notification_is_found_by_the_sweep(yard: Yard) -> None:
    job = yard.job()
    yard.clock.advance(REQUEUE_S)
    report = yard.sweep()
    assert report.requeued == [job.job_id]
    assert queued(yard.bulk) == [job.ref]
    assert queued(yard.interactive) == []


def test_a_job_of_a_synchronous_route_goes_back_to_the_interactive_queue(yard: Yard) -> None:
    job = yard.job(source="sync")
    yard.clock.advance(REQUEUE_S)
    yard.sweep()
    assert queued(yard.interactive) == [job.ref]
    assert queued(yard.bulk) == []


def test_a_young_job_is_left_to_its_own_notification(yard: Yard) -> None:
    yard.job()
    yard.clock.advance(REQUEUE_S - 1)
    report = yard.sweep()
    assert report.seen == 1
    assert nothing_done(report)


def test_a_job_held_when_the_queues_were_lost_is_queued_as_soon_as_its_lease_has_ended(
    yard: Yard,
) -> None:
    job = yard.job()
    lease = a_lease(yard.clock() + timedelta(seconds=30))
    yard.store.create(keys.lease(job.ref), dump(lease))
    assert nothing_done(yard.sweep(queues_lost=True))
    yard.clock.advance(15)
    assert nothing_done(yard.sweep())
    yard.clock.advance(15)
    assert yard.sweep().requeued == [job.job_id]
    assert nothing_done(yard.sweep()), "once: it has a message again"


def test_a_live_lease_is_left_alone(yard: Yard) -> None:
    job = yard.job()
    yard.clock.advance(REQUEUE_S)
    lease = a_lease(yard.clock() + timedelta(seconds=1))
    yard.store.create(keys.lease(job.ref), dump(lease))
    assert nothing_done(yard.sweep())
    assert nothing_done(yard.sweep(queues_lost=True))
    yard.clock.advance(1)
    assert yard.sweep().requeued == [job.job_id]


@pytest.mark.parametrize("lease", [dump(a_lease(NOON)), b"{"], ids=["over", "damaged"])
def test_a_job_that_began_is_queued_again_even_if_its_media_is_gone(
    lease: bytes, yard: Yard
) -> None:
    job = yard.job(media=b"audio")
    yard.store.put(keys.lease(job.ref), lease)
    if lease != b"{":
        yard.store.delete(job.media_key)  # the worker says so in the outcome
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().requeued == [job.job_id]


def test_a_waiting_job_is_queued_ever_more_rarely(yard: Yard) -> None:
    yard.job()
    step = REQUEUE_S / 2
    requeued_after: list[float] = []
    waited = 0.0
    for _ in range(400):
        yard.clock.advance(step)
        waited += step
        if yard.sweep().requeued:
            requeued_after.append(waited / REQUEUE_S)
            waited = 0.0
    assert requeued_after == [1, 2, 4, 8, 16, 32, 64, 64]


def test_an_upload_that_never_came_expires_after_its_grace(yard: Yard) -> None:
    job = yard.job(media=None)
    assert job.upload_expires_at is not None
    yard.clock.now = job.upload_expires_at + timedelta(seconds=GRACE_S)
    assert nothing_done(yard.sweep())
    yard.clock.advance(1)
    assert yard.sweep().expired == [job.job_id]
    outcome = read(yard.store, Outcome, keys.outcome(job.ref))
    assert outcome is not None
    assert outcome.status is JobStatus.EXPIRED
    assert outcome.error is not None
    assert outcome.error.code == "upload_expired"
    assert keys_in(yard.store, "pending/") == []
    assert queued(yard.bulk) == []


def test_a_job_whose_canceller_died_before_it_ended_the_job_is_cancelled(yard: Yard) -> None:
    job = yard.job()
    with pytest.raises(StoreError):
        cancel(FailingStore(yard.store, 2), job.ref, yard.clock)
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().cancelled == [job.job_id]
    outcome = read(yard.store, Outcome, keys.outcome(job.ref))
    assert outcome is not None
    assert outcome.status is JobStatus.CANCELLED
    assert keys_in(yard.store, "pending/") == []
    assert queued(yard.bulk) == []


def test_a_cancelled_job_is_left_to_the_worker_that_holds_it(yard: Yard) -> None:
    job = yard.job()
    yard.clock.advance(REQUEUE_S)
    lease = a_lease(yard.clock() + timedelta(seconds=1))
    yard.store.create(keys.lease(job.ref), dump(lease))
    cancel(yard.store, job.ref, yard.clock)
    assert nothing_done(yard.sweep())
    yard.clock.advance(1)
    assert yard.sweep().cancelled == [job.job_id]


def test_a_late_upload_is_transcribed_and_not_expired(yard: Yard) -> None:
    job = yard.job()
    yard.clock.advance(10 * GRACE_S)
    report = yard.sweep()
    assert report.expired == []
    assert report.requeued == [job.job_id]


def test_a_job_that_ended_in_the_meantime_is_not_expired_over_it(yard: Yard) -> None:
    job = yard.job(media=None)
    yard.clock.advance(10 * GRACE_S)
    racing = BeforeWriteStore(
        yard.store,
        keys.outcome(job.ref),
        lambda: settle(yard.store, an_outcome(job.ref), a_transcript(job.ref)),
    )
    yard.sweep(through=racing)
    outcome = read(yard.store, Outcome, keys.outcome(job.ref))
    assert outcome is not None
    assert outcome.status is JobStatus.SUCCEEDED
    assert len(keys_in(yard.store, "usage/")) == 1


@pytest.mark.parametrize("crash_at", [3, 4])
def test_what_a_dead_worker_left_undone_after_the_outcome_is_completed(
    crash_at: int, yard: Yard
) -> None:
    job = yard.job()
    with pytest.raises(StoreError):
        settle(FailingStore(yard.store, crash_at), an_outcome(job.ref), a_transcript(job.ref))
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().finished == [job.job_id]
    assert len(keys_in(yard.store, "usage/")) == 1
    assert keys_in(yard.store, "pending/") == []
    assert queued(yard.bulk) == []


def test_a_marker_that_the_sweep_wrote_over_the_end_of_a_job_is_removed_by_the_next(
    yard: Yard,
) -> None:
    job = yard.job()
    yard.clock.advance(REQUEUE_S)
    racing = BeforeWriteStore(
        yard.store,
        keys.pending(job.ref),
        lambda: settle(yard.store, an_outcome(job.ref), a_transcript(job.ref)),
    )
    yard.sweep(through=racing)
    assert keys_in(yard.store, "pending/") == [keys.pending(job.ref)]
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().finished == [job.job_id]
    assert keys_in(yard.store, "pending/") == []


def test_a_drop_whose_event_was_lost_becomes_a_job(yard: Yard) -> None:
    drop = yard.drop()
    info = yard.store.head(drop.key)
    assert info is not None
    ref = job_of_drop(BUCKET, drop, info)
    yard.clock.advance(59)
    assert nothing_done(yard.sweep())
    yard.clock.advance(1)
    assert yard.sweep().dropped == [ref.job_id]
    assert queued(yard.bulk) == [ref]
    assert yard.sweep().dropped == []


def test_an_old_drop_is_not_looked_at_again_unless_the_queues_were_lost(yard: Yard) -> None:
    yard.drop()
    yard.clock.advance(WINDOW_S + 1)
    assert nothing_done(yard.sweep())
    assert len(yard.sweep(queues_lost=True).dropped) == 1


def test_a_drop_that_is_refused_is_refused_once_and_never_queued(yard: Yard) -> None:
    yard.store.put("inbox/acme/notes.txt", b"text")
    yard.clock.advance(60)
    assert nothing_done(yard.sweep())
    assert keys_in(yard.store, "outbox/") == ["outbox/acme/notes.txt.error.json"]
    before = yard.store.head("outbox/acme/notes.txt.error.json")
    yard.clock.advance(60)
    assert nothing_done(yard.sweep())
    assert yard.store.head("outbox/acme/notes.txt.error.json") == before
    assert queued(yard.bulk) == []


def test_a_drop_that_was_deleted_before_it_was_read_does_not_wait_for_ever(yard: Yard) -> None:
    yard.drop()
    yard.clock.advance(60)
    ref = parse_ref(yard)
    yard.store.delete(DROP.key)
    yard.clock.advance(REQUEUE_S)
    # The worker finds that the media is missing, and says so in the outcome.
    assert yard.sweep().requeued == [ref]
    assert len(queued(yard.bulk)) == 1


def parse_ref(yard: Yard) -> str:
    (dropped,) = yard.sweep().dropped
    queued(yard.bulk)
    return dropped


def test_a_stray_marker_is_forgotten_after_an_hour(yard: Yard) -> None:
    ref = a_ref()
    yard.store.put(keys.pending(ref), dump(PendingMarker()))
    yard.clock.advance(3600)
    yard.sweep()
    assert keys_in(yard.store, "pending/") == [keys.pending(ref)]
    yard.clock.advance(1)
    assert nothing_done(yard.sweep())
    assert keys_in(yard.store, "pending/") == []


def test_a_marker_that_is_not_ours_is_left_alone(yard: Yard) -> None:
    yard.store.put("pending/readme.txt", b"hello")
    yard.clock.advance(10 * GRACE_S)
    assert nothing_done(yard.sweep())
    assert keys_in(yard.store) == ["pending/readme.txt"]


def test_lost_queues_are_refilled_at_once(yard: Yard) -> None:
    bulk = yard.job()
    sync = yard.job(source="sync")
    waiting = yard.job(media=None)
    drop = yard.drop()
    yard.clock.advance(60)
    report = yard.sweep(queues_lost=True)
    assert sorted(report.requeued) == sorted([bulk.job_id, sync.job_id])
    assert len(report.dropped) == 1
    assert waiting.job_id not in report.requeued
    info = yard.store.head(drop.key)
    assert info is not None
    assert set(queued(yard.bulk)) == {bulk.ref, job_of_drop(BUCKET, drop, info)}
    assert queued(yard.interactive) == [sync.ref]


def test_lost_queues_are_refilled_whatever_the_backoff(yard: Yard) -> None:
    job = yard.job()
    for _ in range(3):
        assert yard.sweep(queues_lost=True).requeued == [job.job_id]


def test_two_sweeps_at_once_do_no_harm(yard: Yard) -> None:
    job = yard.job()
    yard.clock.advance(REQUEUE_S)
    racing = BeforeWriteStore(yard.store, keys.pending(job.ref), yard.sweep)
    assert yard.sweep(through=racing).requeued == [job.job_id]
    assert set(queued(yard.bulk)) == {job.ref}
    assert read(yard.store, PendingMarker, keys.pending(job.ref)) == PendingMarker(requeues=1)


def test_one_damaged_document_stops_no_other_job(yard: Yard) -> None:
    jobs = [yard.job() for _ in range(3)]
    yard.store.put(keys.request(jobs[1].ref), b"{")
    yard.clock.advance(REQUEUE_S)
    report = yard.sweep()
    assert sorted(report.requeued) == sorted([jobs[0].job_id, jobs[2].job_id])
    assert report.damaged == [keys.request(jobs[1].ref)]


def test_a_job_with_a_damaged_outcome_is_done_again(yard: Yard) -> None:
    # A store without atomic writes was killed while it wrote; the next worker replaces it.
    job = yard.job()
    yard.store.put(keys.outcome(job.ref), b'{"tena')
    yard.clock.advance(REQUEUE_S)
    yard.sweep()
    assert queued(yard.bulk) == [job.ref]


def test_a_job_with_a_damaged_marker_is_queued_again(yard: Yard) -> None:
    job = yard.job()
    yard.store.put(keys.pending(job.ref), b"")
    yard.clock.advance(REQUEUE_S)
    yard.sweep()
    assert queued(yard.bulk) == [job.ref]
    assert read(yard.store, PendingMarker, keys.pending(job.ref)) is not None


def test_a_damaged_request_of_a_drop_is_repaired_and_stops_no_other_drop(yard: Yard) -> None:
    yard.drop()
    yard.clock.advance(60)
    (job_id,) = yard.sweep().dropped
    queued(yard.bulk)
    yard.store.put(f"jobs/acme/{job_id}/request.json", b"{")
    yard.store.put("inbox/acme/b.mp3", b"audio", "audio/mpeg")
    yard.clock.advance(60)
    report = yard.sweep()
    assert len(report.dropped) == 2
    assert job_id in report.dropped
    assert len(queued(yard.bulk)) == 2


def test_reports_of_dead_workers_are_removed(yard: Yard) -> None:
    yard.store.put(keys.worker("dead"), b"{}")
    yard.clock.advance(3600)
    yard.store.put(keys.worker("alive"), b"{}")
    yard.clock.advance(1)
    yard.sweep()
    assert keys_in(yard.store, "workers/") == [keys.worker("alive")]
