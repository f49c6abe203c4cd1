"""The poller and the function's handler, over a notifier that a test plays."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.builders import BUCKET, a_ref
from tests.clock import NOON, ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.notices import notice
from whisperdrop.domain.webhook import Delivery
from whisperdrop.errors import StoreError
from whisperdrop.service.delivery import BeingDeliveredError, Notifier
from whisperdrop_notifier import handler as function
from whisperdrop_notifier.poller import Poller

VISIBILITY_S = 30
DELIVERY = Delivery(
    id="job_1", attempt=1, at=NOON, url="https://example.com/", status=200, ms=5, delivered=True
)


class Played:
    """A notifier whose every answer the test gives."""

    def __init__(self) -> None:
        self.told: list[JobRef] = []
        self.answers: dict[JobRef, Exception] = {}
        self.slow: set[JobRef] = set()
        self.released = threading.Event()
        self.changed = threading.Condition()

    def notify(self, ref: JobRef) -> Delivery | None:
        if ref in self.slow:
            assert self.released.wait(30)
        with self.changed:
            self.told.append(ref)
            self.changed.notify_all()
        if ref in self.answers:
            raise self.answers[ref]
        return DELIVERY

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, 10)


@pytest.fixture
def notifier() -> Iterator[Played]:
    played = Played()
    yield played
    played.released.set()


@pytest.fixture
def queue(clock: ManualClock) -> MemoryJobQueue:
    return MemoryJobQueue(clock)


@pytest.fixture
def poller(notifier: Played, queue: MemoryJobQueue, clock: ManualClock) -> Poller:
    return Poller(
        cast("Notifier", notifier),
        queue,
        bucket=BUCKET,
        slots=4,
        receive_wait_s=0,
        visibility_s=VISIBILITY_S,
        clock=clock,
    )


def handle_one(poller: Poller, queue: MemoryJobQueue, *, stopping: bool = False) -> None:
    stop = threading.Event()
    if stopping:
        stop.set()
    message = queue.receive(wait_s=0, visibility_s=VISIBILITY_S)
    assert message is not None
    poller.handle(message, stop=stop)


def comes_again_after(queue: MemoryJobQueue, clock: ManualClock) -> int | None:
    """Seconds until a message can be seen again; None when there is none."""
    for seconds in range(3600):
        if queue.receive(wait_s=0, visibility_s=VISIBILITY_S) is not None:
            return seconds
        clock.advance(1)
    return None


def test_a_message_that_was_handled_is_acknowledged(
    poller: Poller, queue: MemoryJobQueue, notifier: Played
) -> None:
    ref = a_ref()
    queue.send(notice(ref))
    handle_one(poller, queue)
    assert notifier.told == [ref]
    assert len(queue) == 0


def test_a_new_message_about_what_is_being_delivered_is_a_duplicate(
    poller: Poller, queue: MemoryJobQueue, notifier: Played, clock: ManualClock
) -> None:
    ref = a_ref()
    notifier.answers[ref] = BeingDeliveredError(clock() + timedelta(seconds=20))
    queue.send(notice(ref))
    handle_one(poller, queue)
    assert len(queue) == 0


def test_a_message_that_came_back_waits_for_the_end_of_the_claim(
    poller: Poller, queue: MemoryJobQueue, notifier: Played, clock: ManualClock
) -> None:
    ref = a_ref()
    queue.send(notice(ref))
    queue.receive(wait_s=0, visibility_s=VISIBILITY_S)  # by one that died
    clock.advance(VISIBILITY_S)
    notifier.answers[ref] = BeingDeliveredError(clock() + timedelta(seconds=20))
    handle_one(poller, queue)
    assert comes_again_after(queue, clock) == 21


def test_a_store_that_fails_is_asked_again_soon(
    poller: Poller, queue: MemoryJobQueue, notifier: Played, clock: ManualClock
) -> None:
    ref = a_ref()
    notifier.answers[ref] = StoreError("the store failed")
    queue.send(notice(ref))
    handle_one(poller, queue)
    assert comes_again_after(queue, clock) == 5


def test_a_message_of_no_known_kind_is_left_to_the_dead_letters(
    poller: Poller, queue: MemoryJobQueue, notifier: Played, clock: ManualClock
) -> None:
    queue.send("what is this")
    handle_one(poller, queue)
    assert comes_again_after(queue, clock) == 0
    assert notifier.told == []


def test_a_message_that_arrives_while_we_stop_goes_back_untouched(
    poller: Poller, queue: MemoryJobQueue, notifier: Played, clock: ManualClock
) -> None:
    queue.send(notice(a_ref()))
    handle_one(poller, queue, stopping=True)
    assert notifier.told == []
    assert comes_again_after(queue, clock) == 0


def test_a_slow_delivery_holds_no_other_up(
    poller: Poller, queue: MemoryJobQueue, notifier: Played
) -> None:
    slow, *quick = (a_ref() for _ in range(10))
    notifier.slow = {slow}
    for ref in (slow, *quick):
        queue.send(notice(ref))
    stop = threading.Event()
    running = threading.Thread(target=poller.run, args=(stop, 10))
    running.start()
    notifier.wait_for(len(quick))
    assert set(notifier.told) == set(quick)
    notifier.released.set()
    notifier.wait_for(10)
    stop.set()
    running.join(10)
    assert not running.is_alive()
    assert len(queue) == 0


def sqs_record(body: str, number: int, receives: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(receives)}
    return {"messageId": f"m{number}", "body": body, "attributes": attributes}


@pytest.fixture
def in_lambda(notifier: Played, monkeypatch: pytest.MonkeyPatch) -> Played:
    process = SimpleNamespace(notifier=notifier, settings=SimpleNamespace(bucket=BUCKET))
    monkeypatch.setattr(function, "_process", lambda: process)
    return notifier


CONTEXT = SimpleNamespace(
    function_name="notifier",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:notifier",
    aws_request_id="r1",
)


def test_of_a_batch_only_what_failed_comes_again(
    in_lambda: Played, capsys: pytest.CaptureFixture[str], clock: ManualClock
) -> None:
    good, busy, failing, broken = (a_ref() for _ in range(4))
    in_lambda.answers = {
        busy: BeingDeliveredError(clock() + timedelta(seconds=20)),
        failing: StoreError("the store failed"),
        broken: RuntimeError("a bug"),
    }
    records = [
        sqs_record(notice(good), 0),
        sqs_record(notice(busy), 1),
        sqs_record(notice(busy), 2, receives=2),
        sqs_record(notice(failing), 3),
        sqs_record(notice(broken), 4),
        sqs_record("what is this", 5),
    ]
    answer = function.handler({"Records": records}, cast("Any", CONTEXT))
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == ["m2", "m3", "m4", "m5"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["WebhooksDelivered"] for line in lines if "WebhooksDelivered" in line] == [[1.0]]


def test_the_messages_of_a_batch_are_handled_side_by_side(in_lambda: Played) -> None:
    slow, *quick = (a_ref() for _ in range(10))
    in_lambda.slow = {slow}
    records = [sqs_record(notice(ref), n) for n, ref in enumerate((slow, *quick))]
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(
        target=lambda: answers.append(function.handler({"Records": records}, cast("Any", CONTEXT)))
    )
    thread.start()
    in_lambda.wait_for(len(quick))
    assert set(in_lambda.told) == set(quick)
    in_lambda.released.set()
    thread.join(10)
    assert answers == [{"batchItemFailures": []}]
