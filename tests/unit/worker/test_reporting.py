"""What a worker says of itself, and when it may leave."""

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.clock import ManualClock
from tests.stores import FailingKeyStore, WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import WorkerReport
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore, StoredObject
from whisperdrop.service.documents import dump, read
from whisperdrop.service.fleet import REPORT_TTL
from whisperdrop.service.warmth import keep_warm
from whisperdrop_worker.reporting import Reporter


class House:
    """Workers over one store."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store: ObjectStore = MemoryObjectStore(clock)

    def reporter(self, name: str, task: str | None = None) -> Reporter:
        worker = SimpleNamespace(
            settings=SimpleNamespace(worker_id=name),
            store=self.store,
            engine=SimpleNamespace(loaded=lambda: ("tiny.en",)),
            processor=SimpleNamespace(done_s=12.34),
        )
        poller = SimpleNamespace(busy=2)
        return Reporter(cast("Any", worker), cast("Any", poller), task=task, clock=self.clock)

    def report(self, name: str) -> WorkerReport | None:
        return read(self.store, WorkerReport, keys.worker(name))

    def other(self, name: str, *, draining: bool = False) -> None:
        report = WorkerReport(
            worker_id=name, models=(), jobs=0, seen_at=self.clock(), draining=draining
        )
        self.store.put(keys.worker(name), dump(report))


@pytest.fixture
def house(clock: ManualClock) -> House:
    return House(clock)


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_a_report_says_what_the_fleet_needs_to_know(house: House) -> None:
    house.reporter("w", "task-1").announce(draining=False)
    assert house.report("w") == WorkerReport(
        worker_id="w",
        models=("tiny.en",),
        jobs=2,
        seen_at=house.clock(),
        done_s=12.3,
        task="task-1",
    )


def test_a_word_that_is_given_stands_in_every_later_report(house: House) -> None:
    reporter = house.reporter("w", "task-1")
    reporter.announce(draining=True)
    reporter.run(stopped())
    told = house.report("w")
    assert told is not None  # the fleet lists the task for a while, and must not count on it
    assert told.draining


def test_a_word_that_is_taken_back_is_taken_back(house: House) -> None:
    reporter = house.reporter("w", "task-1")
    reporter.announce(draining=True)
    reporter.announce(draining=False)
    told = house.report("w")
    assert told is not None
    assert not told.draining


@pytest.mark.parametrize(("task", "draining"), [(None, True), (None, False), ("task-1", False)])
def test_who_is_told_to_stop_takes_its_report_away(
    task: str | None, draining: bool, house: House
) -> None:
    reporter = house.reporter("w", task)
    reporter.announce(draining=draining)
    reporter.run(stopped())
    assert house.report("w") is None


def test_a_word_that_nobody_heard_was_not_given(house: House) -> None:
    inner = house.store
    house.store = FailingKeyStore(inner, keys.WORKERS)
    reporter = house.reporter("w", "task-1")
    with pytest.raises(StoreError):
        reporter.announce(draining=True)
    reporter.run(stopped())  # it does not end by the store's failing
    assert reporter.may_leave()


def test_a_worker_may_leave_unless_somebody_wants_one_warm(house: House) -> None:
    reporter = house.reporter("w")
    assert reporter.may_leave()
    keep_warm(house.store, 600, house.clock)
    assert not reporter.may_leave()
    house.clock.advance(600)
    assert reporter.may_leave()


def test_of_several_that_are_kept_warm_exactly_one_stays(house: House) -> None:
    keep_warm(house.store, 600, house.clock)
    names = ["c", "a", "b"]
    for name in names:
        house.other(name)
    assert [name for name in names if not house.reporter(name).may_leave()] == ["a"]


def test_one_that_drains_or_is_gone_is_nobody_to_leave_it_to(house: House) -> None:
    keep_warm(house.store, 600, house.clock)
    house.other("a", draining=True)
    assert not house.reporter("b").may_leave()
    house.other("a")
    assert house.reporter("b").may_leave()
    house.clock.now += REPORT_TTL + timedelta(seconds=1)
    assert not house.reporter("b").may_leave()


def test_a_store_that_says_nothing_of_warmth_keeps_nobody(house: House) -> None:
    class NoWarmth(WrappedStore):
        def get(self, key: str) -> StoredObject | None:
            if key == keys.FLEET_WARM:
                raise StoreError("forbidden")
            return super().get(key)

    house.store = NoWarmth(house.store)
    assert house.reporter("w").may_leave()
