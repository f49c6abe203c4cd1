"""The operator's verbs over moto's S3 and SQS: what they print, and how they fail."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest
from moto import mock_aws

from tests.builders import BUCKET, a_ref, a_request, an_outcome, stored_job
from tests.emulator import CREDENTIALS
from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.job import Outcome
from whisperdrop.domain.keys import outcome as outcome_key
from whisperdrop.domain.notices import notice
from whisperdrop.service.documents import read
from whisperdrop.service.settlement import settle
from whisperdrop_dispatcher import admin_output
from whisperdrop_dispatcher.__main__ import main


@dataclass
class Site:
    """The bucket, and the queues with their dead letters."""

    store: S3ObjectStore
    queues: dict[str, SqsJobQueue]
    capture: pytest.CaptureFixture[str]

    def operate(self, *arguments: str, fails: int = 0) -> str:
        """What a verb says, on standard output or, where it fails, on both."""
        assert main(list(arguments)) == fails
        said = self.capture.readouterr()
        return said.out + (said.err if fails else "")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(admin_output, "log_to_stderr", lambda _: None)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        sqs = sqs_client()
        queues: dict[str, SqsJobQueue] = {}
        for name in ("interactive", "bulk", "notify"):
            dead = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
            arn = f"arn:aws:sqs:us-east-1:123456789012:{name}-dlq"
            policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
            url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
            monkeypatch.setenv(f"{name.upper()}_QUEUE_URL", url)
            queues |= {name: SqsJobQueue(sqs, url), f"{name}-dlq": SqsJobQueue(sqs, dead)}
        monkeypatch.setenv("BUCKET", BUCKET)
        yield Site(S3ObjectStore(s3_client(), BUCKET), queues, capsys)


def test_queues_are_counted_with_their_dead_letters(site: Site) -> None:
    site.queues["bulk"].send("{}")
    site.queues["bulk-dlq"].send("{}")

    assert "bulk         1        0          1" in site.operate("queues")
    found = json.loads(site.operate("queues", "--json"))
    assert found["bulk"] == {"waiting": 1, "in_flight": 0, "dead": 1}
    assert set(found) == {"interactive", "bulk", "notify"}


def test_dead_letters_make_the_check_fail(site: Site) -> None:
    assert "BAD" not in site.operate("check")
    site.queues["notify-dlq"].send("{}")

    said = site.operate("check", fails=1)

    assert "BAD notify queue: 1 dead letters; see `dead notify`" in said
    assert "ok  clock" in said


def test_what_the_environment_lacks_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_QUEUE_URL")
    assert "NOTIFY_QUEUE_URL" in site.operate("dead", "notify", fails=1)
    monkeypatch.delenv("BUCKET")
    assert "BUCKET" in site.operate("queues", fails=2)


def test_a_queue_without_dead_letters_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sqs_client().create_queue(QueueName="plain")["QueueUrl"]
    monkeypatch.setenv("BULK_QUEUE_URL", url)

    assert "plain has no dead-letter queue" in site.operate("dead", "bulk", fails=1)


def test_notices_go_back_although_their_jobs_have_ended(site: Site) -> None:
    request = stored_job(site.store, a_request(), media=b"audio")
    settle(site.store, an_outcome(request.ref))
    site.queues["notify-dlq"].send(notice(request.ref))
    site.queues["bulk-dlq"].send(direct_message(request.ref))

    assert request.job_id in site.operate("dead", "notify")
    assert "1 sent back, 0 deleted" in site.operate("redrive", "notify")
    assert "0 sent back, 1 deleted" in site.operate("redrive", "bulk")
    assert site.queues["notify"].receive(wait_s=0, visibility_s=30) is not None


def test_a_job_is_shown_queued_again_cancelled_and_deleted(site: Site) -> None:
    request = stored_job(site.store, a_request(), media=b"audio")
    name = f"{request.tenant}/{request.job_id}"

    said = site.operate("job", name)
    assert f"{name}: queued" in said
    assert "it waits for a worker" in said
    assert "queued again" in site.operate("requeue", name)
    assert site.queues["bulk"].receive(wait_s=0, visibility_s=30) is not None
    assert "it is cancelled" in site.operate("cancel", name)
    assert json.loads(site.operate("job", name, "--json"))["status"] == "cancelled"
    assert "has ended (cancelled)" in site.operate("requeue", name, fails=1)
    assert "deleted" in site.operate("delete", name)
    outcome = read(site.store, Outcome, outcome_key(request.ref))
    assert outcome is not None
    assert outcome.deleted_at is not None
    assert site.store.head(request.media_key) is None


def test_a_job_that_is_none_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    ref = a_ref()
    assert "there is no job" in site.operate("job", f"{ref.tenant}/{ref.job_id}", fails=1)
    with pytest.raises(SystemExit) as refused:
        main(["job", "not-a-job"])
    assert refused.value.code == 2
    assert "a job is TENANT/ID" in capsys.readouterr().err


def test_a_tenant_is_erased_when_that_is_meant(site: Site) -> None:
    request = stored_job(site.store, a_request(), media=b"audio")
    settle(site.store, an_outcome(request.ref))

    assert "say --yes" in site.operate("erase", request.tenant, fails=1)
    assert site.store.head(request.media_key) is not None
    assert "1 jobs" in site.operate("erase", request.tenant, "--yes")
    assert site.store.head(request.media_key) is None


def test_jobs_out_of_sight_are_marked(site: Site) -> None:
    request = stored_job(site.store, a_request(), media=b"audio")
    site.store.delete(f"pending/{request.tenant}/{request.job_id}")

    assert "1 jobs looked at, 1 marked as pending" in site.operate("mend")
    assert "1 jobs looked at, 0 marked as pending" in site.operate("mend")
