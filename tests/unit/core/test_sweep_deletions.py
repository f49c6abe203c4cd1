"""What the sweep deletes: what somebody began to delete, and what has had its time."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import a_lease, a_ref, a_transcript, an_outcome, keys_in
from tests.clock import NOON, ManualClock
from tests.stores import FailingStore
from tests.unit.core.test_sweep import GRACE_S, REQUEUE_S, Yard
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.errors import StoreError
from whisperdrop.service.deletion import LATENESS, delete
from whisperdrop.service.documents import dump
from whisperdrop.service.settlement import settle

YEAR = timedelta(days=365)


@pytest.fixture
def yard(clock: ManualClock) -> Yard:
    return Yard(clock)


def ended(yard: Yard, **fields: Any) -> JobRequest:
    job = yard.job(**fields)
    settle(yard.store, Outcome.of(job, JobStatus.SUCCEEDED, NOON), a_transcript(job.ref))
    return job


def left(yard: Yard, job: JobRequest) -> list[str]:
    return [key for key in keys_in(yard.store) if job.job_id in key]


def test_a_deletion_that_died_is_finished(yard: Yard) -> None:
    job = ended(yard)
    with pytest.raises(StoreError):
        delete(FailingStore(yard.store, 3), job.ref, yard.clock)
    report = yard.sweep()
    assert report.deleted == [job.job_id]
    assert keys_in(yard.store, keys.DELETING) == []
    assert yard.sweep().deleted == []


def test_a_job_that_was_running_is_deleted_when_it_has_ended(yard: Yard) -> None:
    job = yard.job()
    yard.store.create(keys.lease(job.ref), dump(a_lease(NOON + timedelta(seconds=60))))
    assert not delete(yard.store, job.ref, yard.clock)
    assert yard.sweep().deleted == []
    settle(yard.store, an_outcome(job.ref, JobStatus.CANCELLED))
    assert yard.sweep().deleted == [job.job_id]
    assert keys_in(yard.store, "uploads/") == []


def test_jobs_go_when_their_days_are_over_and_the_others_stay(yard: Yard) -> None:
    at_once, week, ever = (ended(yard, retention_days=days) for days in (0, 7, None))
    assert yard.sweep().deleted == [at_once.job_id]
    yard.clock.now = NOON + timedelta(days=7, seconds=-1)
    assert yard.sweep().deleted == []
    yard.clock.now = NOON + timedelta(days=7)
    assert yard.sweep().deleted == [week.job_id]
    yard.clock.now = NOON + YEAR
    yard.sweep()
    assert left(yard, at_once) == left(yard, week) == []
    assert yard.store.head(ever.media_key) is not None
    assert keys_in(yard.store, keys.EXPIRY) == []


def test_a_sweep_that_dies_anywhere_is_made_good_by_the_next(clock: ManualClock) -> None:
    crashes = 0
    for fail_at in range(1, 100):
        yard = Yard(ManualClock())
        job = ended(yard, retention_days=1)
        yard.clock.advance(86_400)
        try:
            yard.sweep(through=FailingStore(yard.store, fail_at))
        except StoreError:
            crashes += 1
        else:
            break
        yard.sweep()
        yard.clock.now = NOON + YEAR
        yard.sweep()
        assert left(yard, job) == []
    assert crashes > 5


def test_a_job_that_was_deleted_before_its_days_were_over_is_forgotten_in_time(yard: Yard) -> None:
    job = ended(yard, retention_days=7)
    delete(yard.store, job.ref, yard.clock)
    yard.clock.now = NOON + timedelta(hours=2) + LATENESS
    yard.sweep()
    yard.clock.now = NOON + timedelta(days=8)
    yard.sweep()
    assert left(yard, job) == []


def test_the_days_of_a_job_that_end_at_once_do_not_forget_its_deletion(yard: Yard) -> None:
    job = ended(yard, retention_days=0)
    delete(yard.store, job.ref, yard.clock)
    yard.sweep()
    assert yard.store.head(keys.outcome(job.ref)) is not None


def test_an_upload_in_parts_that_never_came_is_dropped(yard: Yard) -> None:
    job = yard.job(media=None, size=10)
    upload_id = yard.store.create_multipart(job.media_key, "audio/mpeg")
    job = job.model_copy(update={"upload_id": upload_id})
    yard.store.put(keys.request(job.ref), dump(job))
    yard.clock.advance(3600 + GRACE_S + REQUEUE_S)
    assert yard.sweep().expired == [job.job_id]
    assert yard.store.list_multipart(job.media_key, upload_id) is None


def test_a_late_upload_of_a_deleted_job_whose_event_was_lost_goes_in_the_end(yard: Yard) -> None:
    job = yard.job(media=None)
    delete(yard.store, job.ref, yard.clock)
    yard.store.put(job.media_key, b"late")
    yard.clock.now = NOON + timedelta(hours=1, minutes=1) + LATENESS
    yard.sweep()
    assert left(yard, job) == []


def test_markers_that_are_none_are_passed_over(yard: Yard) -> None:
    for key in ("deleting/x", "deleting/acme/x", "expiry/x", "expiry/2026-13-01/00-00/acme/x"):
        yard.store.put(key, b"")
    job = ended(yard, retention_days=0)
    assert yard.sweep().deleted == [job.job_id]


def test_one_job_that_cannot_be_read_stops_no_other(yard: Yard) -> None:
    broken, job = yard.job(), ended(yard)
    yard.store.put(keys.request(broken.ref), b"{")
    for ref in (broken.ref, job.ref):
        yard.store.put(keys.deleting(ref), b"")
    assert sorted(yard.sweep().deleted) == sorted([broken.job_id, job.job_id])


def test_the_key_of_a_marker_says_when_and_what() -> None:
    ref = a_ref()
    assert keys.parse_expiry_key(keys.expiry(ref, NOON)) == (NOON, ref)
    assert keys.parse_deleting_key(keys.deleting(ref)) == ref
