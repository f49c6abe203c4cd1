import json
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from tests.builders import keys_in
from tests.clock import ManualClock
from tests.outbounds import FakeOutbound
from tests.stores import BeforeWriteStore, LostAnswerStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.webhook import SigningSecrets
from whisperdrop.domain.webhook_signature import new_secret
from whisperdrop.domain.webhook_target import TargetRules
from whisperdrop.errors import InvalidValueError, NotFoundError, WebhookRefusedError
from whisperdrop.ports import HttpAnswer, ObjectStore
from whisperdrop.service.courier import Courier
from whisperdrop.service.documents import read
from whisperdrop.service.webhooks import SECRET_OVERLAP, Webhooks

URL = "https://example.com/hook"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def outbound() -> FakeOutbound:
    return FakeOutbound()


@pytest.fixture
def webhooks(store: ObjectStore, outbound: FakeOutbound, clock: ManualClock) -> Webhooks:
    return over(store, outbound, clock)


def over(store: ObjectStore, outbound: FakeOutbound, clock: ManualClock) -> Webhooks:
    courier = Courier(outbound, TargetRules(), timeout_s=10, agent="Whisperdrop/test")
    return Webhooks(store, courier, clock=clock)


def live(store: ObjectStore, clock: ManualClock) -> tuple[str, ...]:
    found = read(store, SigningSecrets, keys.webhook_secrets("acme"))
    assert found is not None
    return found.live(clock())


def test_a_url_gets_a_secret_that_stays(webhooks: Webhooks) -> None:
    url, secret = webhooks.put("acme", URL)
    assert (url, secret.startswith("whsec_")) == (URL, True)
    assert webhooks.get("acme") == (url, secret)
    assert webhooks.put("acme", URL + "2") == (URL + "2", secret)


def test_tenants_have_nothing_in_common(webhooks: Webhooks) -> None:
    _, secret = webhooks.put("acme", URL)
    with pytest.raises(NotFoundError):
        webhooks.get("umbrella")
    assert webhooks.put("umbrella", URL)[1] != secret


def test_the_document_that_workers_read_has_no_secret(
    webhooks: Webhooks, store: MemoryObjectStore
) -> None:
    _, secret = webhooks.put("acme", URL)
    stored = store.get(keys.webhook("acme"))
    assert stored is not None
    assert secret.encode() not in stored.body
    assert keys_in(store) == ["webhook-secrets/acme.json", "webhooks/acme.json"]


def test_a_replaced_secret_goes_on_signing_for_a_day(
    webhooks: Webhooks, store: MemoryObjectStore, clock: ManualClock
) -> None:
    _, old = webhooks.put("acme", URL)
    _, new = webhooks.rotate("acme")
    assert live(store, clock) == (new, old)
    clock.advance(SECRET_OVERLAP.total_seconds() - 1)
    assert live(store, clock) == (new, old)
    clock.advance(1)
    assert live(store, clock) == (new,)
    mine = new_secret()
    assert webhooks.put("acme", None, mine) == (URL, mine)
    assert live(store, clock) == (mine, new)


def test_rotating_often_keeps_a_few_secrets_and_no_more(
    webhooks: Webhooks, store: MemoryObjectStore, clock: ManualClock
) -> None:
    webhooks.put("acme", URL)
    made = [webhooks.rotate("acme")[1] for _ in range(5)]
    assert live(store, clock) == tuple(reversed(made[-3:]))


def test_the_same_secret_again_changes_nothing(
    webhooks: Webhooks, store: MemoryObjectStore, clock: ManualClock
) -> None:
    mine = new_secret()
    webhooks.put("acme", URL, mine)
    webhooks.put("acme", URL, mine)
    assert live(store, clock) == (mine,)


def test_of_two_that_make_the_first_secret_one_wins(
    store: MemoryObjectStore, outbound: FakeOutbound, clock: ManualClock
) -> None:
    first = over(store, outbound, clock)
    key = keys.webhook_secrets("acme")
    racing = over(BeforeWriteStore(store, key, lambda: first.put("acme", URL)), outbound, clock)
    assert racing.put("acme", URL)[1] == first.get("acme")[1]


def test_a_lost_answer_of_the_store_is_no_second_secret(
    store: MemoryObjectStore, outbound: FakeOutbound, clock: ManualClock
) -> None:
    _, secret = over(LostAnswerStore(store), outbound, clock).put("acme", URL)
    assert live(store, clock) == (secret,)
    mine = new_secret()
    over(LostAnswerStore(store), outbound, clock).put("acme", None, mine)
    assert live(store, clock) == (mine, secret)


def test_a_target_inside_is_refused_and_nothing_is_kept(
    webhooks: Webhooks, outbound: FakeOutbound, store: MemoryObjectStore
) -> None:
    outbound.names["inside.example.com"] = ("10.0.0.1",)
    for url in ("https://inside.example.com/", "http://example.com/"):
        with pytest.raises(WebhookRefusedError):
            webhooks.put("acme", url)
        with pytest.raises(WebhookRefusedError):
            webhooks.admit("acme", url)
    assert keys_in(store) == []


def test_a_name_that_cannot_be_resolved_is_refused_as_a_default_but_stops_no_job(
    webhooks: Webhooks, outbound: FakeOutbound
) -> None:
    outbound.names["gone.example.com"] = ()
    with pytest.raises(WebhookRefusedError, match="cannot be resolved"):
        webhooks.put("acme", "https://gone.example.com/")
    webhooks.admit("acme", "https://gone.example.com/")


def test_a_job_with_its_own_webhook_finds_a_secret(webhooks: Webhooks) -> None:
    webhooks.admit("acme", URL)
    url, secret = webhooks.get("acme")
    assert url is None
    assert secret.startswith("whsec_")


def test_a_weak_secret_is_refused_before_anything_is_written(
    webhooks: Webhooks, store: MemoryObjectStore
) -> None:
    with pytest.raises(InvalidValueError):
        webhooks.put("acme", URL, "whsec_c2hvcnQ=")
    assert keys_in(store) == []


def test_deleting_forgets_the_url_and_keeps_the_secret(webhooks: Webhooks) -> None:
    _, secret = webhooks.put("acme", URL)
    webhooks.delete("acme")
    webhooks.delete("acme")
    assert webhooks.get("acme") == (None, secret)


def test_a_test_is_signed_by_every_live_secret_and_says_what_became_of_it(
    webhooks: Webhooks, outbound: FakeOutbound, clock: ManualClock
) -> None:
    from datetime import UTC, datetime

    clock.now = datetime.now(UTC)  # the verifier has a clock of its own
    _, old = webhooks.put("acme", URL)
    _, new = webhooks.rotate("acme")
    url, sent = webhooks.test("acme")
    assert (url, sent.delivered, sent.status) == (URL, True, 200)
    [posted] = outbound.posted
    for secret in (old, new):
        Webhook(secret).verify(posted.body, posted.headers)
    assert json.loads(posted.body)["type"] == "webhook.test"

    outbound.answers = [HttpAnswer(302)]
    _, sent = webhooks.test("acme", "https://other.example.com/")
    assert (sent.delivered, sent.status) == (False, 302)
    assert "redirects are not followed" in (sent.error or "")
    assert outbound.posted[1].endpoint.host == "other.example.com"


def test_there_is_nothing_to_test_without_a_url(webhooks: Webhooks) -> None:
    with pytest.raises(NotFoundError, match="PUT /v1/webhook"):
        webhooks.test("acme")
    with pytest.raises(NotFoundError, match="PUT /v1/webhook"):
        webhooks.rotate("acme")


def test_a_courier_begins_nothing_after_its_time() -> None:
    elapsed = iter([0.0, 11.0, 11.0])
    outbound = FakeOutbound()
    courier = Courier(
        outbound, TargetRules(), timeout_s=10, agent="x", monotonic=lambda: next(elapsed)
    )
    sent = courier.send(URL, "job_1", b"{}", (new_secret(),), ManualClock()())
    assert "not reached in 10 s" in (sent.error or "")
    assert outbound.posted == []
    assert timedelta(milliseconds=sent.ms) == timedelta(seconds=11)
