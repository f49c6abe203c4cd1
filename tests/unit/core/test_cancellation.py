import threading
from datetime import timedelta

import pytest

from tests.builders import a_lease, a_ref, a_request, a_transcript, an_outcome, keys_in, stored_job
from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, FailingStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.errors import CancelledError, JobNotFoundError, StoreError, status_of
from whisperdrop.service.cancellation import cancel, cancel_requested, cancelled
from whisperdrop.service.documents import dump, read
from whisperdrop.service.leases import acquire
from whisperdrop.service.settlement import settle

REQUEST = a_request()
REF = REQUEST.ref


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    store = MemoryObjectStore(clock)
    stored_job(store, REQUEST, media=b"audio")
    return store


def test_a_job_that_waits_ends_at_once_and_costs_nothing(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    outcome = cancel(store, REF, clock)
    assert outcome == cancelled(REQUEST, clock())
    assert outcome.status is JobStatus.CANCELLED
    assert outcome.usage is None
    assert read(store, Outcome, keys.outcome(REF)) == outcome
    assert keys_in(store, "pending/") == keys_in(store, "usage/") == []


def test_a_cancelled_job_says_so_as_an_error_does() -> None:
    error = cancelled(REQUEST, REQUEST.created_at).error
    assert error is not None
    assert (error.code, status_of(error.code)) == ("cancelled", CancelledError.status)


def test_a_job_that_a_worker_holds_is_left_to_it(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    store.create(keys.lease(REF), dump(a_lease(clock() + timedelta(seconds=1))))
    assert cancel(store, REF, clock) is None
    assert cancel_requested(store, REF)
    assert keys_in(store, "pending/") == [keys.pending(REF)]
    clock.advance(1)  # and it dies
    outcome = cancel(store, REF, clock)
    assert outcome is not None
    assert outcome.status is JobStatus.CANCELLED


@pytest.mark.parametrize("status", [status for status in JobStatus if status.final])
def test_a_job_that_has_ended_stays_as_it_is(
    status: JobStatus, store: MemoryObjectStore, clock: ManualClock
) -> None:
    ended = settle(store, an_outcome(REF, status))
    assert cancel(store, REF, clock) == ended
    assert not cancel_requested(store, REF)


def test_a_job_is_cancelled_once_however_often_it_is_asked(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    first = cancel(store, REF, clock)
    clock.advance(5)
    assert cancel(store, REF, clock) == first


def test_a_job_that_is_not_there_cannot_be_cancelled(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    nobodys = a_ref()
    with pytest.raises(JobNotFoundError):
        cancel(store, nobodys, clock)
    assert keys_in(store, f"jobs/{nobodys.tenant}/{nobodys.job_id}/") == []


def test_a_drop_that_was_cancelled_says_so_under_outbox(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    drop = a_request(source="drop", media_key="inbox/acme/a.mp3")
    stored_job(store, drop)
    cancel(store, drop.ref, clock)
    assert keys_in(store, "outbox/") == ["outbox/acme/a.mp3.error.json"]


def test_a_worker_that_ended_the_job_just_before_wins(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    done = an_outcome(REF)
    racing = BeforeWriteStore(
        store, keys.outcome(REF), lambda: settle(store, done, a_transcript(REF))
    )
    assert cancel(racing, REF, clock) == done
    assert len(keys_in(store, "usage/")) == 1


def test_a_worker_that_takes_the_job_meanwhile_finds_the_wish(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    seen: list[bool] = []

    def take() -> None:
        acquire(store, REF, owner="w1", ttl_s=60, clock=clock)
        seen.append(cancel_requested(store, REF))

    cancel(BeforeWriteStore(store, keys.outcome(REF), take), REF, clock)
    assert seen == [True]


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash_at", [1, 2, 3])
def test_a_canceller_that_failed_half_way_can_try_again(
    crash_at: int, written: bool, store: MemoryObjectStore, clock: ManualClock
) -> None:
    with pytest.raises(StoreError):
        cancel(FailingStore(store, crash_at, written=written), REF, clock)
    outcome = cancel(store, REF, clock)
    assert outcome is not None
    assert outcome.status is JobStatus.CANCELLED


def test_of_many_cancellers_at_once_all_learn_of_one_end(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    start = threading.Barrier(8)
    ends: list[Outcome | None] = []

    def ask() -> None:
        start.wait()
        ends.append(cancel(store, REF, clock))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [read(store, Outcome, keys.outcome(REF))] * 8
