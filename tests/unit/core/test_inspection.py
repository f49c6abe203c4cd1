"""What an operator is told of a job: what there is of it, and what will happen next."""

from datetime import timedelta

import pytest

from tests.builders import a_lease, a_ref, a_request, an_outcome
from tests.clock import NOON, ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.webhook import Notification
from whisperdrop.errors import JobNotFoundError
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import dump
from whisperdrop.service.inspection import Inspection, inspect, what_next
from whisperdrop.service.requests import mark_pending, write_request
from whisperdrop.service.settlement import settle
from whisperdrop.service.sweep import SweepPolicy

LATER = NOON + timedelta(seconds=60)
POLICY = SweepPolicy(requeue_after_s=600, upload_grace_s=3600, drop_window_s=86_400)


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def _made(store: MemoryObjectStore, *, uploaded: bool = True) -> JobRef:
    request = a_request()
    write_request(store, request)
    mark_pending(store, request.ref)
    if uploaded:
        store.put(request.media_key, b"audio")
    return request.ref


def _next(store: MemoryObjectStore, ref: JobRef, clock: ManualClock) -> str:
    return what_next(inspect(store, ref), clock(), POLICY)


def _status(store: MemoryObjectStore, ref: JobRef, clock: ManualClock) -> str:
    return inspect(store, ref).status(clock())


def test_a_job_without_its_upload_waits_until_its_address_ends_and_a_while_longer(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store, uploaded=False)

    assert _status(store, ref, clock) == "awaiting_upload"
    said = _next(store, ref, clock)
    assert f"ends at {NOON + timedelta(hours=1):%Y-%m-%d %H:%M:%S} UTC" in said
    assert f"expires it after {NOON + timedelta(hours=2):%Y-%m-%d %H:%M:%S}" in said


def test_a_job_that_waits_is_queued_again_after_a_time_that_doubles(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)

    assert _status(store, ref, clock) == "queued"
    assert f"another after {NOON + timedelta(seconds=600):%Y-%m-%d %H:%M:%S}" in _next(
        store, ref, clock
    )
    mark_pending(store, ref, 2)
    assert f"another after {NOON + timedelta(seconds=2400):%Y-%m-%d %H:%M:%S}" in _next(
        store, ref, clock
    )


def test_a_job_that_a_worker_holds_names_it_and_until_when(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)
    store.create(keys.lease(ref), dump(a_lease(LATER, owner="worker-7")))

    assert _status(store, ref, clock) == "running"
    assert _next(store, ref, clock).startswith("worker-7 works on it")


def test_a_job_without_marker_and_end_is_lost_and_says_what_to_do(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)
    store.delete(keys.pending(ref))

    assert "LOST" in _next(store, ref, clock)
    assert "`mend`" in _next(store, ref, clock)


def test_a_job_that_has_ended_needs_nothing_unless_something_is_left_to_do(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)
    settle(store, an_outcome(ref))

    assert _status(store, ref, clock) == "succeeded"
    assert _next(store, ref, clock) == "nothing: it has ended"
    mark_pending(store, ref)
    assert "the sweep completes what follows" in _next(store, ref, clock)
    store.delete(keys.pending(ref))
    waiting = Notification(next_at=NOON + timedelta(minutes=5), tries=2)
    store.put(keys.notification(ref), dump(waiting))
    assert "attempt 3" in _next(store, ref, clock)


def test_a_cancelled_job_whose_canceller_died_says_who_ends_it(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)
    lease = a_lease(LATER)
    store.create(keys.lease(ref), dump(lease))
    assert cancel(store, ref, clock) is None

    clock.now = lease.expires_at + timedelta(seconds=1)

    assert "ends it as cancelled" in _next(store, ref, clock)


def test_documents_that_cannot_be_read_are_named(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = _made(store)
    store.put(keys.request(ref), b"{")

    found: Inspection = inspect(store, ref)

    assert found.damaged == [keys.request(ref)]
    assert found.status(clock()) == "damaged"
    assert "Restore the document" in what_next(found, clock(), POLICY)


def test_a_job_that_is_being_deleted_says_so(store: MemoryObjectStore, clock: ManualClock) -> None:
    ref = _made(store)
    store.put(keys.deleting(ref), b"")

    assert "being deleted" in _next(store, ref, clock)


def test_a_job_that_is_not_there_is_not_found(store: MemoryObjectStore) -> None:
    with pytest.raises(JobNotFoundError):
        inspect(store, a_ref())
