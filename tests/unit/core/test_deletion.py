"""A deleted job is gone at once and for good, whoever dies or is late."""

from datetime import timedelta
from typing import Any

import pytest

from tests.builders import (
    a_lease,
    a_ref,
    a_request,
    a_transcript,
    an_outcome,
    keys_in,
    stored_job,
    stored_part,
)
from tests.clock import NOON, ManualClock
from tests.stores import BeforeWriteStore, FailingStore, LostAnswerStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef, job_id_of_drop
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.errors import JobNotFoundError, StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.deletion import LATENESS, delete, expire, finish
from whisperdrop.service.documents import dump, read
from whisperdrop.service.idempotency import RepeatKey, claim
from whisperdrop.service.settlement import follow_up, settle
from whisperdrop.service.viewing import view_of

KEPT = ("jobs/acme/{}/outcome.json", "usage/")


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def ended(store: ObjectStore, **fields: Any) -> JobRequest:
    """A job that succeeded, with everything that it may leave behind."""
    job = stored_job(store, a_request(**fields), media=b"audio")
    stored_part(store, job.ref, 0)
    store.create(keys.lease(job.ref), dump(a_lease(NOON)))
    settle(store, Outcome.of(job, JobStatus.SUCCEEDED, NOON), a_transcript(job.ref))
    follow_up(store, an_outcome(job.ref))  # its usage record
    return job


def left(store: ObjectStore, ref: JobRef) -> list[str]:
    """What names the job, but for the marker of the day when the rest of it goes."""
    named = [key for key in keys_in(store) if ref.job_id in key]
    return [key for key in named if not key.startswith(keys.EXPIRY)]


def usage_of(store: ObjectStore, ref: JobRef) -> list[str]:
    return [key for key in keys_in(store, "usage/") if ref.job_id in key]


def gone(store: ObjectStore, ref: JobRef) -> bool:
    try:
        view_of(store, ref, NOON)
    except JobNotFoundError:
        return True
    return False


def whole(store: ObjectStore, job: JobRequest) -> bool:
    needed = (keys.request(job.ref), keys.outcome(job.ref), keys.transcript(job.ref))
    return all(store.head(key) for key in (*needed, job.media_key))


def test_of_a_deleted_job_its_usage_stays_and_the_word_that_it_was_deleted(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job, other = ended(store), ended(store)
    before = left(store, other.ref)
    assert delete(store, job.ref, clock)
    assert gone(store, job.ref)
    assert left(store, job.ref) == [keys.outcome(job.ref), *usage_of(store, job.ref)]
    assert usage_of(store, job.ref)
    assert left(store, other.ref) == before
    assert read(store, Outcome, keys.outcome(job.ref)) == Outcome(
        tenant="acme",
        job_id=job.job_id,
        status=JobStatus.CANCELLED,
        model="tiny.en",
        created_at=NOON,
        finished_at=NOON,
        deleted_at=NOON,
        forget_at=NOON + timedelta(hours=1) + LATENESS,
    )


def test_what_is_gone_cannot_be_deleted_again(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = ended(store)
    delete(store, job.ref, clock)
    for ref in (job.ref, a_ref()):
        with pytest.raises(JobNotFoundError):
            delete(store, ref, clock)
    assert keys_in(store, keys.DELETING) == []


def test_a_job_that_waits_is_ended_first(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    assert delete(store, job.ref, clock)
    assert left(store, job.ref) == [keys.outcome(job.ref)]


def test_what_a_worker_holds_is_deleted_when_it_has_let_go(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    lease = a_lease(NOON + timedelta(seconds=60))
    store.create(keys.lease(job.ref), dump(lease))
    assert not delete(store, job.ref, clock)
    assert view_of(store, job.ref, NOON).cancel_requested
    assert store.head(job.media_key) is not None
    settle(store, Outcome.of(job, JobStatus.CANCELLED, NOON, lease=lease))
    assert delete(store, job.ref, clock)
    assert left(store, job.ref) == [keys.outcome(job.ref)]


def test_the_worker_that_was_held_up_may_be_dead(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    store.create(keys.lease(job.ref), dump(a_lease(NOON + timedelta(seconds=60))))
    assert not delete(store, job.ref, clock)
    clock.advance(61)
    assert finish(store, job.ref, clock)  # as the sweep does
    assert left(store, job.ref) == [keys.outcome(job.ref)]


@pytest.mark.parametrize("written", [False, True])
def test_a_crash_anywhere_leaves_a_whole_job_or_none_and_a_repeat_finishes(
    written: bool, clock: ManualClock
) -> None:
    crashes = 0
    for fail_at in range(1, 100):
        store = MemoryObjectStore(clock)
        job = ended(store)
        try:
            delete(FailingStore(store, fail_at, written=written), job.ref, clock)
        except StoreError:
            crashes += 1
        else:
            break
        assert gone(store, job.ref) or whole(store, job)
        marked = [keys.parse_deleting_key(key) for key in keys_in(store, keys.DELETING)]
        if marked:
            assert marked == [job.ref]
            assert finish(store, job.ref, clock)
        elif whole(store, job):
            assert delete(store, job.ref, clock)
        assert left(store, job.ref) == [keys.outcome(job.ref), *usage_of(store, job.ref)]
        assert len(keys_in(store, keys.EXPIRY)) == 1
    assert crashes > 8


def test_a_repeat_after_a_crash_is_answered_like_the_first_try(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = ended(store)
    with pytest.raises(StoreError):
        delete(FailingStore(store, 4), job.ref, clock)
    assert gone(store, job.ref)
    assert delete(store, job.ref, clock)


def test_a_worker_that_ends_the_job_at_that_moment_loses(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    late = an_outcome(job.ref)
    meanwhile = BeforeWriteStore(
        store, keys.outcome(job.ref), lambda: settle(store, late, a_transcript(job.ref))
    )
    assert delete(meanwhile, job.ref, clock)
    assert gone(store, job.ref)
    assert left(store, job.ref) == [keys.outcome(job.ref), *usage_of(store, job.ref)]


def test_the_decision_may_have_been_written_though_its_answer_was_lost(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = ended(store)
    assert delete(LostAnswerStore(store, lose_at=2), job.ref, clock)
    assert gone(store, job.ref)


def test_a_late_worker_brings_nothing_back(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    delete(store, job.ref, clock)
    # All that a worker does which slept through its lease and the deletion.
    stored_part(store, job.ref, 7)
    decided = settle(store, an_outcome(job.ref), a_transcript(job.ref))
    assert decided.deleted_at is not None
    assert gone(store, job.ref)
    assert usage_of(store, job.ref) == []
    assert keys_in(store, keys.DELETING) == [keys.deleting(job.ref)]
    assert finish(store, job.ref, clock)
    assert left(store, job.ref) == [keys.outcome(job.ref)]


def test_a_late_upload_is_removed_when_its_event_comes(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = stored_job(store, a_request())
    delete(store, job.ref, clock)
    store.put(job.media_key, b"audio", "audio/mpeg")
    tombstone = read(store, Outcome, keys.outcome(job.ref))
    assert tombstone is not None
    follow_up(store, tombstone)  # what a worker does with a job that has ended
    assert finish(store, job.ref, clock)
    assert left(store, job.ref) == [keys.outcome(job.ref)]


def test_when_nobody_can_be_late_any_more_nothing_is_left(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = stored_job(store, a_request())
    delete(store, job.ref, clock)
    store.put(job.media_key, b"late, and its event was lost", "audio/mpeg")
    [marker] = keys_in(store, keys.EXPIRY)
    marked = keys.parse_expiry_key(marker)
    assert marked == (NOON + timedelta(hours=1) + LATENESS, job.ref)
    clock.now = marked[0] - timedelta(seconds=1)
    expire(store, job.ref, clock)
    assert gone(store, job.ref)
    assert store.head(keys.outcome(job.ref)) is not None
    clock.now = marked[0]
    expire(store, job.ref, clock)
    assert left(store, job.ref) == []


def test_the_parts_of_an_unfinished_upload_go_first(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = a_request(size=10)
    upload_id = store.create_multipart(job.media_key, "audio/mpeg")
    job = stored_job(store, job.model_copy(update={"upload_id": upload_id, "part_size": 10}))
    store.put_part(job.media_key, upload_id, 1, b"0123456789")
    assert delete(store, job.ref, clock)
    assert store.list_multipart(job.media_key, upload_id) is None


def a_drop(store: MemoryObjectStore, clock: ManualClock) -> JobRequest:
    key = "inbox/acme/talks/a.mp3"
    store.put(key, b"audio", "audio/mpeg")
    info = store.head(key)
    assert info is not None
    ref = JobRef("acme", job_id_of_drop("media", key, info.etag, info.modified))
    job = stored_job(store, a_request(ref, source="drop", media_key=key, upload_expires_at=None))
    settle(store, Outcome.of(job, JobStatus.SUCCEEDED, NOON), a_transcript(ref))
    return job


def test_a_drop_goes_with_its_renderings(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = a_drop(store, clock)
    assert keys_in(store, "outbox/")
    delete(store, job.ref, clock)
    assert keys_in(store, "outbox/") == keys_in(store, "inbox/") == []


def test_another_file_in_the_place_of_a_drop_stays(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = a_drop(store, clock)
    clock.advance(5)
    store.put(job.media_key, b"another", "audio/mpeg")
    rendered = keys_in(store, "outbox/")
    delete(store, job.ref, clock)
    assert (keys_in(store, "outbox/"), keys_in(store, "inbox/")) == (rendered, [job.media_key])


def test_a_damaged_outcome_can_be_deleted(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = ended(store)
    store.put(keys.outcome(job.ref), b"{", "application/json")
    assert delete(store, job.ref, clock)
    assert gone(store, job.ref)


def test_a_damaged_request_can_be_deleted(store: MemoryObjectStore, clock: ManualClock) -> None:
    job = stored_job(store, a_request(), media=b"audio")
    store.put(keys.request(job.ref), b"{", "application/json")
    assert delete(store, job.ref, clock)
    assert gone(store, job.ref)
    assert left(store, job.ref) == [keys.outcome(job.ref)]


def test_the_key_that_made_a_job_is_free_again(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    key = RepeatKey.of("k", b"body")
    job = stored_job(store, a_request(idempotency=key.digest))
    claim(store, job.ref, key, NOON)
    delete(store, job.ref, clock)
    assert keys_in(store, "idempotency/") == []


def test_a_key_that_has_made_another_job_since_stays_with_that_one(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    key, other = RepeatKey.of("k", b"body"), a_ref()
    job = stored_job(store, a_request(idempotency=key.digest))
    claim(store, other, key, NOON)
    delete(store, job.ref, clock)
    assert claim(store, a_ref(), key, NOON).job_id == other.job_id


def test_a_job_goes_when_its_days_are_over_and_not_before(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    job = ended(store, retention_days=2)
    [marker] = keys_in(store, keys.EXPIRY)
    assert keys.parse_expiry_key(marker) == (NOON + timedelta(days=2), job.ref)
    clock.now = NOON + timedelta(days=2, seconds=-1)
    assert not expire(store, job.ref, clock)
    assert whole(store, job)
    clock.advance(1)
    assert expire(store, job.ref, clock)
    assert gone(store, job.ref)


def test_a_stray_marker_deletes_nothing(store: MemoryObjectStore, clock: ManualClock) -> None:
    job, running = ended(store), stored_job(store, a_request(), media=b"audio")
    for ref in (job.ref, running.ref, a_ref()):
        assert not expire(store, ref, clock)
    assert whole(store, job)
    assert store.head(running.media_key) is not None
