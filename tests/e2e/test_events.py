"""Events that come twice, late, never, or from elsewhere: one transcription each, nothing lost."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.processes import running
from tests.recordings import bundled
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]


def _message(project_root: Path, name: str, key: str, bucket: str) -> str:
    """A recorded S3 event about another object."""
    event = json.loads((project_root / "tests" / "events" / f"{name}.json").read_text())
    for record in event["Records"]:
        record["s3"]["bucket"]["name"] = bucket
        record["s3"]["object"]["key"] = key
    return json.dumps(event)


def _transcribed_once(stack: RunningStack, job_id: str) -> None:
    # The outcome is there before what follows from it, and the log's line comes last of all.
    deadline = time.monotonic() + 10
    while not (ended := stack.events("worker", "job_ended", job_id)):
        assert time.monotonic() < deadline, "the worker has not said that it ended the job"
        time.sleep(0.05)
    assert len(ended) == len(stack.events("worker", "job_started", job_id)) == 1
    assert len([key for key in stack.keys("usage/") if job_id in key]) == 1
    assert stack.keys(f"pending/default/{job_id}") == []


def test_duplicate_and_late_events_are_acknowledged(
    client: Client, stack: RunningStack, project_root: Path
) -> None:
    media = bundled().media
    created = client.create(media)
    job_id = created["job_id"]
    key = f"uploads/default/{job_id}/{media.name}"
    event = _message(project_root, "s3_sqs_aws", key, stack.bucket)

    stack.queue("bulk").send(event)  # before the object is there
    client.put(created, media)
    for _ in range(5):
        stack.queue("bulk").send(event)
        stack.queue("interactive").send(direct_message(JobRef("default", job_id)))
    job = client.ended(job_id)
    stack.queue("bulk").send(event)  # after the end
    _drained(stack)

    assert job["status"] == "succeeded"
    _transcribed_once(stack, job_id)


def test_test_events_and_foreign_events_are_acknowledged_and_do_nothing(
    client: Client, stack: RunningStack, project_root: Path
) -> None:
    before = len(stack.keys("jobs/"))
    for name in ("s3_test_event", "s3_foreign_bucket", "s3_other_prefix", "s3_object_removed"):
        stack.queue("bulk").send((project_root / "tests" / "events" / f"{name}.json").read_text())

    _drained(stack)

    assert len(stack.keys("jobs/")) == before


def test_a_message_that_nobody_understands_ends_in_the_dead_letters(stack: RunningStack) -> None:
    stack.queue("bulk").send('{"what": "is this"}')

    _drained(stack)

    url = stack.stack.storage.bulk_queue_url + "-dlq" if stack.stack.storage else ""
    [dead] = stack.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    assert dead["Body"] == '{"what": "is this"}'
    stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=dead["ReceiptHandle"])


def test_two_workers_race_for_one_job_and_one_of_them_transcribes(
    client: Client, stack: RunningStack, tmp_path: Path, project_root: Path
) -> None:
    media = bundled().media
    log = tmp_path / "second.log"
    environment = stack.stack.environment | {"SCRATCH_DIR": str(tmp_path / "scratch")}
    python = stack.stack.child("worker").command[0]
    with running(
        [python, "-m", "whisperdrop_worker", "serve"], environ=environment, cwd=tmp_path, log=log
    ) as second:
        deadline = time.monotonic() + 60
        while "worker_ready" not in log.read_text():
            assert second.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        job_ids = []
        for _ in range(6):
            created = client.create(media)
            job_ids.append(created["job_id"])
            client.put(created, media)
            for _ in range(4):
                stack.queue("interactive").send(
                    direct_message(JobRef("default", created["job_id"]))
                )
        ended = [client.ended(job_id) for job_id in job_ids]
        _drained(stack)

    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    by_second = [line["job_id"] for line in lines if line["message"] == "job_started"]
    by_first = [
        line["job_id"]
        for line in stack.log("worker")
        if line["message"] == "job_started" and line["job_id"] in job_ids
    ]
    assert [job["status"] for job in ended] == ["succeeded"] * len(job_ids)
    assert sorted(by_first + by_second) == sorted(job_ids), "each job exactly once"
    assert all(len([k for k in stack.keys("usage/") if job in k]) == 1 for job in job_ids)


def test_an_upload_whose_notification_was_lost_is_found_by_the_sweep(
    client: Client, stack: RunningStack
) -> None:
    media = bundled().media
    settings = stack.s3.get_bucket_notification_configuration(Bucket=stack.bucket)
    settings.pop("ResponseMetadata", None)  # type: ignore[misc]
    stack.s3.put_bucket_notification_configuration(
        Bucket=stack.bucket, NotificationConfiguration={}
    )
    try:
        job_id = client.submit(media)
    finally:
        stack.s3.put_bucket_notification_configuration(
            Bucket=stack.bucket,
            NotificationConfiguration=settings,  # type: ignore[arg-type]
        )
    assert client.job(job_id, wait=1)["status"] == "queued"

    _sweep(stack)

    assert client.ended(job_id)["status"] == "succeeded"
    assert same_words(client.text(job_id), bundled().text)
    _transcribed_once(stack, job_id)


def _sweep(stack: RunningStack) -> None:
    """One pass, as if the job had waited long enough."""
    from whisperdrop_dispatcher.composition import build
    from whisperdrop_dispatcher.settings import SweepSettings

    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.stack.environment.items():
            patch.setenv(name, value)
        build(SweepSettings()).run(queues_lost=True)


def _drained(stack: RunningStack, timeout_s: float = 60) -> None:
    """Both queues empty, nothing in flight."""
    assert stack.stack.storage is not None
    urls = (stack.stack.storage.bulk_queue_url, stack.stack.storage.interactive_queue_url)
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    deadline = time.monotonic() + timeout_s
    while True:
        counts = [
            int(value)
            for url in urls
            for value in stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[  # type: ignore[arg-type]
                "Attributes"
            ].values()
        ]
        if not any(counts):
            return
        assert time.monotonic() < deadline, f"messages are left: {counts}"
        time.sleep(0.1)
