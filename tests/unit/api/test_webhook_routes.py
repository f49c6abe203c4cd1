"""The webhook routes over a bucket in memory."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.builders import a_request, a_transcript, an_outcome, stored_job
from tests.clock import ManualClock
from tests.outbounds import FakeOutbound
from tests.unit.api.test_job_routes import NoPresigner, bearer
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus
from whisperdrop.domain.webhook import Delivery, event_of
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.documents import dump
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.jobs import JobService
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services
from whisperdrop_api.settings import ApiSettings

URL = "https://example.com/hook"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def api_keys(store: MemoryObjectStore, clock: ManualClock) -> ApiKeys:
    return ApiKeys(store, environment_key=None, clock=clock)


@pytest.fixture
def outbound() -> FakeOutbound:
    return FakeOutbound()


@pytest.fixture
def queue(clock: ManualClock) -> MemoryJobQueue:
    return MemoryJobQueue(clock)


@pytest.fixture
def client(
    store: MemoryObjectStore,
    api_keys: ApiKeys,
    clock: ManualClock,
    outbound: FakeOutbound,
    queue: MemoryJobQueue,
) -> Iterator[TestClient]:
    settings = ApiSettings.model_validate(
        {"bucket": "media", "interactive_queue_url": "none", "bulk_queue_url": "none"}
    )
    services = Services(
        settings=settings,
        catalog=settings.catalog,
        store=store,
        jobs=JobService(
            store, NoPresigner(), MemoryJobQueue(clock), clock=clock, upload_expires_s=900
        ),
        api_keys=api_keys,
        fleet=Fleet(store, clock=clock),
        outbound=outbound,
        notify_queue=queue,
        clock=clock,
    )
    with TestClient(create_app(services), headers=bearer(api_keys, "acme")) as client:
        yield client


@pytest.fixture
def job(store: MemoryObjectStore) -> JobRequest:
    return stored_job(store, a_request(webhook_url=URL), media=b"audio")


def end(store: MemoryObjectStore, job: JobRequest, **fields: Any) -> None:
    settle(store, an_outcome(job.ref, **fields), a_transcript(job.ref))


def test_a_webhook_is_set_shown_rotated_and_deleted(client: TestClient) -> None:
    assert client.get("/v1/webhook").status_code == 404
    put = client.put("/v1/webhook", json={"url": URL})
    assert put.status_code == 200
    assert put.json()["url"] == URL
    assert client.get("/v1/webhook").json() == put.json()
    rotated = client.post("/v1/webhook/rotate").json()
    assert rotated["secret"] != put.json()["secret"]
    assert client.delete("/v1/webhook").status_code == 204
    assert client.get("/v1/webhook").json() == {"url": None, "secret": rotated["secret"]}


def test_a_key_that_may_only_read_sees_no_secret(client: TestClient, api_keys: ApiKeys) -> None:
    client.put("/v1/webhook", json={"url": URL})
    reader = bearer(api_keys, "acme", scopes=("read",))
    for method, path in (
        ("GET", "/v1/webhook"),
        ("PUT", "/v1/webhook"),
        ("DELETE", "/v1/webhook"),
        ("POST", "/v1/webhook/rotate"),
        ("POST", "/v1/webhook/test"),
    ):
        body = {"url": URL} if method == "PUT" else None
        answer = client.request(method, path, headers=reader, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://example.com/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://inside.example.com/"},
        {"url": ""},
        {"url": 1},
        {"url": URL, "secret": "short"},
        {"uri": URL},
        [],
    ],
)
def test_what_cannot_be_a_webhook_is_refused(
    body: Any, client: TestClient, outbound: FakeOutbound
) -> None:
    outbound.names = {"inside.example.com": ("10.0.0.1",), "127.0.0.1": ("127.0.0.1",)}
    answer = client.put("/v1/webhook", json=body)
    assert answer.status_code == 422, answer.text
    assert "10.0.0.1" not in answer.text
    assert client.get("/v1/webhook").status_code == 404


def test_a_job_with_a_bad_webhook_is_not_made(client: TestClient, outbound: FakeOutbound) -> None:
    outbound.names = {"inside.example.com": ("10.0.0.1",)}
    body = {"filename": "a.mp3", "size": 5, "webhook_url": "https://inside.example.com/"}
    answer = client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_refused")
    good = client.post("/v1/jobs", json=body | {"webhook_url": URL})
    assert good.status_code == 201
    assert client.get("/v1/webhook").json()["url"] is None, "and there is a secret to verify with"


def test_a_test_says_what_became_of_it(client: TestClient, outbound: FakeOutbound) -> None:
    assert client.post("/v1/webhook/test").status_code == 404
    client.put("/v1/webhook", json={"url": URL})
    tried = client.post("/v1/webhook/test")
    assert tried.status_code == 200
    assert tried.json() == {"url": URL, "delivered": True, "status": 200, "error": None, "ms": 0}
    other = client.post("/v1/webhook/test", json={"url": "https://other.example.com/"}).json()
    assert other["url"] == "https://other.example.com/"
    assert [posted.endpoint.host for posted in outbound.posted] == [
        "example.com",
        "other.example.com",
    ]


def test_what_is_told_is_what_the_jobs_api_shows(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
        other = stored_job(store, a_request(metadata={"case": "42"}), media=b"audio")
        ended = an_outcome(other.ref, status, name=other.name, metadata=other.metadata)
        store.create(keys.outcome(other.ref), dump(ended))
        shown = client.get(f"/v1/jobs/{other.job_id}").json()
        event = json.loads(json.dumps(event_of(ended)))
        assert event["type"] == f"job.{status}"
        assert event["data"] == shown


def test_the_log_has_every_attempt(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    path = f"/v1/jobs/{job.job_id}/deliveries"
    assert client.get(path).json() == {"data": [], "state": None, "next_at": None}
    for n, status in enumerate((500, 200), start=1):
        delivery = Delivery(
            id=f"job_{job.job_id}",
            attempt=n,
            at=clock() + timedelta(seconds=n),
            url=URL,
            status=status,
            error=None if status == 200 else "the target answered 500",
            ms=12,
            delivered=status == 200,
        )
        store.create(keys.delivery(job.ref, n), dump(delivery))
    first, second = client.get(path).json()["data"]
    assert (first["attempt"], first["status"], first["delivered"]) == (1, 500, False)
    assert (second["attempt"], second["error"], second["delivered"]) == (2, None, True)


def test_a_job_is_told_of_again_once_it_has_ended(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, queue: MemoryJobQueue
) -> None:
    path = f"/v1/jobs/{job.job_id}/redeliver"
    early = client.post(path)
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    end(store, job, webhook_url=URL)
    answer = client.post(path)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "job_id": job.job_id,
        "deliveries": f"/v1/jobs/{job.job_id}/deliveries",
    }
    assert len(queue) == 1
    assert client.get(answer.json()["deliveries"]).json()["state"] == "waiting"


def test_nobody_is_told_again_who_did_not_want_to_know(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    end(store, job)
    answer = client.post(f"/v1/jobs/{job.job_id}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("job_id", ["nope", "0" * 25])
def test_another_tenants_job_is_not_there(
    job_id: str, client: TestClient, job: JobRequest, api_keys: ApiKeys
) -> None:
    stranger = bearer(api_keys, "umbrella")
    for job_of_whom, headers in ((job_id, {}), (job.job_id, stranger)):
        log = client.get(f"/v1/jobs/{job_of_whom}/deliveries", headers=headers)
        again = client.post(f"/v1/jobs/{job_of_whom}/redeliver", headers=headers)
        for answer in (log, again):
            assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
