"""What a job keeps while it goes on, and what its next attempt makes of it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builders import (
    BUCKET,
    a_part,
    a_ref,
    a_request,
    a_transcript,
    keys_in,
    stored_job,
    stored_part,
)
from tests.clock import ManualClock
from tests.engines import IdleEngine, NoDecoder
from tests.stores import BeforeWriteStore, FailingStore, LostAnswerStore, WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.domain.part import PART_VERSION, Part
from whisperdrop.errors import MediaError, StoreError, TryAgainError
from whisperdrop.ports import ObjectInfo, ObjectStore
from whisperdrop.service.documents import dump, read
from whisperdrop.service.leases import LeaseLostError, acquire
from whisperdrop_worker.checkpoints import StoreCheckpoints
from whisperdrop_worker.engine import Checkpoints, EngineResult, Priority
from whisperdrop_worker.processor import AttemptFailedError, JobPolicy, JobProcessor

REF = a_ref()
TTL = 60


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


Open = Callable[..., StoreCheckpoints]


@pytest.fixture
def checkpoints(store: MemoryObjectStore, clock: ManualClock) -> Open:
    """Those of the next attempt; the one before has handed its lease back."""

    def _open(through: ObjectStore | None = None) -> StoreCheckpoints:
        held = acquire(store, REF, owner="w", ttl_s=TTL, clock=clock)
        opened = StoreCheckpoints(through or store, held, clock)
        clock.advance(TTL)
        held.lease = held.lease.model_copy(update={"expires_at": clock.now.replace(year=2030)})
        return opened

    return _open


def saved(store: ObjectStore) -> list[Part | None]:
    return [read(store, Part, key) for key in keys_in(store, keys.parts(REF))]


def test_what_was_saved_is_what_the_next_attempt_loads(checkpoints: Open) -> None:
    parts = [a_part(n, f" part {n}") for n in range(3)]
    first = checkpoints()
    assert first.load() == []
    for part in parts:
        first.save(part)
    second = checkpoints()
    assert second.load() == parts
    assert second.count == 3
    second.save(a_part(3, " more"))
    assert checkpoints().load() == [*parts, a_part(3, " more")]


def test_a_first_attempt_asks_the_store_for_nothing(store: MemoryObjectStore) -> None:
    class Silent(WrappedStore):
        def get(self, key: str) -> Any:
            raise AssertionError(key)

        def list(self, prefix: str) -> Any:
            raise AssertionError(prefix)

    held = acquire(store, REF, owner="w", ttl_s=TTL, clock=ManualClock())
    assert StoreCheckpoints(Silent(store), held, ManualClock()).load() == []


@pytest.mark.parametrize("harm", ["gone", "damaged", "of another version"])
def test_what_comes_after_a_gap_is_done_again(
    harm: str, store: MemoryObjectStore, checkpoints: Open
) -> None:
    first = checkpoints()
    for n in range(4):
        first.save(a_part(n, " old"))
    bad = keys.part(REF, 1)
    if harm == "gone":
        store.delete(bad)
    else:
        other = dump(a_part(1, " old", version=PART_VERSION - 1))
        store.put(bad, b"{" if harm == "damaged" else other)
    second = checkpoints()
    assert second.load() == [a_part(0, " old")]
    # Cut in another way than before: what was there must not be in its place.
    again = [a_part(n, " new", first_window=n + 1, end_window=n + 2) for n in (1, 2, 3)]
    for part in again:
        second.save(part)
    assert saved(store) == [a_part(0, " old"), *again]


def test_a_store_that_fails_ends_no_job_and_leaves_no_gap(
    store: MemoryObjectStore, checkpoints: Open
) -> None:
    kept = checkpoints(FailingStore(store, 2))
    parts = [a_part(n, " text") for n in range(3)]
    kept.save(parts[0])
    kept.save(parts[1])
    assert saved(store) == parts[:1]
    kept.save(parts[2])
    assert saved(store) == parts


def test_a_part_whose_answer_was_lost_is_there(store: MemoryObjectStore, checkpoints: Open) -> None:
    checkpoints(LostAnswerStore(store)).save(a_part(0, " text"))
    kept = checkpoints(FailingStore(store, 1, written=True))
    kept.save(a_part(1, " text"))
    kept.save(a_part(2, " text"))
    assert len(saved(store)) == 3


def test_a_worker_that_finds_another_ones_part_has_lost_the_job(
    store: MemoryObjectStore, checkpoints: Open
) -> None:
    key = keys.part(REF, 0)
    other = a_part(0, " by another worker")
    kept = checkpoints(BeforeWriteStore(store, key, lambda: store.create(key, dump(other))))
    with pytest.raises(LeaseLostError):
        kept.save(a_part(0, " mine"))
    assert saved(store) == [other]


def test_a_worker_whose_lease_ran_out_writes_nothing(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    held = acquire(store, REF, owner="w", ttl_s=TTL, clock=clock)
    clock.advance(TTL)
    with pytest.raises(LeaseLostError):
        StoreCheckpoints(store, held, clock).save(a_part(0, " late"))
    assert saved(store) == []


Work = Callable[[Checkpoints, Sequence[Part]], None]


class PartEngine(IdleEngine):
    """Loads what is there and does what a test wants after that."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.loaded_parts: list[Part] = []
        self.priority: Priority | None = None

    def transcribe(self, *_: Any, **given: Any) -> EngineResult:
        checkpoints: Checkpoints = given["checkpoints"]
        self.priority = given["priority"]
        self.loaded_parts = list(checkpoints.load())
        self._work(checkpoints, self.loaded_parts)
        return EngineResult(a_transcript(REF), engine_s=1.0, load_s=0.0)


def attempt(
    store: ObjectStore, clock: ManualClock, scratch: Path, work: Work
) -> tuple[Outcome | None, PartEngine]:
    engine = PartEngine(work)
    processor = JobProcessor(
        store,
        NoDecoder(),
        engine,
        bucket=BUCKET,
        catalog=ModelCatalog(("tiny.en",)),
        policy=JobPolicy(
            lease_s=TTL, progress_s=60, cancel_poll_s=60, max_failures=4, max_media_bytes=1000
        ),
        owner="w1",
        scratch=scratch,
        clock=clock,
    )
    outcome = processor.process(REF, keep_message=lambda: None, stop=threading.Event())
    return outcome, engine


def saves(*parts: Part, then: Exception | None = None) -> Work:
    def work(checkpoints: Checkpoints, _: Sequence[Part]) -> None:
        for part in parts:
            checkpoints.save(part)
        if then:
            raise then

    return work


def test_an_attempt_goes_on_where_the_one_before_stopped_and_leaves_no_parts(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stored_job(store, a_request(REF), media=b"audio")
    with pytest.raises(AttemptFailedError):
        attempt(store, clock, tmp_path, saves(a_part(0, " a"), then=TryAgainError("not now")))
    assert saved(store) == [a_part(0, " a")]
    outcome, engine = attempt(store, clock, tmp_path, saves(a_part(1, " b")))
    assert engine.loaded_parts == [a_part(0, " a")]
    assert outcome is not None
    assert (outcome.status, outcome.parts, outcome.attempt) == (JobStatus.SUCCEEDED, 2, 2)
    assert saved(store) == []


def test_a_resumed_attempt_that_saves_nothing_removes_what_was_there(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stored_job(store, a_request(REF), media=b"audio")
    with pytest.raises(AttemptFailedError):
        attempt(store, clock, tmp_path, saves(a_part(0, " a"), then=TryAgainError("not now")))
    attempt(store, clock, tmp_path, saves())
    assert saved(store) == []


def test_a_job_that_fails_leaves_no_parts(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stored_job(store, a_request(REF), media=b"audio")
    outcome, _ = attempt(store, clock, tmp_path, saves(a_part(0, " a"), then=MediaError("cut off")))
    assert outcome is not None
    assert outcome.status is JobStatus.FAILED
    assert saved(store) == []


def test_a_worker_that_lost_the_job_ends_nothing(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stored_job(store, a_request(REF), media=b"audio")
    stored_part(store, REF, 0, " by another worker")
    with pytest.raises(AttemptFailedError):
        attempt(store, clock, tmp_path, saves(a_part(0, " mine")))
    assert keys_in(store, keys.outcome(REF)) == []


def test_a_listing_that_fails_lets_the_job_come_again(
    store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    class Unlisted(WrappedStore):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            raise StoreError("the store failed")

    stored_job(store, a_request(REF), media=b"audio")
    with pytest.raises(AttemptFailedError):
        attempt(store, clock, tmp_path, saves(a_part(0, " a"), then=TryAgainError("not now")))
    with pytest.raises(StoreError):
        attempt(Unlisted(store), clock, tmp_path, saves())


@pytest.mark.parametrize(
    ("source", "priority"),
    [("sync", Priority.INTERACTIVE), ("upload", Priority.BULK), ("drop", Priority.BULK)],
)
def test_who_is_waited_for_goes_first(
    source: str, priority: Priority, store: MemoryObjectStore, clock: ManualClock, tmp_path: Path
) -> None:
    stored_job(store, a_request(REF, source=source), media=b"audio")
    _, engine = attempt(store, clock, tmp_path, saves())
    assert engine.priority is priority
