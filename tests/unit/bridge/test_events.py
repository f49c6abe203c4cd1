import json
import logging
from pathlib import Path
from typing import Any

import pytest

from store_emulator.payload import webhook
from tests.unit.bridge.conftest import BUCKET, Bridge, bodies
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.notices import parse_notice

JOB = "0u2v7hq1z4k9d3m8x2p7c5w1q"
NOW = "2026-03-01T12:00:00.412Z"
NAMES = (
    "speech.flac",
    "имя файла ünï dev 日本.flac",
    "a+b 100% & <co>.mp3",
    "%41 %2F plus+plus.wav",
    "quote\"s 'n' back\\slash;semi.ogg",
    "emoji 🎧.m4a",
    "line\nbreak\ttab.mp3",
)


def _event(key: str, **more: Any) -> bytes:
    return json.dumps(webhook(BUCKET, key, time=NOW, **more), ensure_ascii=False).encode()


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_reaches_the_bulk_queue_whatever_its_name(bridge: Bridge, name: str) -> None:
    assert bridge.post(_event(f"uploads/acme/{JOB}/{name}")) == 204

    (body,) = bodies(bridge.bulk)
    assert parse_event(body, bucket=BUCKET) == [JobRef("acme", JOB)]
    assert bodies(bridge.notify) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_drop_keeps_its_key_to_the_letter(bridge: Bridge, name: str) -> None:
    key = f"inbox/acme/any folder/{name}"

    assert bridge.post(_event(key, event="ObjectCreated:CompleteMultipartUpload")) == 204

    (body,) = bodies(bridge.bulk)
    assert parse_event(body, bucket=BUCKET) == [Drop("acme", key)]


@pytest.mark.parametrize("file", ["minio_webhook.json", "minio_webhook_drop.json"])
def test_recorded_webhooks_are_read(bridge: Bridge, project_root: Path, file: str) -> None:
    recorded = (project_root / "tests" / "events" / file).read_bytes()

    assert bridge.post(recorded) == 204

    (body,) = bodies(bridge.bulk)
    assert parse_event(body, bucket=BUCKET) == parse_event(recorded.decode(), bucket=BUCKET)


@pytest.mark.parametrize("escaped", ["%2F", "/"])
def test_slashes_may_be_escaped_or_not(bridge: Bridge, escaped: str) -> None:
    event = _event(f"uploads/acme/{JOB}/a.mp3").replace(b"%2F", escaped.encode())

    assert bridge.post(event) == 204
    assert len(bridge.bulk) == 1


def test_the_end_of_a_job_wakes_the_notifier(bridge: Bridge) -> None:
    assert bridge.post(_event(f"jobs/acme/{JOB}/outcome.json")) == 204

    (body,) = bodies(bridge.notify)
    assert parse_notice(body, bucket=BUCKET) == [JobRef("acme", JOB)]
    assert bodies(bridge.bulk) == []


@pytest.mark.parametrize(
    "key",
    [
        f"media/acme/{JOB}/direct.wav",  # its job is sent by the API
        f"jobs/acme/{JOB}/lease.json",
        f"results/acme/{JOB}/transcript.json",
        f"pending/acme/{JOB}",
        "somebody/elses.txt",
        f"uploads/acme/{JOB}/",
        "uploads/acme/no-job/a.mp3",
        f"uploads/acme/{JOB}/{'long' * 300}.mp3",  # S3 has no such key
    ],
)
def test_other_keys_wake_nobody(bridge: Bridge, key: str) -> None:
    assert bridge.post(_event(key)) == 204
    assert len(bridge.bulk) == len(bridge.notify) == 0
    assert bridge.counted("ignored") == 1


def test_other_buckets_and_other_events_wake_nobody(bridge: Bridge) -> None:
    key = f"uploads/acme/{JOB}/a.mp3"
    elsewhere = json.dumps(webhook("elsewhere", key, time=NOW)).encode()

    assert bridge.post(elsewhere) == 204
    assert bridge.post(_event(key, event="ObjectRemoved:Delete")) == 204
    assert bridge.post(b'{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"media"}') == 204
    assert len(bridge.bulk) == 0
    assert bridge.counted("ignored") == 3


def test_each_of_several_records_becomes_a_message(bridge: Bridge) -> None:
    keys = [f"uploads/acme/{JOB}/a.mp3", f"jobs/acme/{JOB}/outcome.json", "inbox/acme/b.mp3"]
    records = [webhook(BUCKET, key, time=NOW)["Records"][0] for key in keys]

    assert bridge.post(json.dumps({"Records": records}).encode()) == 204

    assert [parse_event(body, bucket=BUCKET) for body in bodies(bridge.bulk)] == [
        [JobRef("acme", JOB)],
        [Drop("acme", "inbox/acme/b.mp3")],
    ]
    assert len(bodies(bridge.notify)) == 1


def test_duplicates_go_on_because_a_worker_knows_them(bridge: Bridge) -> None:
    event = _event(f"uploads/acme/{JOB}/a.mp3")

    assert [bridge.post(event), bridge.post(event)] == [204, 204]
    assert len(bridge.bulk) == 2


_BAD_RECORDS: tuple[Any, ...] = (
    None,
    1,
    "s3",
    [],
    {},
    {"s3": None},
    {"s3": {}},
    {"s3": {"bucket": {}}, "eventName": "ObjectCreated:Put"},
    {"s3": {"bucket": {"name": "media"}, "object": {}}, "eventName": "ObjectCreated:Put"},
    {"s3": {"bucket": {"name": "media"}, "object": {"key": 17}}, "eventName": "ObjectCreated:Put"},
)
GARBAGE = [
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"17",
    b'"text"',
    b"{}",
    b'{"Records": {}}',
    b'{"EventName": "s3:ObjectCreated:Put", "Key": "media/uploads/x"}',
    b"[" * 50_000,
    b'{"Records": ' + b"[" * 50_000,
    *(json.dumps({"Records": [record]}).encode() for record in _BAD_RECORDS),
]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:40]))
def test_garbage_is_thrown_away_and_blocks_nothing_behind_it(bridge: Bridge, body: bytes) -> None:
    assert 200 <= bridge.post(body) < 300
    assert bridge.counted("queued") == 0

    assert bridge.post(_event(f"uploads/acme/{JOB}/a.mp3")) == 204
    assert len(bridge.bulk) == 1


def test_a_bad_record_spoils_no_other(bridge: Bridge) -> None:
    good = webhook(BUCKET, f"uploads/acme/{JOB}/a.mp3", time=NOW)["Records"][0]

    assert (
        bridge.post(
            json.dumps(
                {"Records": [{"eventName": "ObjectCreated:Put", "s3": 1}, good, None]}
            ).encode()
        )
        == 204
    )

    assert len(bridge.bulk) == 1
    assert bridge.counted("garbage") == 2


def test_what_is_too_large_is_read_to_its_end_and_thrown_away(bridge: Bridge) -> None:
    event = _event(f"uploads/acme/{JOB}/a.mp3", metadata={"big": "x" * 70_000})

    assert bridge.post(event) == 204
    assert len(bridge.bulk) == 0
    assert bridge.counted("garbage") == 1


def test_a_message_is_small_whatever_the_record_carries(bridge: Bridge) -> None:
    event = _event(f"uploads/acme/{JOB}/a.mp3", metadata={"note": "x" * 30_000})

    assert bridge.post(event) == 204

    (body,) = bodies(bridge.bulk)
    assert len(body) < 1000
    assert body.isascii()


def test_the_log_names_the_request_that_the_upload_belongs_to(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="bridge"):
        bridge.post(_event(f"uploads/acme/{JOB}/a.mp3", metadata={"correlation-id": "req-1"}))

    (line,) = [record for record in caplog.records if record.message == "event_queued"]
    assert vars(line)["correlation_id"] == "req-1"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer wrong", 403),
        ("a-token-of-the-tests", 403),
        ("Bearer a-token-of-the-tests ", 403),
        ("Bearer ä-token", 403),
    ],
)
def test_who_lacks_the_token_is_refused(bridge: Bridge, header: str | None, status: int) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    event = _event(f"uploads/acme/{JOB}/a.mp3")

    answer = bridge.http.post("/events", content=event, headers=headers)

    assert answer.status_code == status
    assert len(bridge.bulk) == 0


def test_while_sqs_is_away_the_store_is_told_to_come_again(bridge: Bridge) -> None:
    bridge.bulk.refuses_after = 0
    event = _event(f"uploads/acme/{JOB}/a.mp3")

    refused = bridge.http.post("/events", content=event, headers=bridge.headers)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "3"
    assert refused.json()["code"] == "store_error"
    assert bridge.post(b"garbage") == 204  # which needs no queue

    bridge.bulk.refuses_after = None
    assert bridge.post(event) == 204
    assert len(bridge.bulk) == 1
    assert (bridge.counted("refused"), bridge.counted("queued")) == (1, 1)


def test_of_several_records_those_before_a_failure_come_twice_and_none_is_lost(
    bridge: Bridge,
) -> None:
    records = [webhook(BUCKET, f"inbox/acme/{n}.mp3", time=NOW)["Records"][0] for n in range(3)]
    event = json.dumps({"Records": records}).encode()
    bridge.bulk.refuses_after = 1

    assert bridge.post(event) == 503
    bridge.bulk.refuses_after = None
    assert bridge.post(event) == 204

    found = [work for body in bodies(bridge.bulk) for work in parse_event(body, bucket=BUCKET)]
    names = [f"inbox/acme/{n}.mp3" for n in (0, 0, 1, 2)]
    assert found == [Drop("acme", name) for name in names]


def test_the_store_asks_whether_anybody_is_there_before_it_sends(bridge: Bridge) -> None:
    assert bridge.http.head("/events").status_code == 204
    assert bridge.http.get("/health").json() == {"status": "ok"}
