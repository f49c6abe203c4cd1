"""The receive loop where it may end by itself; what pollers make of it is tested with them."""

import threading
from collections.abc import Callable

import pytest

from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import JobQueue, Message
from whisperdrop.service.receiving import Lane, Receiving

SOON_S = 10.0
IDLE_S = 0.05
LOGGER = Logger(service="test")


class Queue(MemoryJobQueue):
    """Waits a moment when it is empty, as a long poll does; tells of each look."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.before_look: Callable[[], None] = lambda: None
        self.looks = 0
        self.broken = False
        self._pause = threading.Event()

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        self.looks += 1
        self.before_look()
        if self.broken:
            raise StoreError("the queue failed")
        found = super().receive(wait_s=wait_s, visibility_s=visibility_s)
        if found is None:
            self._pause.wait(0.01)
        return found


class Door:
    """What a process that leaves has told."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.open = True
        self.asked = 0
        self.broken = 0
        self.after: Callable[[bool], None] = lambda _: None

    def may_leave(self) -> bool:
        self.asked += 1
        return self.open

    def announce(self, *, draining: bool) -> None:
        if self.broken:
            self.broken -= 1
            raise StoreError("the store failed")
        self.told.append(draining)
        self.after(draining)


class Shop:
    """Two lanes, and a handler that a test plays."""

    def __init__(self) -> None:
        self.queues = {name: Queue() for name in ("interactive", "bulk")}
        self.door = Door()
        self.stop = threading.Event()
        self.handled: list[str] = []
        self.handle: Callable[[str], int | None] = lambda _: None
        self.receiving = Receiving(
            [Lane(name, queue, 2, 2) for name, queue in self.queues.items()],
            self._handle,
            wait_s=1,
            visibility_s=30,
            logger=LOGGER,
        )

    def _handle(self, queue: JobQueue, message: Message, stop: threading.Event) -> int | None:
        answer = self.handle(message.body)
        self.handled.append(message.body)
        return answer

    def run(self, idle_exit_s: float | None = IDLE_S) -> bool:
        """To its end, which has to come by itself."""
        ended: list[bool] = []
        thread = threading.Thread(
            target=lambda: ended.append(
                self.receiving.run(self.stop, SOON_S, idle_exit_s=idle_exit_s, leaving=self.door)
            ),
            daemon=True,
        )
        thread.start()
        thread.join(SOON_S)
        assert not thread.is_alive()
        return ended[0]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_an_idle_process_says_so_looks_once_more_and_goes(shop: Shop) -> None:
    looks: list[int] = []
    shop.door.after = lambda _: looks.append(shop.queues["bulk"].looks)
    assert shop.run()
    assert shop.door.told == [True]
    assert shop.queues["bulk"].looks > looks[0]
    assert shop.stop.is_set()


def test_without_a_time_it_stays_until_it_is_told_to_stop(shop: Shop) -> None:
    bulk = shop.queues["bulk"]

    def stop_later() -> None:
        if bulk.looks > 20:
            shop.stop.set()

    bulk.before_look = stop_later
    assert shop.run(idle_exit_s=None)
    assert shop.door.told == []


def test_what_comes_after_its_word_is_done_and_the_word_taken_back(shop: Shop) -> None:
    def once(draining: bool) -> None:
        if shop.door.told == [True]:
            shop.queues["bulk"].send("late")

    shop.door.after = once
    assert shop.run()
    assert shop.handled == ["late"]
    assert shop.door.told == [True, False, True]
    assert len(shop.queues["bulk"]) == 0


def test_a_job_that_goes_on_keeps_it(shop: Shop) -> None:
    going, told_meanwhile = threading.Event(), []

    def long(body: str) -> None:
        going.wait(IDLE_S * 8)
        told_meanwhile.extend(shop.door.told)

    shop.handle = long
    shop.queues["interactive"].send("long")
    assert shop.run()
    assert (shop.handled, told_meanwhile) == (["long"], [])


def test_somebody_who_wants_it_to_stay_is_asked_again(shop: Shop) -> None:
    shop.door.open = False
    asked = shop.door.may_leave

    def until_third() -> bool:
        shop.door.open = shop.door.asked >= 2
        return asked()

    shop.door.may_leave = until_third  # type: ignore[method-assign]
    assert shop.run()
    assert shop.door.asked == 3
    assert shop.door.told == [True]


def test_it_does_not_go_while_nobody_can_be_told(shop: Shop) -> None:
    shop.door.broken = 2
    assert shop.run()
    assert shop.door.told == [True]


def test_it_does_not_go_before_every_queue_has_answered(shop: Shop) -> None:
    bulk = shop.queues["bulk"]
    bulk.broken = True
    mended = threading.Event()

    def mend(draining: bool) -> None:
        def later() -> None:
            mended.wait(0.2)
            assert not shop.stop.is_set()
            bulk.broken = False
            bulk.send("waited")

        threading.Thread(target=later, daemon=True).start()
        shop.door.after = lambda _: None

    shop.door.after = mend
    assert shop.run()
    assert shop.handled == ["waited"]


def test_however_messages_come_each_is_done_before_it_goes(shop: Shop) -> None:
    """Many short lives: a message is sent at every moment of a drain, and none is left."""
    for delay_ms in range(0, 120, 8):
        life = Shop()
        sent = threading.Timer(delay_ms / 1000, lambda to=life: to.queues["bulk"].send("m"))
        sent.start()
        life.run(idle_exit_s=0.03)
        sent.join()
        left = len(life.queues["bulk"])
        # What came when it had gone stays for the next one: it had said that it goes.
        assert (life.handled, left) in ((["m"], 0), ([], 1))
        assert left == 0 or life.door.told[-1] is True


def test_being_told_to_stop_while_it_drains_ends_it(shop: Shop) -> None:
    for queue in shop.queues.values():
        queue.broken = True
    shop.door.after = lambda _: shop.stop.set()
    assert shop.run()
