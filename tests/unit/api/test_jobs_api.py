"""Creating, listing and deleting jobs, uploads in parts, and usage, over a bucket in memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.builders import a_lease, a_request, a_transcript, an_outcome, keys_in, stored_job
from tests.clock import ManualClock
from tests.outbounds import FakeOutbound
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.domain.upload import MAX_SINGLE_BYTES, MAX_UPLOAD_BYTES, MULTIPART_THRESHOLD_BYTES
from whisperdrop.service.documents import dump, read
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app

A_FILE = {"filename": "meeting.mp3", "size": 1000}
IN_PARTS = {"filename": "meeting.mp3", "size": 3, "upload": "multipart"}
JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "one"}
TENANT = "default"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """Making it takes a third of a second, so all tests share it; its services are their own."""
    clock = ManualClock()
    return create_app(services_over(MemoryObjectStore(clock), clock))


@pytest.fixture
def client(app: FastAPI, store: MemoryObjectStore, clock: ManualClock) -> Iterator[TestClient]:
    app.state.services = replace(services_over(store, clock), outbound=FakeOutbound())
    with TestClient(app, headers={"Authorization": "Bearer operator"}) as client:
        yield client


@pytest.fixture
def job(store: MemoryObjectStore) -> JobRequest:
    """One that waits for a worker."""
    return stored_job(store, a_request(JobRef(TENANT, "z" * 25)), media=b"audio")


def create(client: TestClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code in {200, 201}, answer.text
    created: dict[str, Any] = answer.json()
    return created


def request_of(store: MemoryObjectStore, job_id: str) -> JobRequest:
    request = read(store, JobRequest, keys.request(JobRef(TENANT, job_id)))
    assert request is not None
    return request


def test_a_new_job_is_201_with_its_address(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json=A_FILE)
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == body["links"]["self"] == f"/v1/jobs/{body['job_id']}"
    assert body["links"]["events"] == f"/v1/jobs/{body['job_id']}/events"
    assert (body["status"], body["deduplicated"]) == ("awaiting_upload", False)
    assert body["upload"]["method"] == "PUT"


def test_what_was_asked_for_stays_with_the_job_to_its_end(
    client: TestClient, store: MemoryObjectStore
) -> None:
    asked = {"metadata": {"case": "42"}, "webhook_url": "https://example.com/x?y=1"}
    created = create(client, A_FILE | asked | {"retention_days": 30})
    request = request_of(store, created["job_id"])
    waiting = client.get(created["links"]["self"]).json()
    settle(store, Outcome.of(request, JobStatus.SUCCEEDED, request.created_at))
    ended = client.get(created["links"]["self"]).json()
    for body in (waiting, ended):
        assert (body["name"], body["metadata"]) == ("meeting.mp3", {"case": "42"})
    outcome = read(store, Outcome, keys.outcome(request.ref))
    assert outcome is not None
    assert (outcome.webhook_url, outcome.retention_days) == (asked["webhook_url"], 30)


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({"size": MULTIPART_THRESHOLD_BYTES}, "PUT"),
        ({"size": MULTIPART_THRESHOLD_BYTES + 1}, "MULTIPART"),
        ({"size": MAX_SINGLE_BYTES, "upload": "put"}, "PUT"),
        ({"size": MAX_UPLOAD_BYTES}, "MULTIPART"),
        ({"size": 1, "upload": "multipart"}, "MULTIPART"),
        ({"upload": "post"}, "POST"),
    ],
)
def test_the_size_says_how_to_upload_unless_the_caller_does(
    body: dict[str, Any], method: str, client: TestClient
) -> None:
    created = create(client, {"filename": "a.mp3"} | body)
    assert created["upload"]["method"] == method


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"filename": ""}, 422, "invalid_value"),
        ({"filename": "notes.pdf"}, 400, "unsupported_media_type"),
        ({"filename": "\ud800.mp3"}, 422, "invalid_value"),
        ({"size": None}, 422, "invalid_value"),
        ({"size": 0}, 422, "invalid_value"),
        ({"size": -1}, 422, "invalid_value"),
        ({"size": 1.5}, 422, "invalid_value"),
        ({"size": 10**30}, 413, "too_large"),
        ({"size": MAX_UPLOAD_BYTES + 1}, 413, "too_large"),
        ({"size": MAX_SINGLE_BYTES + 1, "upload": "put"}, 413, "too_large"),
        ({"size": None, "upload": "multipart"}, 422, "invalid_value"),
        ({"upload": "carrier pigeon"}, 422, "invalid_value"),
        ({"model": "huge"}, 404, "model_not_found"),
        ({"language": "xx"}, 422, "invalid_value"),
        ({"unknown": 1}, 422, "invalid_value"),
        ({"content_sha256": "abc"}, 422, "invalid_value"),
        ({"content_sha256": "g" * 64}, 422, "invalid_value"),
        ({"content_sha256": "a" * 64 + "\n"}, 422, "invalid_value"),
        ({"webhook_url": "http://example.com/"}, 422, "webhook_refused"),
        ({"webhook_url": "https://"}, 422, "webhook_refused"),
        ({"webhook_url": "https://example.com/" + "a" * 2000}, 422, "invalid_value"),
        ({"retention_days": -1}, 422, "invalid_value"),
        ({"retention_days": 3651}, 422, "invalid_value"),
        ({"metadata": {"": "x"}}, 422, "invalid_value"),
        ({"metadata": {str(n): "" for n in range(17)}}, 422, "invalid_value"),
        ({"metadata": {"a": "\ud800"}}, 422, "invalid_value"),
        ({"metadata": {"a": 1}}, 422, "invalid_value"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason_and_leaves_nothing(
    change: dict[str, Any], status: int, code: str, client: TestClient, store: MemoryObjectStore
) -> None:
    # Not by the client's own means: it refuses to send half a surrogate pair.
    answer = client.post("/v1/jobs", content=json.dumps(A_FILE | change), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"]
    assert keys_in(store) == []


def test_a_key_is_answered_with_the_same_job_and_200(
    client: TestClient, store: MemoryObjectStore
) -> None:
    first = client.post("/v1/jobs", json=A_FILE, headers=KEY)
    again = client.post("/v1/jobs", json={"size": 1000, "filename": "meeting.mp3"}, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert len(keys_in(store, keys.PENDING)) == 1


def test_a_key_with_another_body_is_a_conflict(client: TestClient) -> None:
    create(client, A_FILE, **KEY)
    answer = client.post("/v1/jobs", json=A_FILE | {"size": 1001}, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize("key", [b"", b"a" * 256, b"tab\there", b"caf\xc3\xa9"])
def test_a_key_that_is_none_is_refused(key: bytes, client: TestClient) -> None:
    answer = client.post("/v1/jobs", json=A_FILE, headers={b"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_known_content_needs_no_upload(client: TestClient, store: MemoryObjectStore) -> None:
    body = A_FILE | {"content_sha256": "AB" * 32}
    first = create(client, body)
    store.put(request_of(store, first["job_id"]).media_key, b"audio")
    answer = client.post("/v1/jobs", json=body | {"content_sha256": "ab" * 32})
    again = answer.json()
    assert answer.status_code == 200
    assert (again["job_id"], again["status"]) == (first["job_id"], "queued")
    assert (again["deduplicated"], again["upload"]) == (True, None)


def test_of_a_batch_each_item_is_answered_in_its_place(
    client: TestClient, store: MemoryObjectStore
) -> None:
    items = [A_FILE, {"filename": "notes.pdf", "size": 1}, A_FILE, {}, 5, None, A_FILE]
    answer = client.post("/v1/jobs/batch", json={"jobs": items})
    body = answer.json()["jobs"]
    assert answer.status_code == 200
    assert [item["index"] for item in body] == list(range(7))
    made = [item["index"] for item in body if item["job"] is not None]
    assert made == [0, 2, 6]
    assert [item["error"] is None for item in body] == [item["job"] is not None for item in body]
    codes = [item["error"]["code"] for item in body if item["error"]]
    assert codes == ["unsupported_media_type"] + ["invalid_value"] * 3
    assert len(keys_in(store, keys.PENDING)) == 3


def test_a_hundred_files_are_one_batch_that_can_be_sent_again(
    client: TestClient, store: MemoryObjectStore
) -> None:
    items = [{"filename": f"{n}.mp3", "size": n + 1, "prompt": "p" * 4000} for n in range(100)]
    first, again = (
        client.post("/v1/jobs/batch", json={"jobs": items}, headers=KEY).json()["jobs"]
        for _ in range(2)
    )
    assert [item["job"]["job_id"] for item in first] == [item["job"]["job_id"] for item in again]
    assert len(keys_in(store, keys.PENDING)) == 100


@pytest.mark.parametrize("jobs", [[], [A_FILE] * 101, None, "x"])
def test_a_batch_has_one_to_a_hundred_items(jobs: Any, client: TestClient) -> None:
    answer = client.post("/v1/jobs/batch", json={"jobs": jobs})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_a_list_is_in_pages_of_the_same_bodies_as_the_jobs_themselves(client: TestClient) -> None:
    made = [create(client, A_FILE | {"filename": f"{n}.mp3"})["job_id"] for n in range(3)]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    second = client.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = first["data"] + second["data"]
    assert sorted(job["job_id"] for job in listed) == sorted(made)
    assert second["next_cursor"] is None
    assert listed == [client.get(f"/v1/jobs/{job['job_id']}").json() for job in listed]
    assert first.keys() == {"data", "next_cursor"}


def test_a_list_can_be_narrowed(client: TestClient) -> None:
    made = [create(client, A_FILE | {"filename": name})["job_id"] for name in ("A.mp3", "b.mp3")]
    client.post(f"/v1/jobs/{made[1]}/cancel")

    def found(**params: Any) -> list[str]:
        return [job["job_id"] for job in client.get("/v1/jobs", params=params).json()["data"]]

    assert found(q="a.MP") == [made[0]]
    assert found(status="cancelled") == [made[1]]
    assert sorted(found(status=["cancelled", "awaiting_upload"])) == sorted(made)
    assert found(status="running") == []


def test_only_the_tenants_own_jobs_are_listed(client: TestClient, store: MemoryObjectStore) -> None:
    stored_job(store, a_request())
    assert client.get("/v1/jobs").json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"cursor": "x"},
        {"status": "x"},
        {"q": "x" * 201},
    ],
)
def test_a_list_that_cannot_be_is_refused(params: dict[str, Any], client: TestClient) -> None:
    answer = client.get("/v1/jobs", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_a_deleted_job_is_204_and_404_ever_after(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    settle(store, an_outcome(job.ref), a_transcript(job.ref))
    answer = client.delete(f"/v1/jobs/{job.job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/transcript", "/media"):
        gone = client.get(f"/v1/jobs/{job.job_id}{path}")
        assert (gone.status_code, gone.json()["code"]) == (404, "job_not_found")
    assert client.get(f"/v1/jobs/{job.job_id}?wait=30").status_code == 404
    assert client.post(f"/v1/jobs/{job.job_id}/cancel").status_code == 404
    assert client.delete(f"/v1/jobs/{job.job_id}").status_code == 404
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_late_transcript_of_a_deleted_job_is_nobodys(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    client.delete(f"/v1/jobs/{job.job_id}")
    store.put(keys.transcript(job.ref), dump(a_transcript(job.ref)))
    assert client.get(f"/v1/jobs/{job.job_id}/transcript").status_code == 404


def test_a_running_job_is_cancelled_before_it_is_deleted(
    client: TestClient, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    store.create(keys.lease(job.ref), dump(a_lease(clock() + timedelta(seconds=60))))
    answer = client.delete(f"/v1/jobs/{job.job_id}")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("running", True)
    settle(store, an_outcome(job.ref, JobStatus.CANCELLED))
    assert client.delete(f"/v1/jobs/{job.job_id}").status_code == 204


def test_the_media_is_where_the_redirect_leads(client: TestClient, job: JobRequest) -> None:
    address = f"https://media.test/{job.media_key}"
    answer = client.get(f"/v1/jobs/{job.job_id}/media", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, address)
    assert answer.headers["Cache-Control"] == "no-store"
    told = client.get(f"/v1/jobs/{job.job_id}/media", params={"redirect": False})
    assert (told.status_code, told.json()["url"]) == (200, address)


def test_media_that_is_not_there_is_409_before_the_upload_and_410_after_it(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    waiting = create(client, A_FILE)["job_id"]
    early = client.get(f"/v1/jobs/{waiting}/media")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    settle(store, an_outcome(job.ref))
    store.delete(job.media_key)
    late = client.get(f"/v1/jobs/{job.job_id}/media")
    assert (late.status_code, late.json()["code"]) == (410, "media_missing")


def test_an_upload_in_parts_is_signed_resumed_and_completed(
    client: TestClient, store: MemoryObjectStore
) -> None:
    created = create(client, IN_PARTS)
    upload, job_id = created["upload"], created["job_id"]
    assert (upload["method"], upload["parts"], upload["part_size"]) == ("MULTIPART", 1, 64 * 2**20)
    assert upload["url"] == f"/v1/jobs/{job_id}/upload/parts"
    signed = client.post(upload["url"], json={"numbers": [1]}).json()
    assert [(part["number"], part["size"]) for part in signed["parts"]] == [(1, 3)]
    missing = client.post(f"/v1/jobs/{job_id}/upload/complete")
    assert (missing.status_code, missing.json()["code"]) == (409, "upload_incomplete")
    assert client.get(f"/v1/jobs/{job_id}").json()["status"] == "awaiting_upload"
    request = request_of(store, job_id)
    assert request.upload_id is not None
    store.put_part(request.media_key, request.upload_id, 1, b"abc")
    state = client.get(f"/v1/jobs/{job_id}/upload").json()
    assert state["method"] == "MULTIPART"
    assert [(part["number"], part["size"]) for part in state["uploaded"]] == [(1, 3)]
    for _ in range(2):
        done = client.post(f"/v1/jobs/{job_id}/upload/complete")
        assert (done.status_code, done.json()["status"]) == (200, "queued")
    over = client.post(upload["url"], json={"numbers": [1]})
    assert (over.status_code, over.json()["code"]) == (409, "conflict")


def test_an_upload_that_is_given_up_is_a_cancelled_job(
    client: TestClient, store: MemoryObjectStore
) -> None:
    for give_up in ("DELETE /upload", "POST /cancel"):
        method, path = give_up.split()
        job_id = create(client, IN_PARTS)["job_id"]
        answer = client.request(method, f"/v1/jobs/{job_id}{path}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert store.begun_uploads() == 0


@pytest.mark.parametrize("numbers", [[], [0], [2], [1] * 101, ["x"], None])
def test_parts_that_cannot_be_are_not_signed(numbers: Any, client: TestClient) -> None:
    upload = create(client, IN_PARTS)["upload"]
    answer = client.post(upload["url"], json={"numbers": numbers})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_a_job_that_is_uploaded_in_one_piece_has_no_parts(client: TestClient) -> None:
    job_id = create(client, A_FILE)["job_id"]
    answer = client.get(f"/v1/jobs/{job_id}/upload")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_usage_is_the_sum_of_a_month(client: TestClient, store: MemoryObjectStore) -> None:
    settle(store, an_outcome(JobRef(TENANT, "a" * 25)))
    used = client.get("/v1/usage", params={"month": "2026-03"})
    assert used.json() == {"month": "2026-03", "jobs": 1, "audio_s": 61.25}
    assert client.get("/v1/usage").json()["month"] != "2026-03"


@pytest.mark.parametrize(
    "month", ["2026", "2026-13", "2026-00", "26-01", "../../keys", "\uff12026-01"]
)
def test_a_month_is_a_year_and_a_month(month: str, client: TestClient) -> None:
    answer = client.get("/v1/usage", params={"month": month})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", ""),
        ("POST", "/upload/parts"),
        ("POST", "/upload/complete"),
        ("DELETE", "/upload"),
        ("GET", "/upload"),
        ("GET", "/media"),
    ],
)
def test_every_route_of_a_job_is_its_tenants_alone(
    method: str, path: str, client: TestClient, store: MemoryObjectStore
) -> None:
    foreign = stored_job(store, a_request(), media=b"audio")
    before = keys_in(store)
    body = {"numbers": [1]} if path == "/upload/parts" else None
    for job_id in (foreign.job_id, "nope", "0" * 25):
        answer = client.request(method, f"/v1/jobs/{job_id}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    nobody = client.request(
        method, f"/v1/jobs/{foreign.job_id}{path}", json=body, headers={"Authorization": ""}
    )
    assert nobody.status_code == 401
    assert keys_in(store) == before
