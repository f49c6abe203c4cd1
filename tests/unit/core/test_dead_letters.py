"""Letters that were received too often: what they are about, and back to where they came from."""

from functools import partial

import pytest

from tests.builders import BUCKET, a_ref, a_request, an_outcome
from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain.events import SpanRef, direct_message, parse_event, span_message
from whisperdrop.errors import StoreError
from whisperdrop.service.dead_letters import look, redrive
from whisperdrop.service.settlement import settle

PARSE = partial(parse_event, bucket=BUCKET)
DROP = (
    '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "media"}, '
    '"object": {"key": "inbox/acme/a.mp3"}}}]}'
)


class Post:
    """A store, a queue, and its dead letters."""

    def __init__(self, clock: ManualClock) -> None:
        self.store = MemoryObjectStore(clock)
        self.source = MemoryJobQueue(clock)
        self.dead = MemoryJobQueue(clock)

    def bodies(self, queue: MemoryJobQueue) -> list[str]:
        found = []
        while message := queue.receive(wait_s=0, visibility_s=30):
            found.append(message.body)
        return found


@pytest.fixture
def post(clock: ManualClock) -> Post:
    return Post(clock)


def test_letters_are_shown_with_their_jobs_and_stay(post: Post) -> None:
    ref = a_ref()
    post.dead.send(direct_message(ref))
    post.dead.send(span_message(SpanRef(ref, 3)))
    post.dead.send(DROP)
    post.dead.send("garbage")

    letters = look(post.dead, PARSE, most=10)

    assert sorted(len(letter.jobs) for letter in letters) == [0, 0, 1, 1]
    assert [letter.malformed for letter in letters].count(True) == 1
    assert len(post.bodies(post.dead)) == 4


def test_letters_go_back_unless_their_jobs_have_ended_or_nobody_knows_them(post: Post) -> None:
    waiting, ended = a_request(), a_request()
    settle(post.store, an_outcome(ended.ref))
    for body in (direct_message(waiting.ref), direct_message(ended.ref), DROP, "garbage"):
        post.dead.send(body)

    done = redrive(post.dead, post.source, post.store, PARSE, most=10)

    assert (done.moved, done.ended, done.malformed) == (2, 1, 1)
    assert done.jobs == [waiting.ref]
    assert sorted(post.bodies(post.source)) == sorted([direct_message(waiting.ref), DROP])
    assert post.bodies(post.dead) == ["garbage"]


def test_no_more_letters_are_moved_than_was_said(post: Post) -> None:
    for _ in range(3):
        post.dead.send(direct_message(a_ref()))

    assert redrive(post.dead, post.source, post.store, PARSE, most=2).moved == 2
    assert len(post.bodies(post.source)) == 2


def test_a_letter_that_could_not_be_sent_is_not_lost(post: Post, clock: ManualClock) -> None:
    post.dead.send(direct_message(a_ref()))

    class Full(MemoryJobQueue):
        def send(self, body: str, *, delay_s: int = 0) -> None:
            raise StoreError("the queue is full")

    with pytest.raises(StoreError):
        redrive(post.dead, Full(clock), post.store, PARSE, most=10)

    clock.advance(120)
    assert len(post.bodies(post.dead)) == 1
