import json
from typing import Any

import pytest

from tests.builders import BUCKET, a_ref
from tests.clock import NOON
from whisperdrop.domain import keys
from whisperdrop.domain.events import MalformedEventError
from whisperdrop.domain.notices import notice, parse_notice

REF = a_ref()


def s3_event(*found: str, bucket: str = BUCKET, name: str = "ObjectCreated:Put") -> str:
    records = [
        {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        for key in found
    ]
    return json.dumps({"Records": records})


def event_bridge(key: str) -> str:
    detail = {"bucket": {"name": BUCKET}, "object": {"key": key}}
    body = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    return json.dumps(body)


def test_our_own_message_names_its_job() -> None:
    assert parse_notice(notice(REF), bucket=BUCKET) == [REF]


@pytest.mark.parametrize("event", [s3_event, event_bridge])
def test_an_outcome_that_was_written_names_its_job(event: Any) -> None:
    assert parse_notice(event(keys.outcome(REF)), bucket=BUCKET) == [REF]


def test_a_key_may_be_percent_encoded() -> None:
    encoded = keys.outcome(REF).replace("/", "%2F")
    assert parse_notice(s3_event(encoded), bucket=BUCKET) == [REF]


@pytest.mark.parametrize(
    "text",
    [
        s3_event(keys.request(REF), keys.upload(REF, "a.mp3"), "jobs/x/outcome.json"),
        s3_event(keys.outcome(REF), bucket="another"),
        s3_event(keys.outcome(REF), name="ObjectRemoved:Delete"),
        json.dumps({"Event": "s3:TestEvent"}),
    ],
)
def test_what_is_no_end_of_a_job_of_ours_names_none(text: str) -> None:
    assert parse_notice(text, bucket=BUCKET) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"kind": "whisperdrop.notification"}',
        '{"kind": "whisperdrop.notification", "tenant": 1, "job_id": 2}',
        '{"kind": "whisperdrop.job", "tenant": "acme", "job_id": "x"}',
        '{"Records": [{}]}',
    ],
)
def test_a_message_of_no_known_kind_is_malformed(text: str) -> None:
    with pytest.raises(MalformedEventError):
        parse_notice(text, bucket=BUCKET)


def test_markers_sort_by_their_time_and_say_it() -> None:
    from datetime import timedelta

    times = [NOON + timedelta(microseconds=n) for n in (0, 1, 999_999, 10**6, 10**11)]
    written = [keys.notification_due(REF, at) for at in times]
    assert written == sorted(written)
    assert [keys.parse_notification_key(key) for key in written] == [(at, REF) for at in times]


@pytest.mark.parametrize("key", ["notifications/x", "notifications/soon/acme/x", "jobs/acme/x/y"])
def test_what_is_no_marker_is_none(key: str) -> None:
    assert keys.parse_notification_key(key) is None
    assert keys.parse_notification_key(f"notifications/soon/acme/{REF.job_id}") is None
