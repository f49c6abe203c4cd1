"""The dispatcher over a fleet in memory, with all that may come between two of its steps."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import a_ref
from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, FailingKeyStore, FailingStore
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.adapters.memory_fleet import MemoryTaskRunner, Provider
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load
from whisperdrop.domain.fleet import DRY_FOR, FORGET_AFTER, REPEAT_AFTER, FleetState
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import WorkerReport
from whisperdrop.domain.scaling import FleetPolicy
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore, Started
from whisperdrop.service.backlog import BacklogMeter
from whisperdrop.service.dispatch import Dispatcher, DispatchReport
from whisperdrop.service.documents import dump, read
from whisperdrop.service.requests import mark_pending
from whisperdrop.service.warmth import keep_warm

POLICY = FleetPolicy(limit=10, speed=20, target_s=600, start_s=180)


class Yard:
    """A store, a queue, a fleet with two providers, and a dispatcher that looks at them."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store = MemoryObjectStore(clock)
        self.queue = MemoryJobQueue(clock)
        self.spot, self.demand = Provider(), Provider()
        self.runner = MemoryTaskRunner(clock, spot=self.spot, demand=self.demand)
        self.dispatcher = self.made()

    def made(
        self, store: ObjectStore | None = None, runner: MemoryTaskRunner | None = None
    ) -> Dispatcher:
        """Another one over the same, or over something between."""
        store = store or self.store
        return Dispatcher(
            store,
            BacklogMeter(store, {"bulk": self.queue}),
            runner or self.runner,
            providers=("spot", "demand"),
            policy=POLICY,
            clock=self.clock,
        )

    def waits(self, count: int, audio_s: float) -> list[JobRef]:
        """Jobs whose media is there."""
        refs = [a_ref() for _ in range(count)]
        for ref in refs:
            mark_pending(self.store, ref, load=Load(audio_s))
        return refs

    def ends(self, refs: list[JobRef]) -> None:
        """They have their outcome."""
        for ref in refs:
            self.store.delete(keys.pending(ref))

    def wake(self, **given: Any) -> DispatchReport:
        """After a second, as somebody always is later."""
        self.clock.advance(1)
        return self.dispatcher.wake(**given)

    def tasks(self, provider: str | None = None) -> list[str]:
        """Those that are to run."""
        found = self.runner.tasks()
        return [task.id for task in found if provider in {None, task.provider}]

    def state(self) -> FleetState:
        """What is remembered."""
        found = read(self.store, FleetState, keys.FLEET_STATE)
        assert found is not None
        return found

    def reports(self, name: str, task: str | None = None, **fields: Any) -> None:
        """A worker says how it is."""
        report = {"worker_id": name, "models": (), "jobs": 0, "seen_at": self.clock()} | fields
        document = WorkerReport.model_validate(report | {"task": task})
        self.store.put(keys.worker(name), dump(document))


@pytest.fixture
def yard(clock: ManualClock) -> Yard:
    return Yard(clock)


def test_what_waits_starts_workers_once_however_often_it_is_looked_at(yard: Yard) -> None:
    yard.waits(60, 600)
    first = yard.wake()
    assert (first.wanted, first.started, len(yard.tasks())) == (5, 5, 5)
    for _ in range(5):
        assert yard.wake().started == 0
    for task in yard.tasks():
        yard.runner.runs(task)
    again = yard.wake()
    assert (again.started, again.workers.running, len(yard.tasks())) == (0, 5, 5)


def test_nothing_that_waits_starts_nobody(yard: Yard) -> None:
    report = yard.wake()
    assert (report.wanted, report.started, report.backlog.jobs) == (0, 0, 0)


def test_a_message_of_a_job_that_nobody_knows_starts_a_worker(yard: Yard) -> None:
    yard.queue.send("a drop's event")
    assert yard.wake().started == 1


def test_a_drop_whose_message_is_still_on_its_way_starts_one(yard: Yard) -> None:
    assert yard.wake(arriving=1).started == 1


def test_a_stopped_worker_is_replaced_while_something_waits(yard: Yard) -> None:
    refs = yard.waits(1, 60)
    yard.wake()
    [first] = yard.tasks()
    yard.runner.runs(first)
    yard.clock.advance(90)
    yard.runner.stops(first, "Your Spot Task was interrupted.")
    assert yard.wake().started == 1
    [second] = yard.tasks()
    yard.runner.runs(second)
    yard.ends(refs)
    yard.clock.advance(90)
    yard.runner.stops(second)
    assert yard.wake().started == 0
    assert yard.tasks() == []


def test_a_worker_that_drains_is_no_worker(yard: Yard) -> None:
    yard.waits(1, 60)
    yard.wake()
    [task] = yard.tasks()
    yard.runner.runs(task)
    yard.clock.advance(120)
    yard.reports("w1", task, draining=True)
    report = yard.wake()
    assert (report.started, report.workers.draining) == (1, 1)


def test_a_wake_up_right_after_another_is_enough_where_workers_are(yard: Yard) -> None:
    yard.waits(1, 60)
    assert yard.wake(always=False).started == 1
    assert yard.wake(always=False).skipped
    assert not yard.wake(always=True).skipped
    yard.clock.advance(5)
    assert not yard.wake(always=False).skipped


def test_a_wake_up_right_after_another_counts_where_nobody_is(yard: Yard) -> None:
    assert yard.wake(always=False).started == 0
    yard.waits(1, 60)
    assert yard.wake(always=False).started == 1


@pytest.mark.parametrize("others", [1, 2, 3])
def test_of_wake_ups_at_the_same_moment_one_starts_who_is_missing(others: int, yard: Yard) -> None:
    yard.waits(60, 600)
    dispatcher = yard.made()
    for _ in range(others):
        dispatcher = yard.made(BeforeWriteStore(yard.store, keys.FLEET_STATE, dispatcher.wake))
    dispatcher.wake()
    assert len(yard.tasks()) == 5


def test_wake_ups_in_threads_start_no_more_than_one_would(yard: Yard) -> None:
    yard.waits(60, 600)
    start = threading.Barrier(8)

    def wake() -> None:
        start.wait(10)
        yard.made().wake()

    threads = [threading.Thread(target=wake) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(yard.tasks()) == 5
    assert yard.wake().started == 0


def test_who_comes_later_and_sees_more_starts_the_rest(yard: Yard) -> None:
    yard.waits(1, 600)

    def meanwhile() -> None:
        yard.made().wake()
        yard.waits(59, 600)

    report = yard.made(BeforeWriteStore(yard.store, keys.FLEET_STATE, meanwhile)).wake()
    assert (report.started, len(yard.tasks())) == (3, 4)  # the first one does its part


class DyingRunner(MemoryTaskRunner):
    """Its caller dies at the start, before anything is started or right after."""

    def __init__(self, inner: MemoryTaskRunner, *, after: bool) -> None:
        self._inner = inner
        self._after = after

    def start(self, count: int, *, provider: str, group: str, token: str) -> Started:
        if self._after:
            self._inner.start(count, provider=provider, group=group, token=token)
        raise StoreError("killed")

    def tasks(self, ids: Any = ()) -> Any:
        return self._inner.tasks(ids)


@pytest.mark.parametrize("after", [False, True])
def test_a_dispatcher_that_dies_at_the_start_costs_no_worker_and_makes_none_twice(
    after: bool, yard: Yard
) -> None:
    yard.waits(60, 600)
    with pytest.raises(StoreError):
        yard.made(runner=DyingRunner(yard.runner, after=after)).wake()
    assert len(yard.tasks()) == (5 if after else 0)
    assert yard.wake().started == 0  # whoever was at it may still be
    yard.clock.advance(REPEAT_AFTER.total_seconds())
    assert yard.wake().started == 5
    assert len(yard.tasks()) == 5
    yard.clock.advance(REPEAT_AFTER.total_seconds())
    assert yard.wake().started == 0


def test_a_start_that_nobody_needs_any_more_is_not_made_up_for(yard: Yard) -> None:
    refs = yard.waits(60, 600)
    with pytest.raises(StoreError):
        yard.made(runner=DyingRunner(yard.runner, after=False)).wake()
    yard.ends(refs)
    yard.clock.advance(REPEAT_AFTER.total_seconds())
    assert yard.wake().started == 0
    assert yard.state().starts == ()
    assert yard.tasks() == []


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_store_that_fails_at_any_write_costs_no_worker_and_makes_none_twice(
    fail_at: int, written: bool, yard: Yard
) -> None:
    yard.waits(60, 600)
    with pytest.raises(StoreError):
        yard.made(FailingStore(yard.store, fail_at, written=written)).wake()
    yard.clock.advance(REPEAT_AFTER.total_seconds())
    yard.wake()
    assert len(yard.tasks()) == 5
    yard.clock.advance(FORGET_AFTER.total_seconds())
    for task in yard.tasks():
        yard.runner.runs(task)
    assert yard.wake().started == 0


def test_without_a_store_nobody_is_started(yard: Yard) -> None:
    yard.waits(1, 60)
    with pytest.raises(StoreError):
        yard.made(FailingKeyStore(yard.store, "fleet/")).wake()
    assert yard.tasks() == []


def test_what_spot_does_not_have_is_asked_of_the_next_provider(yard: Yard) -> None:
    yard.spot.capacity = 2
    yard.waits(60, 600)
    report = yard.wake()
    assert (len(yard.tasks("spot")), len(yard.tasks("demand"))) == (2, 3)
    assert report.started == 5
    assert report.failures == ["spot: Capacity is unavailable at this time"] * 3


def test_what_nobody_has_is_asked_for_again_at_the_next_wake_up(yard: Yard) -> None:
    yard.spot.capacity, yard.demand.capacity = 0, 1
    yard.waits(60, 600)
    assert yard.wake().started == 1
    yard.spot.capacity = None
    assert yard.wake().started == 3
    assert len(yard.tasks()) == 4


def test_a_throttled_start_is_made_at_the_next_wake_up(yard: Yard) -> None:
    yard.spot.throttled = True
    yard.waits(60, 600)
    report = yard.wake()
    assert (report.started, yard.tasks()) == (0, [])
    assert report.failures
    yard.spot.throttled = False
    assert yard.wake().started == 5


def test_a_worker_that_does_not_come_is_sought_elsewhere_and_keeps_its_place(yard: Yard) -> None:
    yard.waits(1, 60)
    yard.wake()
    assert len(yard.tasks("spot")) == 1
    yard.clock.advance(3 * POLICY.start_s)
    report = yard.wake()
    assert (report.workers.late, report.started) == (1, 1)
    assert len(yard.tasks("demand")) == 1
    assert "spot" in yard.state().dry


def test_a_task_that_never_ran_sends_the_next_one_to_another_provider(yard: Yard) -> None:
    yard.waits(1, 60)
    yard.wake()
    yard.runner.stops(yard.tasks()[0], "no capacity")
    yard.clock.advance(60)
    report = yard.wake()
    assert report.failures == ["spot: no capacity"]
    assert (report.started, len(yard.tasks("demand"))) == (1, 1)


def test_what_cannot_start_at_all_is_tried_one_at_a_time_and_once_a_minute(yard: Yard) -> None:
    """Such as an image that is not there: each failure is an event that wakes the dispatcher."""
    yard.waits(60, 600)
    started = 0
    for _ in range(600):  # seconds
        report = yard.wake()
        started += report.started
        for task in yard.tasks():
            yard.runner.stops(task, "CannotPullContainerError")
    assert 5 + 5 <= started <= 5 + 5 + 9
    yard.clock.advance(DRY_FOR.total_seconds())
    assert yard.wake().started == 5


def test_a_fleet_is_kept_warm_by_one_worker_until_then(yard: Yard) -> None:
    keep_warm(yard.store, 600, yard.clock)
    report = yard.wake()
    assert (report.started, report.reason.partition(";")[0]) == (1, "kept warm")
    assert yard.wake().started == 0
    yard.runner.runs(yard.tasks()[0])
    yard.clock.advance(600)
    assert yard.wake().wanted == 0


def test_the_limit_counts_everybody_who_has_a_machine(yard: Yard) -> None:
    yard.waits(500, 6000)
    assert yard.wake().started == 10
    for task in yard.tasks()[:4]:
        yard.runner.runs(task)
        yard.reports(task, task, draining=True)
    yard.clock.advance(3 * POLICY.start_s)
    for _ in range(3):
        assert yard.wake().started == 0
    assert len(yard.tasks()) == 10


def test_a_damaged_state_is_replaced(yard: Yard) -> None:
    yard.store.put(keys.FLEET_STATE, b"{")
    yard.waits(1, 60)
    assert yard.wake().started == 1
    assert yard.wake().started == 0


def test_what_is_remembered_stays_small(yard: Yard) -> None:
    for _ in range(50):
        refs = yard.waits(3, 60)
        yard.wake()
        for task in yard.tasks():
            yard.runner.runs(task)
        yard.clock.advance(120)
        yard.wake()
        yard.ends(refs)
        for task in yard.tasks():
            yard.runner.stops(task)
    assert len(yard.state().starts) <= 1
    assert len(dump(yard.state())) < 1000


def test_an_upload_that_the_event_tells_of_counts_at_once(yard: Yard) -> None:
    ref = a_ref()
    mark_pending(yard.store, ref)
    assert yard.wake().started == 0
    yard.dispatcher.arrived(ref, keys.upload(ref, "talk.mp3"), 12_000 * 3600)
    report = yard.wake()
    assert report.backlog.audio_s == pytest.approx(3600, rel=0.02)
    assert report.started == 1


@pytest.mark.parametrize("lag_s", [0, 30, 59])
def test_tasks_that_are_not_seen_yet_are_not_started_again(
    lag_s: float, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECS lists a new task some seconds late."""
    listed: Callable[..., Any] = yard.runner.tasks
    monkeypatch.setattr(
        yard.runner,
        "tasks",
        lambda ids=(): [
            t for t in listed(ids) if yard.clock() - t.asked_at >= timedelta(seconds=lag_s)
        ],
    )
    yard.waits(60, 600)
    assert yard.wake().started == 5
    for _ in range(10):
        yard.clock.advance(lag_s / 10)
        assert yard.wake().started == 0
