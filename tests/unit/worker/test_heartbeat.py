import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import a_ref
from tests.clock import ManualClock
from tests.stores import WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import Lease, Progress
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import read
from whisperdrop.service.leases import LeaseLostError, acquire
from whisperdrop_worker import heartbeat as module
from whisperdrop_worker.heartbeat import Heartbeat, InterruptedJobError, JobCancelledError

REF = a_ref()
TTL_S = 60
SOON_S = 10.0
QUICKLY_S = 0.001

Begin = Callable[..., Heartbeat]


class SeenStore(WrappedStore):
    """Says how often it was written."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.written = threading.Semaphore(0)

    def _write(self, key: str, write: Callable[[], Any]) -> Any:
        try:
            return write()
        finally:
            self.written.release()

    def wait_for_writes(self, count: int) -> None:
        for _ in range(count):
            assert self.written.acquire(timeout=SOON_S)


@pytest.fixture
def store(clock: ManualClock) -> SeenStore:
    return SeenStore(MemoryObjectStore(clock))


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def begin(store: SeenStore, clock: ManualClock, stop: threading.Event) -> Begin:
    def _begin(**given: Any) -> Heartbeat:
        held = acquire(store, REF, owner="w1", ttl_s=TTL_S, clock=clock)
        store.wait_for_writes(1)
        defaults: dict[str, Any] = {
            "keep_message": lambda: None,
            "cancel_requested": lambda: False,
            "stop": stop,
            "lease_s": TTL_S,
            "progress_s": QUICKLY_S,
            "cancel_poll_s": QUICKLY_S,
        }
        return Heartbeat(held, **defaults | given)

    return _begin


def stored(store: ObjectStore) -> Lease:
    lease = read(store, Lease, keys.lease(REF))
    assert lease is not None
    return lease


def at(done_s: float, total_s: float | None = 60.0) -> Progress:
    return Progress(stage="transcribing", done_s=done_s, total_s=total_s)


def report_until_told_to_stop(beating: Heartbeat) -> None:
    """As a job does."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        beating.report(at(1))


def test_progress_is_published_and_never_goes_back(begin: Begin, store: SeenStore) -> None:
    with begin() as beating:
        beating.report(at(20))
        store.wait_for_writes(1)
        assert stored(store).progress.percent == 33.3
        beating.report(Progress(stage="decoding", done_s=3))
        beating.report(at(10, total_s=300))
        store.wait_for_writes(1)
    progress = stored(store).progress
    assert (progress.stage, progress.done_s, progress.percent) == ("transcribing", 20, 33.3)


def test_what_did_not_change_is_not_written_again(begin: Begin, store: SeenStore) -> None:
    looks = threading.Semaphore(0)

    def look() -> bool:
        looks.release()
        return False

    with begin(cancel_requested=look):
        for _ in range(50):
            assert looks.acquire(timeout=SOON_S)
    assert not store.written.acquire(blocking=False)


def test_progress_is_published_with_the_time_that_is_left(
    begin: Begin, store: SeenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[float, float | None]] = []

    class Estimate:
        def note(self, at: float, done_s: float, total_s: float | None) -> None:
            noted.append((done_s, total_s))

        def left(self, now: float) -> float | None:
            return 12.345 if noted else None

    monkeypatch.setattr(module, "Eta", Estimate)
    with begin() as beating:
        beating.report(Progress(stage="decoding", done_s=600))
        store.wait_for_writes(1)
        assert stored(store).progress.eta_s is None
        beating.report(at(30))
        store.wait_for_writes(1)
    assert stored(store).progress.eta_s == 12.3
    assert noted == [(30, 60)], "neither loading nor decoding is the work"


def test_lease_and_message_are_renewed_without_any_progress(
    begin: Begin, store: SeenStore, clock: ManualClock
) -> None:
    kept = threading.Semaphore(0)
    beating = begin(lease_s=0.003, keep_message=kept.release)
    clock.advance(30)
    with beating:
        for _ in range(3):
            assert kept.acquire(timeout=SOON_S)
    assert stored(store).live(clock.now)
    assert (stored(store).expires_at - clock.now).total_seconds() == TTL_S


def test_a_job_learns_that_it_was_cancelled(begin: Begin) -> None:
    marker = threading.Event()
    with begin(cancel_requested=marker.is_set) as beating:
        beating.report(at(1))
        assert not beating.cancelled
        marker.set()
        with pytest.raises(JobCancelledError):
            report_until_told_to_stop(beating)
    assert beating.cancelled


def test_a_marker_that_was_there_at_the_beginning_is_seen_however_short_the_job(
    begin: Begin,
) -> None:
    with begin(cancel_requested=lambda: True, cancel_poll_s=3600, progress_s=3600) as beating:
        pass
    assert beating.cancelled


def test_a_look_that_failed_is_followed_by_another(begin: Begin) -> None:
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise StoreError("the store failed")
        return True

    with begin(cancel_requested=look) as beating, pytest.raises(JobCancelledError):
        report_until_told_to_stop(beating)
    assert looks == 3, "and none after it"


def test_a_cancelled_job_that_needs_a_while_to_stop_keeps_its_lease(
    begin: Begin, store: SeenStore
) -> None:
    with begin(cancel_requested=lambda: True, lease_s=0.003) as beating:
        with pytest.raises(JobCancelledError):
            report_until_told_to_stop(beating)
        store.wait_for_writes(1)
        store.wait_for_writes(2)


def test_a_job_learns_that_its_process_stops_or_that_its_lease_is_lost(
    begin: Begin, store: SeenStore, clock: ManualClock, stop: threading.Event
) -> None:
    with begin(lease_s=0.003) as beating:
        stop.set()
        with pytest.raises(InterruptedJobError):
            beating.report(at(1))
        stop.clear()
        clock.advance(TTL_S)
        with pytest.raises(LeaseLostError):
            report_until_told_to_stop(beating)
