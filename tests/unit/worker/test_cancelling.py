"""What a worker does with a job that its owner does not want any more."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import BUCKET, a_request, a_transcript, keys_in, stored_job
from tests.clock import ManualClock
from tests.engines import IdleEngine, NoDecoder
from tests.stores import WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus, Outcome, Progress
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import MediaError
from whisperdrop.ports import ObjectInfo, ObjectStore
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import read
from whisperdrop_worker.engine import EngineResult, OnProgress
from whisperdrop_worker.heartbeat import InterruptedJobError
from whisperdrop_worker.processor import AttemptFailedError, JobPolicy, JobProcessor

REQUEST = a_request()
REF = REQUEST.ref
SOON_S = 10.0

Work = Callable[[OnProgress], None]


class GivenEngine(IdleEngine):
    """Does what a test wants in place of the model's work."""

    def __init__(self, work: Work) -> None:
        self.jobs = 0
        self._work = work

    def transcribe(self, *_: Any, **given: Any) -> EngineResult:
        self.jobs += 1
        self._work(given["on_progress"])
        return EngineResult(a_transcript(REF), engine_s=1.0, load_s=0.0)


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    store = MemoryObjectStore(clock)
    stored_job(store, REQUEST, media=b"audio")
    return store


class Worker:
    """A processor over ``store`` whose engine does ``work``."""

    def __init__(self, store: ObjectStore, clock: ManualClock, scratch: Path, work: Work) -> None:
        self.engine = GivenEngine(work)
        self.processor = JobProcessor(
            store,
            NoDecoder(),
            self.engine,
            bucket=BUCKET,
            catalog=ModelCatalog(("tiny.en",)),
            policy=JobPolicy(
                lease_s=60,
                progress_s=60,
                cancel_poll_s=0.001,
                max_failures=4,
                max_media_bytes=1000,
            ),
            owner="w1",
            scratch=scratch,
            clock=clock,
        )

    def process(self, stop: threading.Event | None = None) -> Outcome | None:
        return self.processor.process(
            REF, keep_message=lambda: None, stop=stop or threading.Event()
        )


def reports_for_ever(on_progress: OnProgress) -> None:
    """Goes on until it is told to stop."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        on_progress(Progress(stage="transcribing", done_s=30, total_s=3600))
    raise AssertionError("nobody told the job to stop")


def assert_cancelled(store: ObjectStore, outcome: Outcome | None) -> None:
    assert outcome is not None
    assert outcome.status is JobStatus.CANCELLED
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert outcome.attempt == 1
    assert read(store, Outcome, keys.outcome(REF)) == outcome
    for prefix in ("results/", "usage/", "pending/"):
        assert keys_in(store, prefix) == []


def test_a_job_that_is_cancelled_while_it_runs_stops_and_is_not_billed(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    def work(on_progress: OnProgress) -> None:
        on_progress(Progress(stage="transcribing", done_s=30, total_s=3600))
        assert cancel(store, REF, clock) is None
        reports_for_ever(on_progress)

    worker = Worker(store, clock, tmp_path, work)
    assert_cancelled(store, worker.process())
    assert list(tmp_path.iterdir()) == [], "its media is gone from this machine"


def test_a_job_that_was_cancelled_before_a_worker_took_it_is_never_started(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    store.create(keys.cancel(REF), b"{}")
    worker = Worker(store, clock, tmp_path, reports_for_ever)
    assert_cancelled(store, worker.process())
    assert worker.engine.jobs == 0


def test_a_job_whose_canceller_missed_the_lease_gets_no_transcript(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    class LateMarker(WrappedStore):
        """The marker is written after the worker's first look for it."""

        def head(self, key: str) -> ObjectInfo | None:
            found = super().head(key)
            if key == keys.cancel(REF) and found is None:
                store.create(key, b"{}")
            return found

    worker = Worker(LateMarker(store), clock, tmp_path, lambda _: None)
    assert_cancelled(store, worker.process())
    assert worker.engine.jobs == 1


def test_a_wish_to_end_the_job_wins_over_its_failure(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    class Marked(WrappedStore):
        looks = 0

        def head(self, key: str) -> ObjectInfo | None:
            if key == keys.cancel(REF):
                self.looks += 1
                if self.looks == 1:
                    return None
                return ObjectInfo(key, 2, "", clock())
            return super().head(key)

    def work(_: OnProgress) -> None:
        raise MediaError("no audio")

    assert_cancelled(store, Worker(Marked(store), clock, tmp_path, work).process())


def test_a_worker_without_a_lease_cancels_nothing(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    def work(on_progress: OnProgress) -> None:
        cancel(store, REF, clock)
        clock.advance(60)
        reports_for_ever(on_progress)

    with pytest.raises(AttemptFailedError):
        Worker(store, clock, tmp_path, work).process()
    assert keys_in(store, keys.outcome(REF)) == []


def test_a_job_that_nobody_cancels_ends_as_ever(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    outcome = Worker(store, clock, tmp_path, lambda _: None).process()
    assert outcome is not None
    assert outcome.status is JobStatus.SUCCEEDED
    assert len(keys_in(store, "usage/")) == 1


def test_a_worker_that_stops_hands_the_job_back_and_the_next_one_cancels_it(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedJobError):
        Worker(store, clock, tmp_path, reports_for_ever).process(stop)
    store.create(keys.cancel(REF), b"{}")
    outcome = Worker(store, clock, tmp_path, reports_for_ever).process()
    assert outcome is not None
    assert (outcome.status, outcome.attempt) == (JobStatus.CANCELLED, 2)
