import pytest

from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import WorkerReport
from whisperdrop.service.documents import dump
from whisperdrop.service.fleet import REPORT_TTL, Fleet


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def fleet(store: MemoryObjectStore, clock: ManualClock) -> Fleet:
    return Fleet(store, clock=clock)


def report(store: MemoryObjectStore, clock: ManualClock, name: str) -> WorkerReport:
    document = WorkerReport(worker_id=name, models=("tiny.en",), jobs=1, seen_at=clock())
    store.put(keys.worker(name), dump(document))
    return document


def test_a_worker_that_reports_is_alive_and_one_that_stopped_is_not(
    fleet: Fleet, store: MemoryObjectStore, clock: ManualClock
) -> None:
    report(store, clock, "stopped")
    clock.advance(REPORT_TTL.total_seconds())
    alive = report(store, clock, "alive")
    assert [worker.worker_id for worker in fleet.workers()] == ["alive", "stopped"]
    clock.advance(1)
    assert fleet.workers() == (alive,)


def test_health_that_is_asked_often_reads_the_store_once_a_second(
    fleet: Fleet, store: MemoryObjectStore, clock: ManualClock
) -> None:
    assert fleet.workers() == ()
    worker = report(store, clock, "new")
    clock.advance(0.9)
    assert fleet.workers() == ()
    clock.advance(0.1)
    assert fleet.workers() == (worker,)


def test_a_damaged_report_hides_no_other_worker(
    fleet: Fleet, store: MemoryObjectStore, clock: ManualClock
) -> None:
    store.put(keys.worker("a-damaged"), b"{")
    worker = report(store, clock, "b-well")
    assert fleet.workers() == (worker,)
