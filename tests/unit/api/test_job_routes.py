"""The jobs API over a bucket in memory."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.builders import a_lease, a_request, a_transcript, an_outcome, keys_in, stored_job
from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, Progress
from whisperdrop.ports import PresignedUpload
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import dump
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.jobs import JobService
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services
from whisperdrop_api.routes import jobs
from whisperdrop_api.settings import ApiSettings


class NoPresigner:
    """Signs nothing: these tests upload nothing."""

    def presign_put(
        self,
        key: str,
        *,
        size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        return PresignedUpload("PUT", key, {}, {})

    def presign_post(
        self,
        key: str,
        *,
        max_size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        return PresignedUpload("POST", key, {}, {})

    def presign_part(
        self, key: str, *, upload_id: str, number: int, size: int, expires_s: int
    ) -> PresignedUpload:
        return PresignedUpload("PUT", f"{key}?part={number}", {}, {})

    def presign_get(self, key: str, *, name: str, expires_s: int) -> str:
        return f"https://media.test/{key}"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def api_keys(store: MemoryObjectStore, clock: ManualClock) -> ApiKeys:
    return ApiKeys(store, environment_key=None, clock=clock)


@pytest.fixture
def client(store: MemoryObjectStore, api_keys: ApiKeys, clock: ManualClock) -> Iterator[TestClient]:
    """With a key of the tenant whose jobs the builders make."""
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
    )
    with TestClient(create_app(services), headers=bearer(api_keys, "acme")) as client:
        yield client


def bearer(api_keys: ApiKeys, tenant: str, **fields: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_keys.issue(tenant, 'test', **fields)}"}


@pytest.fixture
def job(store: MemoryObjectStore) -> JobRequest:
    return stored_job(store, a_request(), media=b"audio")


def hold(store: MemoryObjectStore, job: JobRequest, clock: ManualClock, **progress: Any) -> None:
    lease = a_lease(clock() + timedelta(seconds=60), progress=Progress(**progress))
    store.create(keys.lease(job.ref), dump(lease))


def test_a_running_job_shows_how_far_it_is_and_how_long_it_will_take(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    hold(store, job, clock, stage="transcribing", done_s=30, total_s=120, eta_s=4.5)
    body = client.get(f"/v1/jobs/{job.job_id}").json()
    assert body["status"] == "running"
    assert body["progress"] == {
        "stage": "transcribing",
        "percent": 25.0,
        "done_s": 30,
        "total_s": 120,
        "eta_s": 4.5,
    }
    assert "cancel_requested" not in body


def test_what_is_not_known_yet_is_not_shown(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    hold(store, job, clock)
    body = client.get(f"/v1/jobs/{job.job_id}").json()
    assert body["progress"] == {"stage": "loading", "done_s": 0}


def test_a_job_that_waits_is_cancelled_at_once(client: TestClient, job: JobRequest) -> None:
    answer = client.post(f"/v1/jobs/{job.job_id}/cancel")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "cancelled"
    assert body["error"] == {"code": "cancelled", "message": "the job was cancelled"}
    assert "usage" not in body
    assert body == client.get(f"/v1/jobs/{job.job_id}").json()
    assert body == client.post(f"/v1/jobs/{job.job_id}/cancel").json()


def test_a_running_job_says_that_its_end_was_asked_for(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    hold(store, job, clock, stage="transcribing", done_s=30, total_s=120)
    body = client.post(f"/v1/jobs/{job.job_id}/cancel").json()
    assert (body["status"], body["cancel_requested"]) == ("running", True)
    assert body["progress"]["percent"] == 25.0


def test_a_job_that_has_ended_stays_as_it_is(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    settle(store, an_outcome(job.ref), a_transcript(job.ref))
    answer = client.post(f"/v1/jobs/{job.job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


def test_the_text_of_a_cancelled_job_is_gone(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    cancel(store, job.ref, clock)
    answer = client.get(f"/results/{job.job_id}")
    assert answer.status_code == 410
    assert answer.json() == {"detail": "the job was cancelled", "code": "cancelled"}
    assert client.get(f"/v1/jobs/{job.job_id}/transcript").status_code == 409


def test_only_its_tenant_may_cancel_a_job_and_only_with_a_key_that_may_write(
    client: TestClient, store: MemoryObjectStore, api_keys: ApiKeys, job: JobRequest
) -> None:
    path = f"/v1/jobs/{job.job_id}/cancel"
    nobody = client.post(path, headers={"Authorization": ""})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "missing_api_key")
    wrong = client.post(path, headers={"Authorization": "Bearer no"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "invalid_api_key")
    reader = client.post(path, headers=bearer(api_keys, "acme", scopes=("read",)))
    assert (reader.status_code, reader.json()["code"]) == (403, "forbidden")
    stranger = client.post(path, headers=bearer(api_keys, "umbrella"))
    assert (stranger.status_code, stranger.json()["code"]) == (404, "job_not_found")
    assert keys_in(store, keys.cancel(job.ref)) == []


@pytest.mark.parametrize("job_id", ["nope", "0" * 25])
def test_a_job_that_is_not_there_cannot_be_cancelled(job_id: str, client: TestClient) -> None:
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_the_route_is_described_like_its_siblings() -> None:
    app = FastAPI()
    app.include_router(jobs.router)
    paths = app.openapi()["paths"]
    ours = paths["/v1/jobs/{job_id}/cancel"]["post"]
    sibling = paths["/v1/jobs/{job_id}"]["get"]
    assert ours["responses"] == sibling["responses"]
    assert ours["security"] == sibling["security"]
    assert ours["tags"] == ["jobs"]
    assert ours["description"]
