import threading

import pytest

from tests.contract.conftest import QueueUnderTest
from whisperdrop.ports import Message


def must_receive(under_test: QueueUnderTest, *, visibility_s: int = 30) -> Message:
    message = under_test.queue.receive(wait_s=5, visibility_s=visibility_s)
    assert message is not None
    return message


def is_empty(under_test: QueueUnderTest) -> bool:
    return under_test.queue.receive(wait_s=0, visibility_s=1) is None


def test_an_empty_queue_gives_nothing(queue_under_test: QueueUnderTest) -> None:
    assert is_empty(queue_under_test)


def test_a_message_arrives_as_it_was_sent(queue_under_test: QueueUnderTest) -> None:
    body = '{"key": "имя файла ünï dev 日本.flac & <co>"}'
    queue_under_test.queue.send(body)
    message = must_receive(queue_under_test)
    assert (message.body, message.receives) == (body, 1)


def test_a_message_says_when_it_was_sent(queue_under_test: QueueUnderTest) -> None:
    queue_under_test.queue.send("work")
    first = must_receive(queue_under_test, visibility_s=1).sent_at
    assert first is not None
    assert first.tzinfo is not None
    queue_under_test.let_a_second_pass()
    assert must_receive(queue_under_test).sent_at == first


def test_a_received_message_is_hidden(queue_under_test: QueueUnderTest) -> None:
    queue_under_test.queue.send("work")
    must_receive(queue_under_test)
    assert is_empty(queue_under_test)


def test_a_message_that_nobody_deleted_comes_again_and_is_counted(
    queue_under_test: QueueUnderTest,
) -> None:
    queue_under_test.queue.send("work")
    must_receive(queue_under_test, visibility_s=1)
    queue_under_test.let_a_second_pass()
    again = must_receive(queue_under_test)
    assert (again.body, again.receives) == ("work", 2)


def test_a_deleted_message_never_comes_again(queue_under_test: QueueUnderTest) -> None:
    queue_under_test.queue.send("work")
    message = must_receive(queue_under_test)
    queue_under_test.queue.extend(message, 0)
    message = must_receive(queue_under_test)
    queue_under_test.queue.delete(message)
    assert is_empty(queue_under_test)


def test_extending_to_zero_hands_a_message_back_at_once(
    queue_under_test: QueueUnderTest,
) -> None:
    queue_under_test.queue.send("work")
    message = must_receive(queue_under_test)
    queue_under_test.queue.extend(message, 0)
    assert must_receive(queue_under_test).receives == 2


def test_an_extended_message_stays_hidden(queue_under_test: QueueUnderTest) -> None:
    queue_under_test.queue.send("work")
    message = must_receive(queue_under_test, visibility_s=1)
    queue_under_test.queue.extend(message, 30)
    queue_under_test.let_a_second_pass()
    assert queue_under_test.queue.receive(wait_s=2, visibility_s=1) is None
    queue_under_test.queue.delete(message)


def test_a_receiver_that_waits_gets_a_message_that_is_sent_meanwhile(
    queue_under_test: QueueUnderTest,
) -> None:
    if queue_under_test.name == "memory":
        queue_under_test.queue.send("work")  # it never waits
        assert must_receive(queue_under_test).body == "work"
        return
    sender = threading.Timer(0.3, queue_under_test.queue.send, ["work"])
    sender.start()
    try:
        assert must_receive(queue_under_test).body == "work"
    finally:
        sender.join()


def test_no_two_receivers_hold_one_message(queue_under_test: QueueUnderTest) -> None:
    if queue_under_test.name == "moto":
        pytest.skip("moto looks for visible messages and hides them in two steps")
    bodies = {str(number) for number in range(20)}
    for body in bodies:
        queue_under_test.queue.send(body)
    received: list[str] = []

    def drain() -> None:
        while message := queue_under_test.queue.receive(wait_s=0, visibility_s=60):
            received.append(message.body)
            queue_under_test.queue.delete(message)

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(received) == len(bodies)
    assert set(received) == bodies


def test_a_message_can_be_sent_to_be_received_later(queue_under_test: QueueUnderTest) -> None:
    queue_under_test.queue.send("later", delay_s=1)
    assert is_empty(queue_under_test)
    queue_under_test.let_a_second_pass()
    assert must_receive(queue_under_test).body == "later"
