import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import BUCKET, a_lease, a_ref
from tests.clock import ManualClock
from whisperdrop.domain.events import Work, direct_message
from whisperdrop.domain.ids import JobRef
from whisperdrop.errors import StoreError
from whisperdrop.ports import Message
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop_worker.heartbeat import InterruptedJobError
from whisperdrop_worker.poller import Poller
from whisperdrop_worker.processor import AttemptFailedError, JobProcessor

VISIBILITY_S = 60
SOON_S = 10.0


class WaitingQueue:
    """A queue that is really waited for, until ``stop``; remembers what became of its messages."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.deleted: list[str] = []
        self.extended: list[tuple[str, int]] = []
        self.failures = 0
        self.broken = False
        self.changed = threading.Condition()
        self.closed = False

    def send(self, body: str, *, delay_s: int = 0) -> None:
        with self.changed:
            self.waiting.append(Message(body, receipt=body, receives=1))
            self.changed.notify_all()

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        assert (wait_s, visibility_s) == (20, VISIBILITY_S)
        with self.changed:
            if self.failures > 0:
                self.failures -= 1
                raise StoreError("the queue failed")
            self.changed.wait_for(lambda: self.waiting or self.closed, SOON_S)
            return self.waiting.pop(0) if self.waiting else None

    def delete(self, message: Message) -> None:
        with self.changed:
            if self.broken:
                raise StoreError("the queue failed")
            self.deleted.append(message.receipt)
            self.changed.notify_all()

    def extend(self, message: Message, visibility_s: int) -> None:
        with self.changed:
            self.extended.append((message.receipt, visibility_s))
            self.changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, SOON_S)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class HeldProcessor(JobProcessor):
    """Holds every job until a test lets it go, with whatever end the test wants."""

    def __init__(self) -> None:
        self.held: dict[JobRef, Future[None]] = {}
        self.most = 0
        self.changed = threading.Condition()
        self.ends: dict[JobRef, Exception | None] = {}

    def process(self, work: Work, **_: Any) -> None:
        assert isinstance(work, JobRef)
        job: Future[None] = Future()
        with self.changed:
            if work in self.ends:
                if error := self.ends[work]:
                    raise error
                return
            self.held[work] = job
            self.most = max(self.most, len(self.held))
            self.changed.notify_all()
        try:
            job.result(SOON_S)
        finally:
            with self.changed:
                del self.held[work]
                self.changed.notify_all()

    def until_held(self, *refs: JobRef) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: set(refs) <= self.held.keys(), SOON_S)

    def until_holding(self, count: int) -> list[JobRef]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.held) == count, SOON_S)
            return list(self.held)

    def end(self, ref: JobRef, error: Exception | None = None) -> None:
        if error is None:
            self.held[ref].set_result(None)
        else:
            self.held[ref].set_exception(error)
        with self.changed:
            assert self.changed.wait_for(lambda: ref not in self.held, SOON_S)


class Shop:
    """A poller with its queues, running until the test is over."""

    def __init__(self, clock: ManualClock) -> None:
        self.interactive, self.bulk = WaitingQueue(), WaitingQueue()
        self.processor = HeldProcessor()
        self.stop = threading.Event()
        self.clock = clock

    def poller(self, *, interactive: int = 2, bulk: int = 2) -> Poller:
        return Poller(
            self.processor,
            self.interactive,
            self.bulk,
            bucket=BUCKET,
            interactive_slots=interactive,
            bulk_slots=bulk,
            receive_wait_s=20,
            visibility_s=VISIBILITY_S,
            clock=self.clock,
        )

    @contextlib.contextmanager
    def open(self, **slots: int) -> Iterator[Poller]:
        poller = self.poller(**slots)
        running = threading.Thread(target=poller.run, args=(self.stop, SOON_S), daemon=True)
        running.start()
        try:
            yield poller
        finally:
            self.close()
            running.join(SOON_S)
            assert not running.is_alive()

    def close(self) -> None:
        self.stop.set()
        for queue in (self.interactive, self.bulk):
            queue.close()
        with self.processor.changed:
            held = [job for job in self.processor.held.values() if not job.done()]
        for job in held:
            job.set_exception(InterruptedJobError())


@pytest.fixture
def shop(clock: ManualClock) -> Shop:
    return Shop(clock)


def sent(queue: WaitingQueue, count: int = 1) -> list[JobRef]:
    refs = [a_ref() for _ in range(count)]
    for ref in refs:
        queue.send(direct_message(ref))
    return refs


def test_a_job_that_is_done_is_acknowledged(shop: Shop) -> None:
    with shop.open() as poller:
        [ref] = sent(shop.bulk)
        shop.processor.until_held(ref)
        assert poller.busy == 1
        shop.processor.end(ref)
        shop.bulk.until(lambda: shop.bulk.deleted == [direct_message(ref)])
        assert shop.bulk.extended == []
    assert poller.busy == 0


def test_an_interactive_job_never_waits_for_bulk_jobs(shop: Shop) -> None:
    with shop.open(interactive=1, bulk=3):
        bulk = sent(shop.bulk, 5)
        shop.processor.until_holding(3)
        [clip] = sent(shop.interactive)
        shop.processor.until_held(clip)
        assert set(shop.processor.held) < {clip, *bulk}


def test_a_bulk_job_does_not_wait_for_interactive_ones_either(shop: Shop) -> None:
    with shop.open(interactive=2, bulk=1):
        sent(shop.interactive, 4)
        shop.processor.until_holding(2)
        [file] = sent(shop.bulk)
        shop.processor.until_held(file)


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("name", ["interactive", "bulk"])
def test_no_more_jobs_are_held_than_there_are_slots_and_every_slot_is_used_again(
    name: str, slots: int, shop: Shop
) -> None:
    queue: WaitingQueue = getattr(shop, name)
    with shop.open(**{name: slots}):
        waiting = set(sent(queue, 10))
        while waiting:
            held = shop.processor.until_holding(min(slots, len(waiting)))
            # What cannot be held stays in the queue, where another worker finds it.
            assert len(queue.waiting) == len(waiting) - len(held)
            waiting.discard(held[0])
            shop.processor.end(held[0])
        queue.until(lambda: len(queue.deleted) == 10)
    assert shop.processor.most == slots


def test_an_idle_poller_stops_as_soon_as_its_long_polls_return(shop: Shop) -> None:
    shop.close()
    assert shop.poller().run(shop.stop, SOON_S)


def test_a_job_in_flight_is_handed_back_when_the_poller_stops(shop: Shop) -> None:
    ended: list[bool] = []
    poller = shop.poller()
    running = threading.Thread(target=lambda: ended.append(poller.run(shop.stop, SOON_S)))
    running.start()
    [ref] = sent(shop.bulk)
    shop.processor.until_held(ref)
    shop.close()
    running.join(SOON_S)
    assert ended == [True]
    assert shop.bulk.extended == [(direct_message(ref), 0)]
    assert shop.bulk.deleted == []


def test_a_job_that_does_not_stop_in_time_is_said_to_be_left(shop: Shop) -> None:
    poller = shop.poller()
    ended: list[bool] = []
    running = threading.Thread(target=lambda: ended.append(poller.run(shop.stop, 0.05)))
    running.start()
    [ref] = sent(shop.bulk)
    shop.processor.until_held(ref)
    shop.stop.set()
    for queue in (shop.interactive, shop.bulk):
        queue.close()
    running.join(SOON_S)
    assert ended == [False]
    shop.processor.end(ref)


def test_what_arrives_while_the_poller_stops_goes_back_untouched(shop: Shop) -> None:
    ref = a_ref()
    shop.stop.set()
    message = Message(direct_message(ref), receipt="r", receives=1)
    shop.poller().handle(shop.bulk, message, stop=shop.stop)
    assert shop.bulk.extended == [("r", 0)]
    assert shop.processor.most == 0


class CountedStop(threading.Event):
    """Never pauses; remembers for how long it was to."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        self.pauses.append(timeout)
        return self.is_set()


def test_a_queue_that_fails_is_asked_ever_more_rarely_and_then_goes_on(shop: Shop) -> None:
    shop.stop = stop = CountedStop()
    shop.bulk.failures = 8
    with shop.open(bulk=1):
        [ref] = sent(shop.bulk)
        shop.processor.until_held(ref)
        assert stop.pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("error", [ValueError("a bug"), StoreError("the store failed")])
def test_an_error_costs_no_slot(error: Exception, shop: Shop) -> None:
    with shop.open(bulk=1):
        first, second = sent(shop.bulk, 2)
        shop.processor.until_held(first)
        shop.processor.end(first, error)
        shop.processor.until_held(second)


def test_a_message_that_cannot_be_acknowledged_costs_no_slot(shop: Shop) -> None:
    shop.bulk.broken = True
    with shop.open(bulk=1):
        first, second = sent(shop.bulk, 2)
        shop.processor.until_held(first)
        shop.processor.end(first)
        shop.processor.until_held(second)


def busy(seconds: float, clock: ManualClock) -> LeaseBusyError:
    return LeaseBusyError(a_lease(clock() + timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("end", "receives", "retry_in_s"),
    [
        (lambda _: None, 1, None),
        (lambda clock: busy(20, clock), 1, None),
        (lambda clock: busy(20, clock), 2, 21),
        (lambda clock: busy(-5, clock), 2, 1),
        (lambda _: InterruptedJobError(), 1, 0),
        (lambda _: AttemptFailedError(), 1, 5),
        (lambda _: AttemptFailedError(), 2, 10),
        (lambda _: StoreError("the store failed"), 3, 20),
        (lambda _: AttemptFailedError(), 9, VISIBILITY_S),
    ],
)
def test_a_message_is_acknowledged_or_comes_again_in_time(
    end: Callable[[ManualClock], Exception | None],
    receives: int,
    retry_in_s: int | None,
    shop: Shop,
    clock: ManualClock,
) -> None:
    ref = a_ref()
    shop.processor.ends[ref] = end(clock)
    message = Message(direct_message(ref), receipt="r", receives=receives)
    shop.poller().handle(shop.bulk, message, stop=shop.stop)
    if retry_in_s is None:
        assert (shop.bulk.deleted, shop.bulk.extended) == (["r"], [])
    else:
        assert (shop.bulk.deleted, shop.bulk.extended) == ([], [("r", retry_in_s)])


def test_a_message_of_no_known_kind_is_left_to_the_dead_letters(shop: Shop) -> None:
    message = Message("{}", receipt="r", receives=1)
    shop.poller().handle(shop.bulk, message, stop=shop.stop)
    assert (shop.bulk.deleted, shop.bulk.extended) == ([], [("r", 0)])


def test_a_message_is_kept_hidden_while_its_job_runs(shop: Shop) -> None:
    class Keeping(HeldProcessor):
        def process(self, work: Work, **given: Any) -> None:
            given["keep_message"]()

    shop.processor = Keeping()
    message = Message(direct_message(a_ref()), receipt="r", receives=1)
    shop.poller().handle(shop.bulk, message, stop=shop.stop)
    assert (shop.bulk.extended, shop.bulk.deleted) == ([("r", VISIBILITY_S)], ["r"])
