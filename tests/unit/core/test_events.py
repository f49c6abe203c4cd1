import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_ref
from whisperdrop.domain.events import (
    MalformedEventError,
    SpanRef,
    Work,
    direct_message,
    parse_event,
    span_message,
)
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop

EVENTS = Path(__file__).resolve().parents[2] / "events"

# Uploaded as "имя файла ünï dev 日本.flac" and dropped as "a+b 100% & co.mp3".
UPLOAD = JobRef("acme", "0u2v7hq1z4k9d3m8x2p7c5w1q")
DROP = Drop("acme", "inbox/acme/any folder/a+b 100% & co.mp3")

EXPECTED: dict[str, list[Work]] = {
    "s3_sqs_aws": [UPLOAD],
    "s3_sqs_aws_drop": [DROP],
    "s3_sqs_aws_two_records": [UPLOAD, DROP],
    "s3_localstack": [UPLOAD],
    "s3_localstack_drop": [DROP],
    "s3_moto": [UPLOAD],
    "s3_moto_drop": [DROP],
    "minio_webhook": [UPLOAD],
    "minio_webhook_drop": [DROP],
    "eventbridge": [UPLOAD],
    "eventbridge_drop": [DROP],
    "direct": [UPLOAD],
    "direct_span": [SpanRef(UPLOAD, 17)],
    "s3_test_event": [],
    "s3_foreign_bucket": [],
    "s3_object_removed": [],
    "s3_other_prefix": [],
    "eventbridge_object_deleted": [],
}


def recorded(name: str) -> str:
    return (EVENTS / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("*.json")))
def test_a_recorded_message_names_its_work(name: str) -> None:
    assert parse_event(recorded(name), bucket="media") == EXPECTED[name]


def test_every_expectation_has_its_recording() -> None:
    assert EXPECTED.keys() == {path.stem for path in EVENTS.glob("*.json")}


def test_the_three_ways_to_encode_a_key_are_different_and_are_all_read() -> None:
    encoded = {
        json.loads(recorded(name))["Records"][0]["s3"]["object"]["key"]
        for name in ("s3_sqs_aws_drop", "s3_localstack_drop", "s3_moto_drop")
    }
    assert len(encoded) == 3


def test_a_key_of_eventbridge_is_taken_as_it_stands() -> None:
    event = json.loads(recorded("eventbridge"))
    event["detail"]["object"]["key"] = "inbox/acme/100%25 a+b.mp3"
    assert parse_event(json.dumps(event), bucket="media") == [
        Drop("acme", "inbox/acme/100%25 a+b.mp3")
    ]


def test_every_way_to_create_an_object_counts() -> None:
    event = json.loads(recorded("s3_sqs_aws"))
    for name in ("Put", "Post", "Copy", "CompleteMultipartUpload"):
        event["Records"][0]["eventName"] = f"ObjectCreated:{name}"
        assert parse_event(json.dumps(event), bucket="media") == [UPLOAD]


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True))
def test_our_own_message_is_read_back(tenant: str) -> None:
    ref = a_ref(tenant)
    assert parse_event(direct_message(ref), bucket="media") == [ref]


@given(st.integers(0, 99_999))
def test_our_own_invitation_is_read_back(n: int) -> None:
    span = SpanRef(a_ref(), n)
    assert parse_event(span_message(span), bucket="media") == [span]


def changed(name: str, *path: str | int, to: Any) -> str:
    event = json.loads(recorded(name))
    place = event
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(event)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "null",
        "[]",
        "7",
        '"text"',
        "{}",
        '{"kind": "something else"}',
        '{"Records": {}}',
        '{"Records": [1]}',
        '{"Records": [{"eventSource": "aws:sqs"}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}',
        '{"source": "aws.s3", "detail": null, "detail-type": "Object Created"}',
        '{"kind": "whisperdrop.job"}',
        '{"kind": "whisperdrop.job", "tenant": "../x", "job_id": "y"}',
        '{"kind": "whisperdrop.job", "tenant": 7, "job_id": []}',
        "[" * 100_000,
        changed("s3_sqs_aws", "Records", 0, "s3", "object", "key", to=7),
        changed("s3_sqs_aws", "Records", 0, "s3", to=None),
        changed("eventbridge", "detail", "object", "key", to=None),
        changed("direct", "job_id", to="short"),
        changed("direct_span", "job_id", to="short"),
        changed("direct_span", "n", to=-1),
        changed("direct_span", "n", to=100_000),
        changed("direct_span", "n", to="17"),
        changed("direct_span", "n", to=True),
    ],
    ids=lambda text: text[:40],
)
def test_garbage_is_malformed_and_nothing_worse(text: str) -> None:
    with pytest.raises(MalformedEventError):
        parse_event(text, bucket="media")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "Records", "Event", "source", "detail", "s3", "bucket", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_makes_the_parser_raise_anything_else(body: Any) -> None:
    try:
        work = parse_event(json.dumps(body), bucket="media")
    except MalformedEventError:
        return
    assert work == []
