import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from mypy_boto3_s3 import S3Client
from mypy_boto3_s3.type_defs import CORSRuleTypeDef
from mypy_boto3_sqs import SQSClient

from tests.cloudformation import Deployment
from tests.emulator import CREDENTIALS
from tests.templates import STORAGE, load
from whisperdrop_local import keeper as keeping
from whisperdrop_local.bucket import ensure_events
from whisperdrop_local.keeper import Keeper, keep
from whisperdrop_local.settings import KeeperSettings

BUCKET = "media"
EVENTS = "arn:aws:sqs:us-east-1:123456789012:events"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def s3() -> S3Client:
    return boto3.client("s3")


@pytest.fixture
def sqs() -> SQSClient:
    client = boto3.client("sqs")
    client.create_queue(QueueName="events")
    return client


@pytest.fixture
def settings(tmp_path: Path) -> KeeperSettings:
    where = "http://sqs:4566/000000000000"
    return KeeperSettings(
        bucket=BUCKET,
        interactive_queue_url=f"{where}/wd-interactive",
        bulk_queue_url=f"{where}/wd-bulk",
        notify_queue_url=f"{where}/wd-notify",
        store_events_arn=EVENTS,
        keep_interval_seconds=0.01,
        kept_file=tmp_path / "kept",
    )


@pytest.fixture
def keeper(s3: S3Client, sqs: SQSClient, settings: KeeperSettings) -> Keeper:
    return Keeper(s3, sqs, settings)


def _queues(sqs: SQSClient) -> set[str]:
    return {url.rpartition("/")[2] for url in sqs.list_queues().get("QueueUrls", [])} - {"events"}


ALL = {f"wd-{name}{dlq}" for name in ("interactive", "bulk", "notify") for dlq in ("", "-dlq")}


def test_the_first_look_makes_everything_and_the_second_finds_it(
    keeper: Keeper, s3: S3Client, sqs: SQSClient
) -> None:
    assert keeper.look() is True
    assert keeper.look() is False

    assert _queues(sqs) == ALL
    told = s3.get_bucket_notification_configuration(Bucket=BUCKET)["QueueConfigurations"]
    assert {one["QueueArn"] for one in told} == {EVENTS}
    rules = [one["Filter"]["Key"]["FilterRules"] for one in told]
    assert [[rule["Value"] for rule in of_one] for of_one in rules] == [
        ["uploads/"],
        ["inbox/"],
        ["jobs/", "/outcome.json"],
    ]
    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"][0]["ExposeHeaders"] == ["ETag"]


@pytest.mark.parametrize("name", ["wd-interactive", "wd-bulk", "wd-notify"])
def test_a_queue_that_is_gone_is_made_again_and_counts_as_lost(
    keeper: Keeper, sqs: SQSClient, name: str
) -> None:
    keeper.look()
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])

    assert keeper.look() is True
    assert _queues(sqs) == ALL
    assert keeper.look() is False


def test_notifications_that_are_gone_are_set_again_and_count_as_lost(
    keeper: Keeper, s3: S3Client
) -> None:
    keeper.look()
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})

    assert keeper.look() is True
    assert len(s3.get_bucket_notification_configuration(Bucket=BUCKET)["QueueConfigurations"]) == 3


def test_a_store_may_put_its_region_into_the_arn(s3: S3Client) -> None:
    s3.create_bucket(Bucket=BUCKET)
    with Stubber(s3) as minio:
        told = {"QueueArn": "arn:minio:sqs:eu-1:X:webhook", "Events": ["s3:ObjectCreated:*"]}
        minio.add_response(
            "get_bucket_notification_configuration", {"QueueConfigurations": [told] * 3}
        )
        assert ensure_events(s3, BUCKET, "arn:minio:sqs::X:webhook") is False


def test_a_bucket_that_is_there_keeps_its_rules(
    s3: S3Client, sqs: SQSClient, settings: KeeperSettings
) -> None:
    s3.create_bucket(Bucket=BUCKET)
    mine: CORSRuleTypeDef = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.com"]}
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [mine]})
    told_nobody = settings.model_copy(update={"store_events_arn": None})

    assert Keeper(s3, sqs, told_nobody).look() is True  # the queues

    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == [mine]
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=BUCKET)


def test_old_media_is_deleted_where_that_is_wished(
    s3: S3Client, sqs: SQSClient, settings: KeeperSettings
) -> None:
    Keeper(s3, sqs, settings.model_copy(update={"media_retention_days": 7})).look()

    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["uploads/", "media/"]
    assert {rule["Expiration"]["Days"] for rule in rules} == {7}


def test_queues_are_made_while_the_store_is_away_and_the_loss_is_told_when_it_is_back(
    s3: S3Client, sqs: SQSClient, settings: KeeperSettings
) -> None:
    keeper = Keeper(s3, sqs, settings)
    with Stubber(s3) as away:
        away.add_client_error("head_bucket", http_status_code=503)
        assert keeper.look() is None
    assert _queues(sqs) == ALL

    assert keeper.look() is True


_SWEEP = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(60)"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_sweep_starts_with_everything_there_and_again_when_something_was_lost(
    keeper: Keeper,
    sqs: SQSClient,
    settings: KeeperSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = tmp_path / "starts"
    monkeypatch.setattr(keeping, "_SWEEP", [sys.executable, "-c", _SWEEP, str(starts)])
    stop = threading.Event()
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(keep(keeper, settings, stop)))
    thread.start()
    try:
        _until(lambda: starts.exists() and starts.read_text() == "x")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="wd-bulk")["QueueUrl"])
        _until(lambda: starts.read_text() == "xx")
        assert settings.kept_file.exists()
    finally:
        stop.set()
        thread.join(20)
    assert statuses == [0]


def test_a_sweep_that_ends_by_itself_ends_the_keeper(
    keeper: Keeper, settings: KeeperSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_SWEEP", [sys.executable, "-c", "raise SystemExit(3)"])

    assert keep(keeper, settings, threading.Event()) == 3


def _promised(name: str) -> dict[str, Any]:
    """Properties of a queue in the template, with the parameters' defaults."""
    deployment = Deployment(load(STORAGE), {"BucketName": BUCKET})
    properties = deployment.resources[name]["Properties"]
    redrive = properties.get("RedrivePolicy", {})
    return {
        key: deployment.value(value["Ref"]) if isinstance(value, dict) and "Ref" in value else value
        for key, value in (properties | redrive).items()
    }


@pytest.mark.parametrize("name", ["Interactive", "Bulk", "Notify"])
def test_the_queues_are_those_that_the_template_makes(
    keeper: Keeper, sqs: SQSClient, name: str
) -> None:
    keeper.look()

    def attributes(queue: str) -> dict[str, str]:
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {str(key): value for key, value in found.items()}

    queue, dead = attributes(f"wd-{name.lower()}"), attributes(f"wd-{name.lower()}-dlq")
    template, template_dead = _promised(f"{name}Queue"), _promised(f"{name}DeadLetterQueue")
    for key in ("VisibilityTimeout", "MessageRetentionPeriod"):
        assert int(queue[key]) == template[key], key
    redrive = json.loads(queue["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == template["maxReceiveCount"]
    assert int(dead["MessageRetentionPeriod"]) == template_dead["MessageRetentionPeriod"]
