"""The dispatcher function over moto's S3, SQS and ECS: every kind of event, and what it starts."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws

from tests.builders import BUCKET, TENANT, a_request
from tests.emulator import CREDENTIALS
from whisperdrop.adapters.aws import s3_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import WorkerReport
from whisperdrop.service.documents import dump
from whisperdrop.service.requests import mark_pending, write_request
from whisperdrop.service.warmth import keep_warm
from whisperdrop_dispatcher import fleet_handler

CLUSTER = "whisperdrop-test"
CONTEXT = SimpleNamespace(
    function_name="dispatcher",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:dispatcher",
    aws_request_id="r1",
)
SCHEDULE = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}}
STOPPED = {
    "source": "aws.ecs",
    "detail-type": "ECS Task State Change",
    "detail": {"clusterArn": CLUSTER, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"},
}


def created(key: str, size: int = 1) -> dict[str, Any]:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": size}},
    }


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session()


@dataclass
class Aws:
    """As much of an account as the dispatcher has to do with."""

    store: S3ObjectStore
    queues: dict[str, str]
    sqs: Any
    ecs: Any

    def wake(self, event: dict[str, Any] = SCHEDULE) -> dict[str, int]:
        return fleet_handler.handler(event, cast("Any", CONTEXT))

    def running(self) -> list[str]:
        arns: list[str] = self.ecs.list_tasks(cluster=CLUSTER, desiredStatus="RUNNING")["taskArns"]
        return arns

    def stop_all(self) -> None:
        for task in self.running():
            self.ecs.stop_task(cluster=CLUSTER, task=task)

    def a_job(self, *, load: Load | None = None) -> JobRef:
        ref = JobRef(TENANT, new_job_id(datetime.now(UTC)))
        write_request(self.store, a_request(ref))
        mark_pending(self.store, ref, load=load)
        return ref


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", _session())
        client = s3_client(addressing_style="path")
        client.create_bucket(Bucket=BUCKET)
        sqs, ecs = boto3.client("sqs"), boto3.client("ecs")
        dead = sqs.create_queue(QueueName="bulk-dead")["QueueUrl"]
        policy = {
            "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:bulk-dead",
            "maxReceiveCount": 5,
        }
        queues = {
            "interactive": sqs.create_queue(QueueName="interactive")["QueueUrl"],
            "bulk": sqs.create_queue(
                QueueName="bulk", Attributes={"RedrivePolicy": json.dumps(policy)}
            )["QueueUrl"],
            "dead": dead,
        }
        ecs.create_cluster(clusterName=CLUSTER)
        ecs.register_task_definition(
            family="worker",
            containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}],
        )
        for name, value in {
            "BUCKET": BUCKET,
            "INTERACTIVE_QUEUE_URL": queues["interactive"],
            "BULK_QUEUE_URL": queues["bulk"],
            "S3_ADDRESSING_STYLE": "path",
            "FLEET_CLUSTER": CLUSTER,
            "FLEET_TASK_DEFINITION": "worker",
            "FLEET_CAPACITY_PROVIDERS": "FARGATE_SPOT,FARGATE",
            "FLEET_MAX_WORKERS": "6",
            "FLEET_WORKER_SPEED": "20",
            "FLEET_TARGET_SECONDS": "600",
            "FLEET_START_SECONDS": "180",
        }.items():
            monkeypatch.setenv(name, value)
        fleet_handler._dispatcher.cache_clear()
        yield Aws(S3ObjectStore(client, BUCKET), queues, sqs, ecs)
        fleet_handler._dispatcher.cache_clear()


def test_a_quiet_bucket_starts_nobody(aws: Aws) -> None:
    assert aws.wake() == {"wanted": 0, "running": 0, "starting": 0, "started": 0, "skipped": 0}
    assert aws.running() == []


def test_an_upload_starts_a_worker_and_its_duplicates_start_none(aws: Aws) -> None:
    ref = aws.a_job()
    assert aws.wake()["started"] == 0  # nothing was uploaded yet
    event = created(keys.upload(ref, "talk.mp3"), 5_000_000)
    answers = [aws.wake(event) for _ in range(4)]
    assert [answer["started"] for answer in answers] == [1, 0, 0, 0]
    assert len(aws.running()) == 1


def test_an_upload_whose_event_was_lost_is_found_by_the_schedule(aws: Aws) -> None:
    ref = aws.a_job()
    aws.store.put(keys.upload(ref, "talk.mp3"), b"x" * 1000)
    assert aws.wake(SCHEDULE)["started"] == 1


def test_a_drop_starts_a_worker_before_it_is_a_job(aws: Aws) -> None:
    assert aws.wake(created(f"inbox/{TENANT}/a dir/talk.mp3", 10))["started"] == 1


def test_a_message_in_a_queue_starts_a_worker(aws: Aws) -> None:
    aws.sqs.send_message(QueueUrl=aws.queues["interactive"], MessageBody="{}")
    assert aws.wake()["started"] == 1


def test_hours_of_audio_start_as_many_as_the_limit_lets(aws: Aws) -> None:
    for _ in range(40):
        aws.a_job(load=Load(7200))
    assert aws.wake()["started"] == 6
    assert len(aws.running()) == 6


def test_the_end_of_a_task_starts_the_next_one_while_something_waits(aws: Aws) -> None:
    ref = aws.a_job(load=Load(60))
    assert aws.wake()["started"] == 1
    aws.stop_all()
    assert aws.wake(STOPPED)["started"] == 1
    aws.store.delete(keys.pending(ref))
    aws.stop_all()
    assert aws.wake(STOPPED)["wanted"] == 0
    assert aws.running() == []


def test_a_worker_that_drains_is_not_counted(aws: Aws) -> None:
    aws.a_job(load=Load(60))
    aws.wake()
    [task] = aws.running()
    aws.ecs.describe_tasks(cluster=CLUSTER, tasks=[task])
    report = WorkerReport(
        worker_id="w", models=(), jobs=0, seen_at=datetime.now(UTC), draining=True, task=task
    )
    aws.store.put(keys.worker("w"), dump(report))
    assert aws.wake()["started"] == 1


def test_a_wish_for_warmth_starts_a_worker(aws: Aws) -> None:
    keep_warm(aws.store, 600, lambda: datetime.now(UTC))
    assert aws.wake(created(keys.FLEET_WARM))["started"] == 1


def test_what_the_dispatcher_writes_itself_leads_to_nothing(aws: Aws) -> None:
    aws.a_job(load=Load(60))
    assert aws.wake(created(keys.FLEET_STATE)) == {}
    assert aws.running() == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail": None},
        {"detail": {"object": "what"}},
        {"detail": {"object": {"key": 7, "size": "many"}}},
        created("results/acme/x/transcript.json"),
        created("uploads/acme/no-job/x.mp3"),
    ],
)
def test_an_event_of_any_form_is_a_wake_up(event: dict[str, Any], aws: Aws) -> None:
    aws.a_job(load=Load(60))
    assert aws.wake(event)["started"] == 1


def test_a_look_is_one_line_in_the_log_and_a_set_of_metrics(
    aws: Aws, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    aws.sqs.send_message(QueueUrl=aws.queues["dead"], MessageBody="{}")
    aws.a_job(load=Load(36_000))
    aws.wake()
    [told] = [line for line in caplog.records if line.getMessage() == "fleet"]
    assert vars(told)["started"] == vars(told)["wanted"] == 1
    assert "in 1 jobs" in vars(told)["reason"]
    metrics: dict[str, Any] = {}
    for line in capsys.readouterr().out.splitlines():
        if "_aws" in line:
            metrics |= json.loads(line)
    assert metrics["BacklogAudioSeconds"] == [pytest.approx(36_000, rel=0.02)]
    assert metrics["WorkersWanted"] == [1]


def test_without_a_cluster_nothing_is_done(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FLEET_CLUSTER")
    fleet_handler._dispatcher.cache_clear()
    assert aws.wake() == {}
    assert [line.getMessage() for line in caplog.records] == ["no_fleet"]


def test_a_cluster_without_providers_is_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_CAPACITY_PROVIDERS", "")
    fleet_handler._dispatcher.cache_clear()
    with pytest.raises(ValueError, match="FLEET_CAPACITY_PROVIDERS"):
        aws.wake()
