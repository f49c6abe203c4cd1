"""Whatever happens, in whatever order: the limit is kept, and what waits gets a worker at last."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, FailingStore
from tests.unit.core.test_dispatch import POLICY, DyingRunner, Yard
from whisperdrop.domain import keys
from whisperdrop.domain.fleet import DRY_FOR, REPEAT_AFTER
from whisperdrop.errors import StoreError

PLACES = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("comes"), st.integers(1, 20)),
    st.tuples(st.just("ends"), st.integers(1, 20)),
    st.tuples(st.just("wake"), st.integers(1, 3)),
    st.tuples(st.just("wakes at once"), st.integers(1, 3)),
    st.tuples(st.just("dies before"), st.just(0)),
    st.tuples(st.just("dies after"), st.just(0)),
    st.tuples(st.just("store fails"), st.integers(1, 3)),
    st.tuples(st.just("store loses an answer"), st.integers(1, 3)),
    st.tuples(st.just("runs"), PLACES),
    st.tuples(st.just("stops"), PLACES),
    st.tuples(st.just("drains"), PLACES),
    st.tuples(st.just("spot"), st.integers(0, 4)),
    st.tuples(st.just("throttled"), st.integers(0, 1)),
    st.tuples(st.just("passes"), st.sampled_from([1, 10, 61, 300, 700])),
)


class Life(Yard):
    """A yard to which anything may happen."""

    def __init__(self) -> None:
        super().__init__(ManualClock())

    def step(self, what: str, n: int) -> None:
        tasks = self.tasks()
        if what in {"runs", "stops", "drains"}:
            if tasks:
                self.to_task(what, tasks[n % len(tasks)])
        elif what.startswith(("wake", "dies", "store")):
            with contextlib.suppress(StoreError):
                self.to_dispatcher(what, n)
        elif what == "comes":
            self.waits(n, 900)
        elif what == "ends":
            for info in list(self.store.list(keys.PENDING))[:n]:
                self.store.delete(info.key)
        elif what == "spot":
            self.spot.capacity = n
        elif what == "throttled":
            self.spot.throttled = bool(n)
        else:
            self.clock.advance(n)

    def to_task(self, what: str, task: str) -> None:
        if what == "stops":
            self.runner.stops(task)
            self.store.delete(keys.worker(task))
            return
        self.runner.runs(task)
        if what == "drains":
            self.reports(task, task, draining=True)

    def to_dispatcher(self, what: str, n: int) -> None:
        match what:
            case "wake":
                for _ in range(n):
                    self.wake()
            case "wakes at once":
                dispatcher = self.made()
                for _ in range(n):
                    between = BeforeWriteStore(self.store, keys.FLEET_STATE, dispatcher.wake)
                    dispatcher = self.made(between)
                dispatcher.wake()
            case "dies before" | "dies after":
                self.made(runner=DyingRunner(self.runner, after=what == "dies after")).wake()
            case _:
                self.made(FailingStore(self.store, n, written=what != "store fails")).wake()


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_the_limit_is_kept_and_what_waits_gets_a_worker(
    steps: list[tuple[str, int]],
) -> None:
    life = Life()
    for what, n in steps:
        life.step(what, n)
        assert len(life.tasks()) <= POLICY.limit
    # From here on nothing goes wrong any more, and whoever drained has gone.
    life.spot.capacity, life.spot.throttled = None, False
    for task in life.tasks():
        life.runner.stops(task)
    life.clock.advance((DRY_FOR + REPEAT_AFTER).total_seconds())
    life.wake()  # may be the first to hear of starts that failed, and then waits a minute
    life.clock.advance(REPEAT_AFTER.total_seconds())
    waiting = life.wake().backlog.parts > 0
    assert len(life.tasks()) <= POLICY.limit
    assert bool(life.tasks()) == waiting
    for task in life.tasks():
        life.runner.runs(task)
    life.clock.advance(REPEAT_AFTER.total_seconds() + 1)
    life.step("ends", 1000)
    for task in life.tasks():
        life.runner.stops(task)
    for _ in range(3):
        life.clock.advance(REPEAT_AFTER.total_seconds() + 1)
        assert life.wake().started == 0
    assert life.tasks() == []
