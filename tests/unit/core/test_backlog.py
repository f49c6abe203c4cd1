import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_ref, a_request, stored_job
from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, WrappedStore
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import BYTES_PER_SECOND, Load, estimate_s, load_of, padded
from whisperdrop.domain.job import PendingMarker, WorkerReport
from whisperdrop.domain.media import EXTENSIONS
from whisperdrop.ports import ObjectInfo, QueueMeter
from whisperdrop.service.backlog import BacklogMeter, QueueName, Waiting, backlog_of
from whisperdrop.service.documents import dump, read
from whisperdrop.service.requests import mark_arrived, mark_pending

LOADS = st.builds(Load, st.floats(1, 30 * 86_400), st.booleans())


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def meter(store: WrappedStore | MemoryObjectStore, *queues: QueueName) -> BacklogMeter:
    none: QueueMeter = MemoryJobQueue(ManualClock())
    named: tuple[QueueName, ...] = queues or ("interactive", "bulk")
    return BacklogMeter(store, dict.fromkeys(named, none), chance=random.Random(1))  # noqa: S311


@given(LOADS, st.integers(0, 10**6))
def test_a_markers_length_says_what_waits_and_its_content_stays(load: Load, requeues: int) -> None:
    body = padded(dump(PendingMarker(requeues=requeues)), load)
    told = load_of(len(body))
    assert told is not None
    assert told.audio_s == pytest.approx(load.audio_s, rel=0.011)
    assert told.interactive == load.interactive
    assert PendingMarker.model_validate_json(body) == PendingMarker(requeues=requeues)
    assert json.loads(body) == {"requeues": requeues}
    assert len(body) < 2_000


@given(st.integers(0, 10**9))
def test_a_marker_of_a_job_without_media_says_nothing(requeues: int) -> None:
    assert load_of(len(padded(dump(PendingMarker(requeues=requeues)), None))) is None


@given(st.integers(0, 10**7))
def test_no_length_of_a_marker_is_an_error(size: int) -> None:
    load = load_of(size)
    assert load is None or 1 <= load.audio_s < 10**7


def test_every_kind_of_file_has_a_rate() -> None:
    assert set(BYTES_PER_SECOND) == EXTENSIONS


@pytest.mark.parametrize(
    ("name", "size", "seconds"),
    [
        ("a.wav", 32_000 * 60, 60),
        ("uploads/acme/x/Meeting.MP3", 12_000 * 600, 600),
        ("without-extension", 16_000, 1),
        ("tiny.opus", 3, 1),
    ],
)
def test_seconds_follow_from_bytes_and_name(name: str, size: int, seconds: float) -> None:
    assert estimate_s(name, size) == pytest.approx(seconds)


def test_jobs_that_wait_for_their_upload_are_not_counted(store: MemoryObjectStore) -> None:
    for _ in range(3):
        stored_job(store, a_request())
    mark_pending(store, a_ref(), load=Load(100))
    mark_pending(store, a_ref(), load=Load(50, interactive=True))
    waiting = meter(store).look()
    assert (waiting.jobs, waiting.awaiting) == (2, 3)
    assert waiting.audio_s == pytest.approx(150, rel=0.011)


def test_a_fleet_counts_the_jobs_of_its_own_queue_alone(store: MemoryObjectStore) -> None:
    mark_pending(store, a_ref(), load=Load(100))
    mark_pending(store, a_ref(), load=Load(50, interactive=True))
    assert meter(store, "bulk").look().audio_s == pytest.approx(100, rel=0.011)
    assert meter(store, "interactive").look().audio_s == pytest.approx(50, rel=0.011)


def test_an_upload_that_came_without_a_word_is_found_and_remembered(
    store: MemoryObjectStore,
) -> None:
    request = stored_job(store, a_request(), media=bytes(120_000))
    first = meter(store).look()
    assert (first.jobs, first.awaiting, first.arrived) == (1, 0, 1)
    assert first.audio_s == pytest.approx(10)
    marker = store.head(keys.pending(request.ref))
    assert marker is not None
    assert load_of(marker.size) is not None
    again = meter(store).look()
    assert (again.jobs, again.arrived) == (1, 0)


class CountingStore(WrappedStore):
    """Counts what a pass asks for."""

    def __init__(self, inner: MemoryObjectStore) -> None:
        super().__init__(inner)
        self.asked: list[str] = []

    def list(self, prefix: str):  # type: ignore[no-untyped-def]
        self.asked.append(prefix)
        return super().list(prefix)

    def get(self, key: str):  # type: ignore[no-untyped-def]
        self.asked.append(key)
        return super().get(key)


def test_a_pass_looks_at_fifty_silent_jobs_at_most_and_in_time_at_all(
    store: MemoryObjectStore,
) -> None:
    for n in range(120):
        stored_job(store, a_request(), media=b"x" * 12_000 if n % 2 else None)
    counting = CountingStore(store)
    looking = meter(counting)
    looking.look()
    assert len(counting.asked) <= 1 + 2 * 50
    passes = 1
    while looking.look().jobs < 60:
        passes += 1
        assert passes < 60
    assert looking.look().awaiting == 60


def test_a_hundred_thousand_jobs_cost_a_hundred_requests(clock: ManualClock) -> None:
    class Listing(CountingStore):
        def list(self, prefix: str):  # type: ignore[no-untyped-def]
            self.asked.append(prefix)
            size = len(padded(dump(PendingMarker()), Load(600)))
            for n in range(100_000):
                yield ObjectInfo(f"pending/acme/{n:025}", size, '"e"', clock())

    listing = Listing(MemoryObjectStore(clock))
    waiting = meter(listing).look()
    assert waiting.jobs == 100_000
    assert waiting.audio_s == pytest.approx(100_000 * 600, rel=0.011)
    assert listing.asked == ["pending/"]  # which S3 answers in pages of a thousand


def test_the_end_of_a_job_is_not_undone_by_the_news_of_its_upload(
    store: MemoryObjectStore,
) -> None:
    request = stored_job(store, a_request())
    key = keys.pending(request.ref)
    ending = BeforeWriteStore(store, key, lambda: store.delete(key))
    assert not mark_arrived(ending, request.ref, Load(5))
    assert store.head(key) is None
    assert not mark_arrived(store, request.ref, Load(5))


def test_a_second_word_of_an_upload_changes_nothing(store: MemoryObjectStore) -> None:
    request = stored_job(store, a_request())
    assert mark_arrived(store, request.ref, Load(500))
    assert not mark_arrived(store, request.ref, Load(5))
    assert meter(store).look().audio_s == pytest.approx(500, rel=0.011)
    assert read(store, PendingMarker, keys.pending(request.ref)) == PendingMarker()


def report(clock: ManualClock, **fields: object) -> WorkerReport:
    return WorkerReport.model_validate(
        {"worker_id": "w", "models": (), "jobs": 0, "seen_at": clock()} | fields
    )


def waiting(jobs: int, audio_s: float, visible: int = 0) -> Waiting:
    queue = MemoryJobQueue(ManualClock())
    for _ in range(visible):
        queue.send("x")
    return Waiting(jobs, audio_s, depths={"bulk": queue.depth()})


def test_what_workers_have_done_of_their_jobs_is_no_backlog(clock: ManualClock) -> None:
    workers = (report(clock, jobs=1, done_s=400.0), report(clock, jobs=1, done_s=100.0))
    left = backlog_of(waiting(2, 1000), workers)
    assert (left.audio_s, left.jobs, left.unknown) == (500, 2, 0)


def test_messages_beyond_the_known_jobs_count_as_usual_ones(clock: ManualClock) -> None:
    left = backlog_of(waiting(2, 1000, visible=3), ())
    assert (left.audio_s, left.unknown) == (1500, 1)
    left = backlog_of(waiting(2, 1000, visible=3), (report(clock, jobs=2),))
    assert (left.audio_s, left.unknown) == (2500, 3)


def test_a_drop_that_no_queue_shows_yet_counts(clock: ManualClock) -> None:
    left = backlog_of(waiting(0, 0), (), arriving=1)
    assert (left.parts, left.audio_s > 0) == (1, True)
