"""The handlers as Lambda runs them: real runtime client, recorded events, real storage and queues.

Only the poller between SQS and the worker's function is missing here; the tests do its part.
"""

import copy
import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from mypy_boto3_s3 import S3Client
from mypy_boto3_sqs import SQSClient
from standardwebhooks import Webhook

from tests.builders import an_outcome
from tests.clock import ManualClock
from tests.emulator import CREDENTIALS, Emulator
from tests.lambda_emulator import (
    LambdaFunction,
    find_lambda_emulator,
    http_event,
    lambda_function,
    sqs_event,
    sqs_record,
)
from tests.lanes import lane
from tests.receivers import LOOPBACK, make_authority, receiver
from tests.recordings import bundled
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.webhook import SigningSecret, SigningSecrets
from whisperdrop.domain.webhook_signature import new_secret
from whisperdrop.service.clock import utc_now
from whisperdrop.service.documents import dump
from whisperdrop.service.leases import acquire
from whisperdrop_api.app import create_app
from whisperdrop_local.deploy import PATH_STYLE, Storage, deploy
from whisperdrop_local.sample import same_words

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

API = "whisperdrop_api.handler.handler"
WORKER = "whisperdrop_worker.lambda_handler.handler"
SWEEP = "whisperdrop_dispatcher.handler.handler"
NOTIFIER = "whisperdrop_notifier.handler.handler"
BUCKET = "whisperdrop-under-lambda"


@dataclass(frozen=True)
class Backend:
    """The storage template, deployed; what a function and a test need to use it."""

    emulator: Emulator
    storage: Storage
    s3: S3Client
    sqs: SQSClient

    @property
    def environ(self) -> dict[str, str]:
        """As the template sets it for every function."""
        return (
            self.emulator.environ
            | self.storage.environment
            | {"S3_ADDRESSING_STYLE": "path", "AWS_EC2_METADATA_DISABLED": "true"}
        )

    @property
    def store(self) -> S3ObjectStore:
        return S3ObjectStore(self.s3, self.storage.bucket)

    def document(self, key: str) -> dict[str, Any]:
        found = self.store.get(key)
        assert found is not None, f"there is no {key}"
        document: dict[str, Any] = json.loads(found.body)
        return document

    def take(self, text: str, queue_url: str) -> str:
        """Take the message with ``text`` in it from a queue; others are nobody's by now, and go."""
        for _ in range(20):
            answer = self.sqs.receive_message(
                QueueUrl=queue_url, WaitTimeSeconds=3, MaxNumberOfMessages=1
            )
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                if text in message["Body"]:
                    return message["Body"]
        raise AssertionError(f"{queue_url} has no message with {text}")


@pytest.fixture(scope="module")
def program(project_root: Path) -> Path:
    found = find_lambda_emulator(project_root)
    lane("rie", found, "there is none in .venv-sam, and AWS_LAMBDA_RIE names none")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def backend(program: Path, emulator: Emulator) -> Backend:
    session = boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    endpoint = emulator.endpoint
    s3: S3Client = session.client("s3", endpoint_url=endpoint, config=PATH_STYLE)
    cloudformation: CloudFormationClient = session.client("cloudformation", endpoint_url=endpoint)
    storage = deploy(cloudformation, s3, visibility_s=120, bucket=BUCKET)
    return Backend(emulator, storage, s3, session.client("sqs", endpoint_url=endpoint))


@pytest.fixture(scope="module")
def start(
    program: Path, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Starts a handler with the variables that all functions share, and others."""

    def start(handler: str, **environ: str) -> Any:
        directory = tmp_path_factory.mktemp(handler.split(".", 1)[0])
        return lambda_function(
            program, handler, environ=backend.environ | environ, directory=directory
        )

    return start


@pytest.fixture(scope="module")
def api(start: Callable[..., Any]) -> Iterator[LambdaFunction]:
    with start(API, API_KEY="change-me", SYNC_WAIT_SECONDS="100") as function:
        yield function
        print(f"\nAPI: {function.timing()}")


@pytest.fixture(scope="module")
def worker(
    start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LambdaFunction]:
    directory = tmp_path_factory.mktemp("worker-tmp")
    environ = {"MODEL_DIR": str(directory / "models"), "SCRATCH_DIR": str(directory / "scratch")}
    with start(WORKER, **environ, MODEL_CALLS="1", CPU_THREADS="1") as function:
        yield function
        print(f"\nworker: {function.timing()}")


@pytest.fixture(scope="module")
def recorded(project_root: Path) -> dict[str, Any]:
    """What API Gateway sends for `POST /v1/jobs`."""
    path = project_root / "tests" / "events" / "gateway" / "api_gateway_v2_create_job.json"
    event: dict[str, Any] = json.loads(path.read_text())
    return event


@pytest.fixture
def upload(api: LambdaFunction, recorded: dict[str, Any]) -> Callable[[], str]:
    """Creates a job through the API's function and uploads the sample; the job's id."""

    def upload() -> str:
        answer = api.invoke(_creation_of_a_job(recorded))
        assert answer["statusCode"] == 201, answer
        created = json.loads(answer["body"])
        assert _put(created).ok
        return str(created["job_id"])

    return upload


def _creation_of_a_job(recorded: dict[str, Any]) -> dict[str, Any]:
    media = bundled().media
    event = copy.deepcopy(recorded)
    event["body"] = json.dumps({"filename": media.name, "size": media.stat().st_size})
    return event


def _put(created: dict[str, Any]) -> requests.Response:
    return requests.put(
        created["upload"]["url"],
        data=bundled().media.read_bytes(),
        headers=created["upload"]["headers"],
        timeout=30,
    )


def _transcribed(backend: Backend, job_id: str) -> None:
    transcript = backend.document(f"results/default/{job_id}/transcript.json")
    assert same_words("".join(s["text"] for s in transcript["segments"]), bundled().text)
    assert backend.document(f"jobs/default/{job_id}/outcome.json")["status"] == "succeeded"


def _the_line(lines: list[dict[str, Any]], **fields: object) -> dict[str, Any]:
    """The one line that has all of ``fields``."""
    found = [line for line in lines if fields.items() <= line.items()]
    assert len(found) == 1, f"{len(found)} of {len(lines)} lines have {fields}"
    return found[0]


def test_an_event_of_api_gateway_creates_a_job_whose_address_takes_the_upload(
    api: LambdaFunction, backend: Backend, recorded: dict[str, Any]
) -> None:
    correlation_id = f"walk-{secrets.token_hex(4)}"
    event = _creation_of_a_job(recorded)
    event["headers"]["x-request-id"] = correlation_id

    answer = api.invoke(event)

    assert answer["statusCode"] == 201, answer
    assert answer["headers"]["x-request-id"] == correlation_id
    created = json.loads(answer["body"])
    job_id = created["job_id"]
    assert answer["headers"]["location"] == f"/v1/jobs/{job_id}"
    request = backend.document(f"jobs/default/{job_id}/request.json")
    assert request["correlation_id"] == correlation_id
    assert _put(created).status_code == 200
    assert backend.store.head(f"uploads/default/{job_id}/{bundled().media.name}") is not None
    line = _the_line(api.lines(), message="request", correlation_id=correlation_id)
    assert (line["path"], line["status"]) == ("/v1/jobs", 201)
    assert line["function_request_id"], "the line was logged with the context of the function"


def test_a_request_without_an_id_is_followed_by_that_of_the_gateway(
    api: LambdaFunction, backend: Backend, recorded: dict[str, Any]
) -> None:
    gateways = f"{secrets.token_hex(7)}="
    event = _creation_of_a_job(recorded)
    del event["headers"]["x-request-id"]
    event["requestContext"]["requestId"] = gateways

    answer = api.invoke(event)

    job_id = json.loads(answer["body"])["job_id"]
    assert answer["headers"]["x-request-id"] == gateways
    assert backend.document(f"jobs/default/{job_id}/request.json")["correlation_id"] == gateways
    _the_line(api.lines(), message="request", correlation_id=gateways)


def test_every_request_is_counted_by_the_class_of_its_status(
    api: LambdaFunction, recorded: dict[str, Any]
) -> None:
    before = len(api.lines())

    api.invoke(_creation_of_a_job(recorded))

    [metrics] = [line for line in api.lines()[before:] if "Http2xx" in line]
    [declared] = metrics["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Whisperdrop"
    assert {"Name": "Http2xx", "Unit": "Count"} in declared["Metrics"]
    assert metrics["Http2xx"] == [1.0]


def test_a_wrong_key_is_403_under_lambda_too(api: LambdaFunction, recorded: dict[str, Any]) -> None:
    event = _creation_of_a_job(recorded)
    event["headers"]["authorization"] = "Bearer change-you"

    answer = api.invoke(event)

    assert answer["statusCode"] == 403
    assert json.loads(answer["body"])["code"] == "invalid_api_key"


def test_a_function_whose_validators_wait_answers_the_document_of_a_server(
    api: LambdaFunction, recorded: dict[str, Any]
) -> None:
    clock = ManualClock()
    server = create_app(services_over(MemoryObjectStore(clock), clock))

    answer = api.invoke(http_event(recorded, method="GET", path="/openapi.json", headers={}))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == json.loads(json.dumps(server.openapi()))


def test_a_file_in_base64_is_transcribed_while_its_request_waits(
    api: LambdaFunction, worker: LambdaFunction, backend: Backend, recorded: dict[str, Any]
) -> None:
    media = bundled().media
    form = requests.Request(
        "POST", "http://ignored", files={"file": (media.name, media.read_bytes(), "audio/wav")}
    ).prepare()
    assert isinstance(form.body, bytes)
    event = http_event(
        recorded,
        method="POST",
        path="/transcribe/tiny.en",
        headers={"content-type": str(form.headers["content-type"])},
        body=form.body,
    )

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.invoke, event)
        body = backend.take('"kind": "whisperdrop.job"', backend.storage.interactive_queue_url)
        done = worker.invoke(sqs_event(sqs_record("sync", body)))
        answer = waiting.result(timeout=120)

    assert done == {"batchItemFailures": []}
    assert answer["statusCode"] == 200, answer
    assert same_words(json.loads(answer["body"])["text"], bundled().text)


def test_one_poisoned_record_of_three_fails_alone(
    upload: Callable[[], str], worker: LambdaFunction, backend: Backend
) -> None:
    by_event, by_message = upload(), upload()
    s3_event = backend.take(by_event, backend.storage.bulk_queue_url)

    answer = worker.invoke(
        sqs_event(
            sqs_record("from-the-bucket", s3_event),
            sqs_record("poisoned", "\x00 { not an event"),
            sqs_record("from-ourselves", direct_message(JobRef("default", by_message))),
        )
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "poisoned"}]}
    _transcribed(backend, by_event)
    _transcribed(backend, by_message)
    lines = worker.lines()
    for job_id in (by_event, by_message):
        line = _the_line(lines, message="job_ended", job_id=job_id)
        assert line["status"] == "succeeded"
    [metrics] = [line for line in lines if line.get("JobsSucceeded") == [1.0, 1.0]]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Whisperdrop"


def test_a_batch_of_nothing_but_poison_fails_record_by_record(worker: LambdaFunction) -> None:
    answer = worker.invoke(sqs_event(sqs_record("one", "?"), sqs_record("two", "[]")))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "one"}, {"itemIdentifier": "two"}]}


def test_the_event_that_s3_sends_when_it_is_set_up_is_a_success(
    worker: LambdaFunction, project_root: Path
) -> None:
    body = (project_root / "tests" / "events" / "s3_test_event.json").read_text()

    assert worker.invoke(sqs_event(sqs_record("test", body))) == {"batchItemFailures": []}


def test_a_job_that_another_worker_holds_is_left_to_it_and_looked_at_again(
    upload: Callable[[], str], worker: LambdaFunction, backend: Backend
) -> None:
    ref = JobRef("default", upload())
    acquire(backend.store, ref, owner="another", ttl_s=600, clock=utc_now)
    message = direct_message(ref)

    first = worker.invoke(sqs_event(sqs_record("m", message, receives=1)))
    second = worker.invoke(sqs_event(sqs_record("m", message, receives=2)))

    assert first == {"batchItemFailures": []}, "a duplicate: its owner has a message of its own"
    assert second == {"batchItemFailures": [{"itemIdentifier": "m"}]}, "its owner may be dead"
    assert backend.store.head(f"jobs/default/{ref.job_id}/outcome.json") is None
    assert backend.document(f"jobs/default/{ref.job_id}/lease.json")["owner"] == "another"


def test_the_scheduled_sweep_queues_an_upload_whose_event_was_lost(
    upload: Callable[[], str],
    start: Callable[..., Any],
    worker: LambdaFunction,
    backend: Backend,
) -> None:
    job_id = upload()
    backend.take(job_id, backend.storage.bulk_queue_url)  # and it is lost

    with start(SWEEP, REQUEUE_AFTER_SECONDS="0.001") as sweep:
        counts = sweep.invoke({"source": "aws.events", "detail-type": "Scheduled Event"})
        print(f"\nsweep: {sweep.timing()}")
    message = backend.take(job_id, backend.storage.bulk_queue_url)

    assert counts["Requeued"] >= 1
    line = _the_line(sweep.lines(), message="sweep")
    assert job_id in line["requeued"]
    assert worker.invoke(sqs_event(sqs_record("again", message))) == {"batchItemFailures": []}
    _transcribed(backend, job_id)


def test_the_end_of_a_job_becomes_a_signed_webhook(
    start: Callable[..., Any], backend: Backend, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    ref = JobRef("told", new_job_id(utc_now()))
    secret = new_secret()
    signing = SigningSecret(secret=secret, created_at=utc_now())
    document = SigningSecrets(secrets=(signing,), rev="r1")
    backend.store.create(keys.webhook_secrets(ref.tenant), dump(document))
    environ = {
        "WEBHOOK_CA_FILE": str(authority.ca_file),
        "WEBHOOK_ALLOWED_NETWORKS": f"{LOOPBACK}/32",
        "WEBHOOK_PORTS": "any",
    }
    with receiver(authority) as server, start(NOTIFIER, **environ) as notifier:
        outcome = an_outcome(ref, webhook_url=server.url(), finished_at=utc_now())
        backend.store.create(keys.outcome(ref), dump(outcome))
        event = backend.take(ref.job_id, backend.storage.notify_queue_url)
        answer = notifier.invoke(
            sqs_event(sqs_record("from-the-bucket", event), sqs_record("poisoned", "?"))
        )
        print(f"\nnotifier: {notifier.timing()}")
        [request] = server.requests

    assert answer == {"batchItemFailures": [{"itemIdentifier": "poisoned"}]}
    Webhook(secret).verify(request.body, request.headers)
    assert json.loads(request.body)["data"]["job_id"] == ref.job_id
    assert backend.document(keys.notification(ref))["state"] == "delivered"
    delivered = [line.get("WebhooksDelivered") for line in notifier.lines()]
    assert [count for count in delivered if count] == [[1.0]]


def test_one_process_serves_every_event(api: LambdaFunction, recorded: dict[str, Any]) -> None:
    for _ in range(5):
        assert api.invoke(_creation_of_a_job(recorded))["statusCode"] == 201

    assert len([line for line in api.lines() if "ColdStart" in line]) == 1
