import io
from datetime import timedelta

import pytest

from tests.builders import (
    TENANT,
    a_lease,
    a_ref,
    a_request,
    a_transcript,
    an_outcome,
    keys_in,
    stored_job,
)
from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, FailingKeyStore, LostAnswerStore
from tests.unit.core.test_jobs import SayingPresigner
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import CancelMarker, JobRequest, JobStatus
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.deduplication import (
    RECORDING_GRACE,
    SENDING_GRACE,
    abandon,
    claim,
    fingerprint,
)
from whisperdrop.service.documents import dump
from whisperdrop.service.jobs import JobService, NewJob
from whisperdrop.service.settlement import settle

SAME = fingerprint("ab" * 32, "tiny.en", TranscribeOptions())


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def first(store: MemoryObjectStore, clock: ManualClock) -> JobRequest:
    """A job that has claimed the fingerprint and waits for a worker."""
    request = a_request(source="sync")
    assert claim(store, TENANT, SAME, request.ref, clock) == request.ref
    return stored_job(store, request, media=b"audio")


def again(store: ObjectStore, clock: ManualClock) -> tuple[JobRef, JobRef]:
    """Another caller's job, and the one that counts."""
    ours = a_ref()
    return ours, claim(store, TENANT, SAME, ours, clock)


def test_equal_requests_have_one_fingerprint_and_different_ones_do_not() -> None:
    english = TranscribeOptions(language="en")
    prints = [
        SAME,
        fingerprint("AB" * 32, "tiny.en", TranscribeOptions(temperature=0.0)),
        fingerprint("cd" * 32, "tiny.en", TranscribeOptions()),
        fingerprint("ab" * 32, "base", TranscribeOptions()),
        fingerprint("ab" * 32, "tiny.en", english),
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_a_job_that_goes_on_is_joined_by_whoever_asks_for_the_same(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    clock.advance(3600)
    _, counts = again(store, clock)
    assert counts == first.ref


def test_a_finished_job_is_joined_as_long_as_its_transcript_is_there(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    settle(store, an_outcome(first.ref), a_transcript(first.ref))
    store.delete(first.media_key)
    assert again(store, clock)[1] == first.ref
    store.delete(keys.transcript(first.ref))
    ours, counts = again(store, clock)
    assert counts == ours


@pytest.mark.parametrize("end", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED])
def test_a_job_that_ended_without_a_transcript_does_not_stick(
    end: JobStatus, store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    settle(store, an_outcome(first.ref, end))
    ours, counts = again(store, clock)
    assert counts == ours
    stored_job(store, a_request(ours), media=b"audio")
    assert again(store, clock)[1] == ours


def test_a_job_whose_end_was_asked_for_does_not_count(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    store.create(keys.cancel(first.ref), dump(CancelMarker(requested_at=clock())))
    ours, counts = again(store, clock)
    assert counts == ours


def test_a_claim_without_a_job_counts_while_its_job_may_be_on_its_way(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    before = a_ref()
    claim(store, TENANT, SAME, before, clock)
    assert again(store, clock)[1] == before
    clock.advance(RECORDING_GRACE.total_seconds())
    ours, counts = again(store, clock)
    assert counts == ours


def test_media_that_the_api_stores_may_take_a_while_and_no_longer(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    store.delete(first.media_key)
    clock.advance(RECORDING_GRACE.total_seconds())
    assert again(store, clock)[1] == first.ref
    clock.advance((SENDING_GRACE - RECORDING_GRACE).total_seconds())
    ours, counts = again(store, clock)
    assert counts == ours


def test_a_job_that_waits_for_an_upload_is_not_joined_since_it_may_never_come(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    waiting = stored_job(store, a_request())
    claim(store, TENANT, SAME, waiting.ref, clock)
    ours, counts = again(store, clock)
    assert counts == ours


def test_a_worker_at_it_is_as_good_as_media(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    store.delete(first.media_key)
    clock.advance(SENDING_GRACE.total_seconds())
    store.create(keys.lease(first.ref), dump(a_lease(clock() + timedelta(seconds=30))))
    assert again(store, clock)[1] == first.ref


def test_a_damaged_claim_is_nobodys(store: MemoryObjectStore, clock: ManualClock) -> None:
    store.put(keys.idempotency(TENANT, SAME), b"{", "application/json")
    ours, counts = again(store, clock)
    assert counts == ours


def test_another_tenant_never_joins(
    store: MemoryObjectStore, first: JobRequest, clock: ManualClock
) -> None:
    stranger = a_ref("umbrella")
    assert claim(store, "umbrella", SAME, stranger, clock) == stranger


def test_of_two_callers_at_once_one_wins_and_the_other_joins(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    winner = a_ref()
    racing = BeforeWriteStore(
        store,
        keys.idempotency(TENANT, SAME),
        lambda: claim(store, TENANT, SAME, winner, clock),
    )
    assert again(racing, clock)[1] == winner


def test_a_claim_whose_answer_was_lost_is_still_ours(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ours, counts = again(LostAnswerStore(store), clock)
    assert counts == ours


def test_an_abandoned_claim_makes_way_and_only_its_owner_abandons_it(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    before = a_ref()
    claim(store, TENANT, SAME, before, clock)
    abandon(store, TENANT, SAME, a_ref())
    assert again(store, clock)[1] == before
    abandon(store, TENANT, SAME, before)
    ours, counts = again(store, clock)
    assert counts == ours


def create(store: ObjectStore, clock: ManualClock, queue: MemoryJobQueue) -> JobRef:
    jobs = JobService(store, SayingPresigner(), queue, clock=clock, upload_expires_s=900)
    new = NewJob(TENANT, "tiny.en", "a.mp3")
    return jobs.create_with_media(new, io.BytesIO(b"audio"), 5, fingerprint=SAME)


def test_a_joined_job_is_not_uploaded_or_sent_again(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    queue = MemoryJobQueue(clock)
    one = create(store, clock, queue)
    stored = keys_in(store)
    assert create(store, clock, queue) == one
    assert len(queue) == 1
    assert keys_in(store) == stored


@pytest.mark.parametrize("prefix", ["media/", "jobs/", "pending/"])
def test_a_job_that_could_not_be_stored_is_not_joined(
    prefix: str, store: MemoryObjectStore, clock: ManualClock
) -> None:
    queue = MemoryJobQueue(clock)
    with pytest.raises(StoreError):
        create(FailingKeyStore(store, prefix), clock, queue)
    create(store, clock, queue)
    assert len(queue) == 1
