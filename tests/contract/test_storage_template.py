"""infra/storage.yaml through CloudFormation: what the service relies on is really there."""

import contextlib
import functools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import requests
from mypy_boto3_cloudformation import CloudFormationClient
from mypy_boto3_s3 import S3Client
from mypy_boto3_sqs import SQSClient

from tests.emulator import CREDENTIALS
from tests.processes import free_port, running, wait_until
from whisperdrop_local.deploy import PATH_STYLE, TEMPLATE, Storage, deploy

pytestmark = pytest.mark.emulator

BUCKET = "whisperdrop-template"
QUEUE_NAMES = (*("interactive", "interactive-dlq", "bulk", "bulk-dlq", "notify", "notify-dlq"),)
MAX_RECEIVES = 5
"""The template's default."""


@dataclass(frozen=True)
class Deployed:
    """An emulator that keeps its objects, with the template in it."""

    endpoint: str
    process: subprocess.Popen[bytes]

    @functools.cached_property
    def s3(self) -> S3Client:
        client: S3Client = self._session.client("s3", endpoint_url=self.endpoint, config=PATH_STYLE)
        return client

    @functools.cached_property
    def sqs(self) -> SQSClient:
        client: SQSClient = self._session.client("sqs", endpoint_url=self.endpoint)
        return client

    @functools.cached_property
    def cloudformation(self) -> CloudFormationClient:
        client: CloudFormationClient = self._session.client(
            "cloudformation", endpoint_url=self.endpoint
        )
        return client

    @functools.cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        )

    def deploy(self) -> Storage:
        return deploy(self.cloudformation, self.s3, visibility_s=120, bucket=BUCKET)

    def put(self, key: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"content")

    def arrived(self, queue_url: str, *, until: str) -> list[str]:
        """Keys that a queue's messages name, in order, up to and with ``until``."""
        found: list[str] = []
        for _ in range(20):
            answer = self.sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=2)
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                records = json.loads(message["Body"]).get("Records", [])
                found += [record["s3"]["object"]["key"] for record in records]
            if until in found:
                return found
        raise AssertionError(f"no message named {until}: {found}")

    def waiting(self, queue_url: str) -> int:
        """Messages in a queue, seen or not."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(map(int, attributes.values()))


@contextlib.contextmanager
def _emulator(program: Path, directory: Path) -> Iterator[Deployed]:
    """As the embedded stack starts it: objects survive in ``directory``, nothing else does."""
    port = free_port()
    log = directory / "emulator.log"
    environ = CREDENTIALS | {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(directory / "s3"),
        "STATE_DIR": str(directory / "state"),
        "PERSIST_STATE": "0",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    with running([str(program)], environ=environ, cwd=directory, log=log) as process:
        started = Deployed(f"http://127.0.0.1:{port}", process)
        wait_until(lambda: _healthy(started.endpoint), process, log=log)
        yield started


def _healthy(endpoint: str) -> bool:
    try:
        return requests.get(f"{endpoint}/_ministack/health", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def emulator_with_template(
    emulator_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployed, Storage]]:
    with _emulator(emulator_program, tmp_path_factory.mktemp("template")) as started:
        yield started, started.deploy()


@pytest.fixture
def deployed(emulator_with_template: tuple[Deployed, Storage]) -> Deployed:
    return emulator_with_template[0]


@pytest.fixture
def storage(emulator_with_template: tuple[Deployed, Storage]) -> Storage:
    return emulator_with_template[1]


def test_the_bucket_and_four_queues_are_there(deployed: Deployed, storage: Storage) -> None:
    urls = deployed.sqs.list_queues()["QueueUrls"]

    assert storage.bucket == BUCKET
    assert deployed.s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200
    names = sorted(url.rpartition("/")[2] for url in urls)
    assert names == sorted(f"whisperdrop-{name}" for name in QUEUE_NAMES)
    assert storage.interactive_queue_url.endswith("/whisperdrop-interactive")
    assert storage.bulk_queue_url.endswith("/whisperdrop-bulk")


def test_the_visibility_is_the_one_asked_for(deployed: Deployed, storage: Storage) -> None:
    for url in (storage.interactive_queue_url, storage.bulk_queue_url):
        found = deployed.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["VisibilityTimeout"]
        )
        assert found["Attributes"]["VisibilityTimeout"] == "120"


def test_uploads_and_drops_are_announced_to_the_bulk_queue_and_nothing_else_is(
    deployed: Deployed, storage: Storage
) -> None:
    own = ("jobs/t/j/request.json", "results/t/j/transcript.json", "outbox/t/a.json", "pending/t/j")
    deployed.put("uploads/t/j/a.mp3")
    for key in own:
        deployed.put(key)
    deployed.put("inbox/t/b.mp3")
    deployed.put("uploads/t/j/last.mp3")

    # What is put last arrives last, so that what is missing before it was never sent.
    keys = deployed.arrived(storage.bulk_queue_url, until="uploads/t/j/last.mp3")

    assert sorted(keys) == ["inbox/t/b.mp3", "uploads/t/j/a.mp3", "uploads/t/j/last.mp3"]
    assert deployed.waiting(storage.interactive_queue_url) == 0


def test_the_end_of_a_job_is_announced_to_the_notify_queue_and_nothing_else_is(
    deployed: Deployed, storage: Storage
) -> None:
    for name in ("request.json", "lease.json", "notification.json", "parts/00000.json"):
        deployed.put(f"jobs/t/j/{name}")
    deployed.put("results/t/j/outcome.json")
    deployed.put("jobs/t/j/outcome.json")

    keys = deployed.arrived(storage.notify_queue_url, until="jobs/t/j/outcome.json")

    assert keys == ["jobs/t/j/outcome.json"]
    assert deployed.waiting(storage.bulk_queue_url) == 0


@pytest.mark.parametrize("name", ["interactive", "bulk", "notify"])
def test_a_message_that_nobody_can_use_ends_in_the_dead_letters(
    deployed: Deployed, storage: Storage, name: str
) -> None:
    queue_url = getattr(storage, f"{name}_queue_url")
    body = f"poison for {name}"
    deployed.sqs.send_message(QueueUrl=queue_url, MessageBody=body)

    received = 0
    while deployed.sqs.receive_message(QueueUrl=queue_url, VisibilityTimeout=0).get("Messages"):
        received += 1
        assert received <= MAX_RECEIVES

    dead = deployed.sqs.receive_message(QueueUrl=f"{queue_url}-dlq", WaitTimeSeconds=5)
    assert received == MAX_RECEIVES
    assert [message["Body"] for message in dead["Messages"]] == [body]
    assert deployed.waiting(queue_url) == 0


def test_a_fleets_bulk_queue_differs_and_its_bucket_tells_eventbridge(deployed: Deployed) -> None:
    given = {
        "BucketName": "whisperdrop-fleet",
        "QueuePrefix": "fleet",
        "RequireTls": "false",
        "VisibilityTimeoutSeconds": "5400",
        "BulkVisibilityTimeoutSeconds": "120",
        "SendToEventBridge": "true",
    }
    deployed.cloudformation.create_stack(
        StackName="fleet-storage",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )
    deployed.cloudformation.get_waiter("stack_create_complete").wait(
        StackName="fleet-storage", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )

    hidden = {}
    for name in ("interactive", "bulk"):
        url = deployed.sqs.get_queue_url(QueueName=f"fleet-{name}")["QueueUrl"]
        found = deployed.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["VisibilityTimeout"]
        )
        hidden[name] = found["Attributes"]["VisibilityTimeout"]
    assert hidden == {"interactive": "5400", "bulk": "120"}
    told, not_told = (
        deployed.s3.get_bucket_notification_configuration(Bucket=bucket)
        for bucket in ("whisperdrop-fleet", BUCKET)
    )
    assert "EventBridgeConfiguration" in told
    assert "EventBridgeConfiguration" not in not_told


def test_a_page_of_any_origin_may_use_a_presigned_address(deployed: Deployed) -> None:
    address = deployed.s3.generate_presigned_url(
        "put_object", Params={"Bucket": BUCKET, "Key": "uploads/t/j/a.mp3"}
    )

    answer = requests.options(
        address,
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,if-none-match",
        },
        timeout=10,
    )

    assert answer.ok, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "https://app.example.com"}
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    [rule] = deployed.s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD", "PUT", "POST"}
    assert rule["AllowedHeaders"] == ["*"]
    assert rule["ExposeHeaders"] == ["ETag"]


def test_the_public_is_kept_out(deployed: Deployed) -> None:
    blocked = deployed.s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]

    assert blocked == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }


def test_deploying_again_changes_nothing_and_loses_nothing(
    deployed: Deployed, storage: Storage
) -> None:
    deployed.put("jobs/t/j/kept.json")
    deployed.sqs.send_message(QueueUrl=storage.interactive_queue_url, MessageBody="kept")

    again = deployed.deploy()
    deployed.put("uploads/t/j/after.mp3")

    assert again == storage
    kept = deployed.s3.get_object(Bucket=BUCKET, Key="jobs/t/j/kept.json")["Body"].read()
    assert kept == b"content"
    message = deployed.sqs.receive_message(QueueUrl=storage.interactive_queue_url)["Messages"][0]
    assert message["Body"] == "kept"
    deployed.sqs.delete_message(
        QueueUrl=storage.interactive_queue_url, ReceiptHandle=message["ReceiptHandle"]
    )
    keys = deployed.arrived(storage.bulk_queue_url, until="uploads/t/j/after.mp3")
    assert keys == ["uploads/t/j/after.mp3"], "one event, not one for each deployment"


def test_after_a_crash_the_objects_are_kept_and_their_events_come_again(
    emulator_program: Path, tmp_path: Path
) -> None:
    with _emulator(emulator_program, tmp_path) as before:
        first = before.deploy()
        before.put("uploads/t/j/kept.mp3")
        before.arrived(first.bulk_queue_url, until="uploads/t/j/kept.mp3")
        os.killpg(before.process.pid, signal.SIGKILL)
        before.process.wait(10)

    with _emulator(emulator_program, tmp_path) as after:
        kept = after.s3.get_object(Bucket=BUCKET, Key="uploads/t/j/kept.mp3")["Body"].read()
        second = after.deploy()
        after.put("uploads/t/j/new.mp3")
        after.put("inbox/t/new.mp3")

        keys = after.arrived(second.bulk_queue_url, until="inbox/t/new.mp3")
        listed = [o["Key"] for o in after.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]

    assert kept == b"content"
    assert keys == ["uploads/t/j/new.mp3", "inbox/t/new.mp3"]
    assert sorted(listed) == ["inbox/t/new.mp3", "uploads/t/j/kept.mp3", "uploads/t/j/new.mp3"]
