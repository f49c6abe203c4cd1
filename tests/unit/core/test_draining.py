"""The drain rule, and the race that it is made for, in every order in which it can happen."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from whisperdrop.domain.draining import Drain

QUEUES = ("interactive", "bulk")


def test_it_goes_when_every_queue_was_empty_after_its_word() -> None:
    drain = Drain(60, QUEUES, 0)
    early = drain.look()
    assert not drain.say(59)
    assert drain.say(60)
    drain.saw_nothing("bulk", early)
    drain.saw_nothing("interactive", early)
    assert not drain.done  # those looks began before the word
    drain.saw_nothing("bulk", drain.look())
    assert not drain.done
    drain.saw_nothing("interactive", drain.look())
    assert drain.done


def test_a_message_takes_the_word_back() -> None:
    drain = Drain(60, QUEUES, 0)
    assert drain.say(60)
    look = drain.look()
    drain.touch(61)
    assert not drain.draining
    drain.saw_nothing("bulk", look)
    drain.saw_nothing("interactive", look)
    assert not drain.done
    assert drain.idle_at() == 121
    assert not drain.say(120)
    assert drain.say(121)
    drain.saw_nothing("bulk", look)  # of the first word
    drain.saw_nothing("interactive", drain.look())
    assert not drain.done


@given(st.lists(st.sampled_from(["touch", "say", "bulk", "interactive"]), max_size=30))
def test_it_never_goes_without_a_look_at_every_queue_after_its_last_word(steps: list[str]) -> None:
    drain = Drain(10, QUEUES, 0)
    now = 0.0
    looked: set[str] = set()
    said = False
    for step in steps:
        now += 10
        if step == "touch":
            drain.touch(now)
            looked, said = set(), False
        elif step == "say":
            said = drain.say(now) or said
            looked = set()
        else:
            drain.saw_nothing(step, drain.look())
            looked.add(step)
        assert drain.done == (said and looked == set(QUEUES))


@dataclass
class Race:
    """One worker, one dispatcher, and one message, each in small steps.

    The dispatcher counts what waits and then asks for workers; somebody wakes it after the message
    has come. Whoever looks at the queue finds the message from the moment at which it has come.
    """

    looks_first: bool = False
    """The mistake that the rule is there against."""
    queue: bool = False
    draining: bool = False
    gone: bool = False
    started: bool = False
    saw_message: bool = False
    worked: bool = False
    drain: Drain = field(default_factory=lambda: Drain(0, ("bulk",), 0))

    def steps(self, who: str) -> Iterator[None]:
        yield from {"worker": self._worker, "dispatcher": self._dispatcher, "message": self._come}[
            who
        ]()

    def _come(self) -> Iterator[None]:
        self.queue = True
        yield

    def _worker(self) -> Iterator[None]:
        if self.looks_first:
            found = self.queue
            yield
            self.draining = True
            yield
            self.gone = not found
            return
        self.draining = True  # the report is written
        yield
        assert self.drain.say(1)
        look = self.drain.look()
        yield
        if self.queue:
            self.queue, self.worked = False, True
            self.drain.touch(2)
            self.draining = False
            return
        self.drain.saw_nothing("bulk", look)
        yield
        assert self.drain.done
        self.gone = True
        yield

    def _dispatcher(self) -> Iterator[None]:
        self.saw_message = self.queue
        yield
        if self.saw_message and (self.draining or self.gone):
            self.started = True
        yield


def orders(left: dict[str, int]) -> Iterator[list[str]]:
    if not any(left.values()):
        yield []
    for who, count in left.items():
        if count:
            for rest in orders(left | {who: count - 1}):
                yield [who, *rest]


def lost(*, looks_first: bool) -> tuple[int, int]:
    """How often a message is left that the dispatcher saw, of how many orders."""
    tried = left = 0
    for order in orders({"worker": 5, "dispatcher": 3, "message": 2}):
        race = Race(looks_first)
        parts = {who: race.steps(who) for who in ("worker", "dispatcher", "message")}
        for who in order:
            next(parts[who], None)
        tried += 1
        left += race.queue and race.gone and race.saw_message and not race.started
    return left, tried


def test_in_no_order_is_a_message_left_that_the_dispatcher_was_woken_for() -> None:
    assert lost(looks_first=False) == (0, 2520)


def test_a_worker_that_looked_before_it_gave_its_word_would_leave_some() -> None:
    left, _ = lost(looks_first=True)
    assert left > 0
