"""The telling of a job's end, with the network, the clock and the store in the test's hands."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import BUCKET, a_ref, an_outcome, keys_in
from tests.clock import ManualClock
from tests.outbounds import FakeOutbound
from tests.stores import FailingStore
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.domain.notices import parse_notice
from whisperdrop.domain.webhook import Delivery, Notification, NotificationState, Webhook
from whisperdrop.domain.webhook_schedule import RetrySchedule
from whisperdrop.domain.webhook_target import TargetRules
from whisperdrop.errors import ConflictError, StoreError
from whisperdrop.ports import HttpAnswer, ObjectStore, UnreachableError
from whisperdrop.service.courier import Courier
from whisperdrop.service.delivery import BeingDeliveredError, DeliveryPolicy, Notifier
from whisperdrop.service.documents import dump, read
from whisperdrop.service.notification_sweep import NotificationReport, NotificationSweep
from whisperdrop.service.notifications import Notifications, mark
from whisperdrop.service.webhooks import Webhooks

URL = "https://example.com/hook"
WAITS = (5.0, 30.0, 1800.0, 36_000.0)
LEASE_S = 30.0
REQUEUE_S = 600.0


class OpenGate:
    """Room for everybody, unless the test says how long to stay away."""

    def __init__(self) -> None:
        self.stay_away_s: float | None = None
        self.inside = 0

    def enter(self, tenant: str, host: str) -> float | None:
        if self.stay_away_s is None:
            self.inside += 1
        return self.stay_away_s

    def leave(self, tenant: str, host: str, seconds: float) -> None:
        self.inside -= 1


class Post:
    """A store, a queue, a notifier and the sweep, without a network."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store = MemoryObjectStore(clock)
        self.queue = MemoryJobQueue(clock)
        self.outbound = FakeOutbound()
        self.gate = OpenGate()
        self.webhooks = Webhooks(self.store, self._courier(), clock=clock)
        self.notifications = Notifications(self.store, self.queue, clock=clock)

    def _courier(self) -> Courier:
        return Courier(self.outbound, TargetRules(), timeout_s=10, agent="Whisperdrop/test")

    def notifier(self, store: ObjectStore | None = None, owner: str = "n1") -> Notifier:
        return Notifier(
            store or self.store,
            self.queue,
            self._courier(),
            self.gate,
            policy=DeliveryPolicy(lease_s=LEASE_S, schedule=RetrySchedule(WAITS)),
            owner=owner,
            clock=self.clock,
            chance=lambda: 0.0,
        )

    def ended(self, status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> Outcome:
        """A job that has ended just now and whose tenant is to be told, as its worker leaves it."""
        self.webhooks.put("acme", None)
        fields = {"webhook_url": URL, "finished_at": self.clock()} | fields
        outcome = an_outcome(a_ref(), status, **fields)
        self.store.create(keys.outcome(outcome.ref), dump(outcome))
        mark(self.store, outcome)
        return outcome

    def tell(self, outcome: Outcome) -> Delivery | None:
        return self.notifier().notify(outcome.ref)

    def state(self, outcome: Outcome) -> Notification:
        found = read(self.store, Notification, keys.notification(outcome.ref))
        assert found is not None
        return found

    def log(self, outcome: Outcome) -> list[Delivery]:
        return list(self.notifications.deliveries(outcome.ref))

    def markers(self) -> list[str]:
        return keys_in(self.store, keys.NOTIFICATIONS)

    def sweep(self, *, queues_lost: bool = False) -> NotificationReport:
        sweep = NotificationSweep(
            self.store, self.queue, requeue_after_s=REQUEUE_S, clock=self.clock
        )
        return sweep.run(queues_lost=queues_lost)

    def work_off(self) -> int:
        """Handle every message that can be seen; how many there were."""
        handled = 0
        while (message := self.queue.receive(wait_s=0, visibility_s=30)) is not None:
            for ref in parse_notice(message.body, bucket=BUCKET):
                self.notifier().notify(ref)
            self.queue.delete(message)
            handled += 1
        return handled

    def run_for(self, seconds: float, step_s: float = 60) -> None:
        """Let time pass, with the sweep once a minute and a notifier that takes what there is."""
        end = self.clock() + timedelta(seconds=seconds)
        while self.clock() < end:
            self.sweep()
            self.work_off()
            self.clock.advance(step_s)


@pytest.fixture
def post(clock: ManualClock) -> Post:
    return Post(clock)


def test_a_delivery_says_what_became_of_the_job(post: Post) -> None:
    outcome = post.ended(metadata={"case": "42"}, name="a.mp3")
    delivery = post.tell(outcome)
    assert delivery is not None
    assert delivery.delivered
    [sent] = post.outbound.posted
    event = json.loads(sent.body)
    assert event["type"] == "job.succeeded"
    assert event["data"]["job_id"] == outcome.job_id
    assert event["data"]["metadata"] == {"case": "42"}
    assert "tenant" not in event["data"]
    assert sent.headers["User-Agent"] == "Whisperdrop/test"
    assert sent.headers["webhook-id"] == f"job_{outcome.job_id}" == delivery.id
    assert post.state(outcome).state is NotificationState.DELIVERED
    assert post.log(outcome) == [delivery]
    assert post.markers() == []


def test_a_delivery_leads_back_to_the_request_that_made_the_job(post: Post) -> None:
    outcome = post.ended(correlation_id="request-1")
    delivery = post.tell(outcome)
    assert delivery is not None
    assert delivery.correlation_id == "request-1"
    [sent] = post.outbound.posted
    assert sent.headers["x-correlation-id"] == "request-1"
    assert "correlation_id" not in json.loads(sent.body)["data"]


@pytest.mark.parametrize("status", [s for s in JobStatus if s.final])
def test_every_kind_of_end_is_told(status: JobStatus, post: Post) -> None:
    post.tell(post.ended(status))
    assert json.loads(post.outbound.posted[0].body)["type"] == f"job.{status}"


def test_a_second_message_tells_nothing_twice(post: Post) -> None:
    outcome = post.ended()
    assert post.tell(outcome) is not None
    assert post.tell(outcome) is None
    assert len(post.outbound.posted) == 1


def test_a_marker_that_came_late_is_removed_by_the_next_message(post: Post) -> None:
    outcome = post.ended()
    post.tell(outcome)
    mark(post.store, outcome)  # the worker was slower than the bucket's event
    assert post.markers() != []
    post.tell(outcome)
    assert post.markers() == []
    assert len(post.outbound.posted) == 1


def test_failures_are_tried_again_ever_more_rarely_and_then_given_up(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(500)] * 9
    outcome = post.ended()
    for wait_s in WAITS:
        assert post.tell(outcome) is not None
        assert post.state(outcome).next_at == post.clock() + timedelta(seconds=wait_s)
        assert post.markers() == [keys.notification_due(outcome.ref, post.state(outcome).next_at)]
        post.clock.advance(wait_s - 1)
        assert post.tell(outcome) is None, "too early"
        post.clock.advance(1)
    last = post.tell(outcome)
    assert last is not None
    assert last.error == "the target answered 500"
    assert post.state(outcome).state is NotificationState.GAVE_UP
    assert [delivery.attempt for delivery in post.log(outcome)] == [1, 2, 3, 4, 5]
    assert post.markers() == []
    assert post.tell(outcome) is None


def test_every_attempt_says_the_same_and_is_signed_anew(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(500)]
    outcome = post.ended()
    post.tell(outcome)
    post.clock.advance(WAITS[0])
    post.tell(outcome)
    first, second = post.outbound.posted
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]


def test_short_waits_are_kept_by_the_queue_and_long_ones_by_the_sweep(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(500)] * 9
    outcome = post.ended()
    post.tell(outcome)
    assert len(post.queue) == 1
    assert post.work_off() == 0, "hidden until it is due"
    post.clock.advance(WAITS[0])
    assert post.work_off() == 1
    post.clock.advance(WAITS[1])
    assert post.work_off() == 1
    assert len(post.queue) == 0, "no queue keeps a message for half an hour"
    assert post.sweep().seen == 0
    post.clock.advance(WAITS[2])
    assert post.sweep().sent == [outcome.job_id]
    assert post.sweep().sent == [], "once is enough"
    assert post.work_off() == 1
    assert len(post.log(outcome)) == 4


def test_a_day_of_failures_and_then_a_success(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(503)] * len(WAITS)
    outcome = post.ended()
    post.run_for(sum(WAITS) + REQUEUE_S + 600)
    assert [d.delivered for d in post.log(outcome)] == [False] * len(WAITS) + [True]
    assert post.markers() == []
    assert len(post.queue) == 0


@pytest.mark.parametrize("lost", ["the event", "a message for a retry"])
def test_what_the_queue_loses_the_sweep_finds(lost: str, post: Post) -> None:
    outcome = post.ended()
    if lost == "a message for a retry":
        post.outbound.answers = [HttpAnswer(500)]
        post.tell(outcome)
        post.queue = MemoryJobQueue(post.clock)
    post.clock.advance(REQUEUE_S - 1)
    assert post.sweep().sent == []
    post.clock.advance(WAITS[0] + 1)
    assert post.sweep().sent == [outcome.job_id]
    assert post.work_off() == 1
    assert post.state(outcome).state is NotificationState.DELIVERED


def test_when_the_queues_are_new_everything_that_waited_there_is_sent_at_once(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(500)] * 2
    first, second = post.ended(), post.ended()
    post.tell(first)
    post.queue = MemoryJobQueue(post.clock)
    assert set(post.sweep(queues_lost=True).sent) == {first.job_id, second.job_id}
    assert post.work_off() == 1, "the other one is not due yet"
    post.clock.advance(WAITS[0])
    assert post.work_off() == 2
    assert len(post.log(first)) == len(post.log(second)) == 2


def test_retry_after_makes_the_wait_longer(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(429, "90")]
    outcome = post.ended()
    post.tell(outcome)
    assert post.state(outcome).next_at == post.clock() + timedelta(seconds=90)


def test_gone_stops_it_for_good(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(410)]
    outcome = post.ended()
    post.tell(outcome)
    assert post.state(outcome).state is NotificationState.STOPPED
    post.run_for(3600)
    assert len(post.outbound.posted) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_anything_but_2xx_is_a_failure(status: int, post: Post) -> None:
    post.outbound.answers = [HttpAnswer(status)]
    outcome = post.ended()
    delivery = post.tell(outcome)
    assert delivery is not None
    assert (delivery.status, delivery.delivered) == (status, False)
    assert post.state(outcome).waiting


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status: int, post: Post) -> None:
    post.outbound.answers = [HttpAnswer(status)]
    delivery = post.tell(post.ended())
    assert delivery is not None
    assert delivery.delivered


def test_a_target_without_an_answer_is_tried_again(post: Post) -> None:
    post.outbound.answers = [UnreachableError("the target had not answered after 10 s")]
    outcome = post.ended()
    delivery = post.tell(outcome)
    assert delivery is not None
    assert (delivery.status, delivery.error) == (None, "the target had not answered after 10 s")
    assert post.state(outcome).waiting


def test_a_name_that_leads_inside_gets_nothing(post: Post) -> None:
    post.outbound.names["example.com"] = ("93.184.216.34", "10.0.0.1")
    outcome = post.ended()
    delivery = post.tell(outcome)
    assert delivery is not None
    assert "not on the public internet" in (delivery.error or "")
    assert post.outbound.posted == []
    assert post.state(outcome).waiting, "a name can be put right"


def test_a_name_is_asked_for_once_and_its_address_is_the_one_that_is_used(post: Post) -> None:
    post.outbound.names["example.com"] = ("93.184.216.34",)
    outcome = post.ended()
    post.outbound.lookups.clear()
    post.tell(outcome)
    assert post.outbound.lookups == ["example.com"]
    endpoint = post.outbound.posted[0].endpoint
    assert (endpoint.address, endpoint.host) == ("93.184.216.34", "example.com")


def test_where_one_address_does_not_answer_the_next_one_is_tried(post: Post) -> None:
    post.outbound.names["example.com"] = ("2606:4700::1111", "93.184.216.34")
    post.outbound.closed = {"2606:4700::1111"}
    delivery = post.tell(post.ended())
    assert delivery is not None
    assert delivery.delivered
    assert post.outbound.posted[0].endpoint.address == "93.184.216.34"


def test_two_notifiers_never_deliver_at_once(post: Post) -> None:
    outcome = post.ended()
    met: list[BaseException] = []

    def another() -> None:
        try:
            post.notifier(owner="n2").notify(outcome.ref)
        except BeingDeliveredError as error:
            met.append(error)

    post.outbound.meanwhile = another
    post.tell(outcome)
    assert len(met) == 1
    assert len(post.outbound.posted) == 1


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash_at", range(1, 6))
def test_a_death_at_any_write_loses_nothing(crash_at: int, written: bool, post: Post) -> None:
    outcome = post.ended()
    dying = post.notifier(FailingStore(post.store, crash_at, written=written), owner="dead")
    try:
        dying.notify(outcome.ref)
    except (StoreError, BeingDeliveredError):
        post.clock.advance(LEASE_S)  # its message comes back when it is hidden no more
        post.tell(outcome)
    assert post.state(outcome).state is NotificationState.DELIVERED
    assert any(delivery.delivered for delivery in post.log(outcome))
    assert 1 <= len(post.outbound.posted) <= 2
    post.clock.advance(REQUEUE_S)
    post.sweep()
    post.work_off()
    assert post.markers() == []


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash_at", range(1, 7))
def test_a_death_while_a_failure_is_noted_loses_nothing(
    crash_at: int, written: bool, post: Post
) -> None:
    post.outbound.answers = [HttpAnswer(500)]
    outcome = post.ended()
    dying = post.notifier(FailingStore(post.store, crash_at, written=written), owner="dead")
    try:
        dying.notify(outcome.ref)
    except (StoreError, BeingDeliveredError):
        post.queue = MemoryJobQueue(post.clock)  # and its message is lost as well
    post.run_for(2 * REQUEUE_S + 120)
    assert post.state(outcome).state is NotificationState.DELIVERED
    assert post.markers() == []


def test_a_target_that_had_taken_it_before_the_notifier_died_is_not_told_again(
    post: Post,
) -> None:
    outcome = post.ended()
    conclusion = 3  # after the claim and the log
    with pytest.raises(StoreError):
        post.notifier(FailingStore(post.store, conclusion)).notify(outcome.ref)
    post.clock.advance(LEASE_S)
    post.tell(outcome)
    assert post.state(outcome).state is NotificationState.DELIVERED
    assert len(post.outbound.posted) == 1


def test_a_claim_that_a_slow_store_used_up_sends_nothing(post: Post) -> None:
    outcome = post.ended()

    class Slow(FailingStore):
        def _write(self, key: str, write: Any) -> Any:
            post.clock.advance(LEASE_S - 5)
            return write()

    with pytest.raises(BeingDeliveredError):
        post.notifier(Slow(post.store, 0)).notify(outcome.ref)
    assert post.outbound.posted == []
    post.clock.advance(LEASE_S)
    post.tell(outcome)
    assert len(post.outbound.posted) == 1


def test_who_finds_no_room_comes_again_later(post: Post) -> None:
    outcome = post.ended()
    post.gate.stay_away_s = 7.5
    assert post.tell(outcome) is None
    assert post.outbound.posted == []
    post.gate.stay_away_s = None
    post.clock.advance(7)
    assert post.work_off() == 0
    post.clock.advance(1)
    assert post.work_off() == 1
    assert post.state(outcome).state is NotificationState.DELIVERED
    assert post.gate.inside == 0


def test_who_finds_no_room_for_long_is_not_queued_twice(post: Post) -> None:
    post.ended()
    post.gate.stay_away_s = 300.0
    post.work_off()
    for _ in range(20):
        post.run_for(300)
        assert len(post.queue) <= 1
    assert post.outbound.posted == []


def test_room_is_given_back_whatever_happens(post: Post) -> None:
    outcome = post.ended()
    with pytest.raises(StoreError):
        post.notifier(FailingStore(post.store, 2)).notify(outcome.ref)
    assert post.gate.inside == 0


def test_nobody_is_told_who_does_not_want_to_know(post: Post) -> None:
    outcome = post.ended(webhook_url=None)
    assert post.markers() == []
    assert post.tell(outcome) is None
    assert post.outbound.posted == []
    assert keys_in(post.store, keys.notification(outcome.ref)) == []


def test_the_tenants_webhook_is_for_jobs_without_their_own(post: Post) -> None:
    post.webhooks.put("acme", "https://all.example.com/")
    post.tell(post.ended(webhook_url=None))
    post.tell(post.ended())
    hosts = [posted.endpoint.host for posted in post.outbound.posted]
    assert hosts == ["all.example.com", "example.com"]


def test_a_webhook_that_is_taken_away_ends_what_waits_for_it(post: Post) -> None:
    post.webhooks.put("acme", URL)
    post.outbound.answers = [HttpAnswer(500)]
    outcome = post.ended(webhook_url=None)
    post.tell(outcome)
    post.webhooks.delete("acme")
    post.run_for(REQUEUE_S)
    assert post.state(outcome).state is NotificationState.STOPPED
    assert post.markers() == []
    assert len(post.outbound.posted) == 1


def test_a_job_that_was_deleted_since_is_nobodys_business(post: Post) -> None:
    outcome = post.ended()
    for key in keys_in(post.store, keys.documents(outcome.ref)):
        post.store.delete(key)
    assert post.tell(outcome) is None
    post.clock.advance(REQUEUE_S)
    assert post.sweep().tidied == [outcome.job_id]
    assert post.markers() == []


def test_what_is_left_of_a_deleted_job_is_told_to_nobody(post: Post) -> None:
    outcome = post.ended()
    gone = outcome.deleted(post.clock(), post.clock())
    post.store.put(keys.outcome(outcome.ref), dump(gone))
    assert post.tell(outcome) is None
    assert post.outbound.posted == []


def test_redelivery_begins_anew_whatever_came_before(post: Post) -> None:
    post.outbound.answers = [HttpAnswer(410), HttpAnswer(500)]
    outcome = post.ended()
    post.tell(outcome)
    post.clock.advance(100)
    post.notifications.redeliver(outcome)
    assert post.state(outcome).waiting
    assert post.work_off() == 1
    assert post.state(outcome).tries == 1, "the schedule has begun anew"
    post.clock.advance(WAITS[0])
    post.work_off()
    assert [d.status for d in post.log(outcome)] == [410, 500, 200]
    assert len({posted.headers["webhook-id"] for posted in post.outbound.posted}) == 1
    assert post.markers() == []


def test_a_redelivery_whose_message_is_lost_is_found_by_the_sweep(post: Post) -> None:
    outcome = post.ended()
    post.tell(outcome)
    post.notifications.redeliver(outcome)
    post.queue = MemoryJobQueue(post.clock)
    post.run_for(REQUEUE_S + 120)
    assert [d.attempt for d in post.log(outcome)] == [1, 2]


def test_what_is_being_delivered_is_not_begun_anew(post: Post) -> None:
    outcome = post.ended()
    post.outbound.meanwhile = lambda: post.notifications.redeliver(outcome)
    post.tell(outcome)
    assert post.work_off() == 0
    assert len(post.outbound.posted) == 1


def test_a_job_without_a_webhook_cannot_be_told_of_again(post: Post) -> None:
    with pytest.raises(ConflictError, match="PUT /v1/webhook"):
        post.notifications.redeliver(post.ended(webhook_url=None))


def test_a_damaged_document_is_begun_anew(post: Post) -> None:
    outcome = post.ended()
    post.store.put(keys.notification(outcome.ref), b"{")
    post.tell(outcome)
    assert post.state(outcome).state is NotificationState.DELIVERED


def test_without_a_secret_nothing_is_sent_and_the_log_says_so(post: Post) -> None:
    outcome = post.ended()
    post.store.delete(keys.webhook_secrets("acme"))
    delivery = post.tell(outcome)
    assert delivery is not None
    assert "PUT /v1/webhook" in (delivery.error or "")
    assert post.outbound.posted == []


def test_a_damaged_webhook_keeps_no_job_from_ending(post: Post) -> None:
    post.store.put(keys.webhook("acme"), b"{")
    outcome = an_outcome(a_ref())
    mark(post.store, outcome)
    assert post.markers() == []
    assert read(post.store, Webhook, keys.webhook("other")) is None


@given(
    st.lists(st.sampled_from([200, 500, 410, None]), max_size=6),
    st.lists(st.tuples(st.integers(1, 7), st.booleans()), max_size=4),
)
def test_whatever_fails_it_comes_to_an_end_and_leaves_no_marker(
    answers: list[int | None], deaths: list[tuple[int, bool]]
) -> None:
    post = Post(ManualClock())
    post.outbound.answers = [
        HttpAnswer(status) if status else UnreachableError("no answer") for status in answers
    ]
    outcome = post.ended()
    for crash_at, written in deaths:
        dying = post.notifier(FailingStore(post.store, crash_at, written=written), owner="dead")
        try:
            dying.notify(outcome.ref)
        except (StoreError, BeingDeliveredError):
            post.clock.advance(LEASE_S)
    post.run_for(sum(WAITS) + 6 * REQUEUE_S, step_s=300)
    assert not post.state(outcome).waiting
    assert post.markers() == []
    delivered = [d for d in post.log(outcome) if d.delivered]
    if post.state(outcome).state is NotificationState.DELIVERED:
        assert len(delivered) == 1
