"""What stands in for Lambda's poller under `sam local`: events, and what is made of answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from whisperdrop.domain import keys
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.notices import parse_notice
from whisperdrop_local.deploy import BUCKET
from whisperdrop_local.sam_events import of_job, s3_event
from whisperdrop_local.sam_queues import all_done
from whisperdrop_local.sam_storage import SamLocalError, SamStorage

_EVENTS = Path(__file__).resolve().parents[2] / "events" / "sam"


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        ({"batchItemFailures": []}, True),
        ({"batchItemFailures": [{"itemIdentifier": "1"}]}, False),
        # A function that failed as a whole, or that reports nothing.
        ({"errorMessage": "boom", "errorType": "RuntimeError"}, False),
        (None, False),
    ],
)
def test_a_message_is_done_when_the_function_says_so(answer: Any, done: bool) -> None:
    assert all_done(answer) is done


@pytest.mark.parametrize("name", ["talk.mp3", "имя файла ünï+dev.flac", "a b%20c.wav"])
def test_an_upload_of_any_name_is_found_in_the_event_made_of_it(name: str) -> None:
    event = s3_event(BUCKET, f"inbox/default/{name}")

    assert parse_event(json.dumps(event), bucket=BUCKET) == [
        Drop("default", f"inbox/default/{name}")
    ]


def test_the_event_files_are_read_as_what_their_names_say() -> None:
    drop = json.loads((_EVENTS / "worker_drop.json").read_text())["Records"][0]["body"]
    end = json.loads((_EVENTS / "notifier_outcome.json").read_text())["Records"][0]["body"]

    assert parse_event(drop, bucket=BUCKET) == [
        Drop("default", "inbox/default/quick_brown_fox.wav")
    ]
    assert [ref.tenant for ref in parse_notice(end, bucket=BUCKET)] == ["default"]


@mock_aws
def test_the_event_of_a_job_names_its_upload_or_its_end() -> None:
    credentials = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    storage = SamStorage({"BUCKET": BUCKET}, credentials)
    ref = JobRef("default", "0u2v7hq1z4k9d3m8x2p7c5w1q")
    storage.s3().create_bucket(Bucket=BUCKET)
    with pytest.raises(SamLocalError, match="nothing has been uploaded"):
        of_job(storage, "WorkerFunction", ref.job_id)
    storage.s3().put_object(Bucket=BUCKET, Key=keys.upload(ref, "a talk.mp3"), Body=b"...")

    [upload] = of_job(storage, "WorkerFunction", ref.job_id)["Records"]
    [end] = of_job(storage, "NotifierFunction", ref.job_id)["Records"]

    assert parse_event(upload["body"], bucket=BUCKET) == [ref]
    assert parse_notice(end["body"], bucket=BUCKET) == [ref]
    with pytest.raises(SamLocalError, match="no id of a job"):
        of_job(storage, "WorkerFunction", "../../keys")
