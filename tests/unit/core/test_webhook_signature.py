import json
from datetime import UTC, datetime

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tests.clock import NOON
from whisperdrop.domain.webhook_signature import check_secret, headers, new_secret
from whisperdrop.errors import InvalidValueError

# From the specification's own example.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_example_of_the_specification_is_met() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    assert headers(KNOWN["webhook-id"], at, KNOWN_BODY, [KNOWN_SECRET]) == KNOWN


@given(st.dictionaries(st.text(), st.text()), st.binary(min_size=24, max_size=64))
def test_others_peoples_verifiers_find_it_genuine(data: dict[str, str], key: bytes) -> None:
    secret = new_secret(lambda _: key)
    body = json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")
    now = datetime.now(UTC)
    signed = headers("job_1", now, body, [secret])
    if body.decode("utf-8", "ignore").encode() == body:  # both verifiers take text
        Webhook(secret).verify(body, signed)
        client = openai.OpenAI(api_key="none", webhook_secret=secret)
        client.webhooks.verify_signature(body, signed)


def test_while_a_secret_is_replaced_either_one_verifies() -> None:
    old, new = new_secret(), new_secret()
    now = datetime.now(UTC)
    signed = headers("job_1", now, KNOWN_BODY, [new, old])
    for secret in (old, new):
        Webhook(secret).verify(KNOWN_BODY, signed)
        client = openai.OpenAI(api_key="none", webhook_secret=secret)
        client.webhooks.verify_signature(KNOWN_BODY, signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(KNOWN_BODY, signed)


def test_a_changed_body_id_or_time_is_found_out() -> None:
    secret = new_secret()
    signed = headers("job_1", datetime.now(UTC), KNOWN_BODY, [secret])
    for forged in (
        (KNOWN_BODY + b" ", signed),
        (KNOWN_BODY, signed | {"webhook-id": "job_2"}),
        (KNOWN_BODY, signed | {"webhook-timestamp": str(int(signed["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(*forged)


def test_a_new_secret_is_random_and_acceptable() -> None:
    assert check_secret(new_secret()) != new_secret()


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ä"],
)
def test_a_secret_that_is_weak_or_malformed_is_refused(secret: str) -> None:
    with pytest.raises(InvalidValueError, match="whsec_"):
        check_secret(secret)


def test_the_time_is_that_of_the_attempt() -> None:
    assert headers("job_1", NOON, b"", [new_secret()])["webhook-timestamp"] == "1772366400"
