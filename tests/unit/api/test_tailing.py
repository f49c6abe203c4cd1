"""Following a job over a bucket in memory; the test is the worker."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.builders import (
    a_lease,
    a_ref,
    a_request,
    a_segment,
    a_transcript,
    an_outcome,
    stored_job,
    stored_part,
)
from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus, JobView, Lease, Progress
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import JobNotFoundError
from whisperdrop.service.documents import dump
from whisperdrop.service.settlement import settle
from whisperdrop_api import tailing
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services
from whisperdrop_api.tailing import tail, with_heartbeats


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def services(store: MemoryObjectStore, clock: ManualClock) -> Services:
    return services_over(store, clock, max_wait_seconds=0)


@pytest.fixture
def job(store: MemoryObjectStore) -> JobRequest:
    return stored_job(store, a_request(), media=b"audio")


def hold(store: MemoryObjectStore, job: JobRequest, clock: ManualClock, done_s: float) -> None:
    progress = Progress(stage="transcribing", done_s=done_s, total_s=60)
    lease: Lease = a_lease(clock() + timedelta(seconds=60), progress=progress)
    store.put(keys.lease(job.ref), dump(lease), "application/json")


def segment_of(item: JobView | Segment) -> tuple[int, str]:
    assert isinstance(item, Segment)
    return item.id, item.text


def view_of(item: JobView | Segment) -> JobView:
    assert isinstance(item, JobView)
    return item


def test_segments_come_as_they_are_finished_and_each_once(
    services: Services, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    async def follow() -> None:
        items = tail(services, job.ref)
        assert view_of(await anext(items)).status is JobStatus.QUEUED

        hold(store, job, clock, 10)
        assert view_of(await anext(items)).lease is not None
        stored_part(store, job.ref, 0, " One.", " Two.")
        assert [segment_of(await anext(items)) for _ in range(2)] == [(0, " One."), (1, " Two.")]

        stored_part(store, job.ref, 1, " Three.")
        assert segment_of(await anext(items)) == (2, " Three.")

        texts = [" One.", " Two.", " Three.", " Four."]
        settle(store, an_outcome(job.ref, parts=2), a_transcript(job.ref, *texts))
        assert segment_of(await anext(items)) == (3, " Four.")
        assert view_of(await anext(items)).status is JobStatus.SUCCEEDED
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    asyncio.run(follow())


def test_who_comes_back_gets_what_he_has_not_seen(
    services: Services, store: MemoryObjectStore, job: JobRequest
) -> None:
    async def follow() -> None:
        items = tail(services, job.ref, after=2)
        await anext(items)
        stored_part(store, job.ref, 0, " One.", " Two.", " Three.")
        assert segment_of(await anext(items)) == (2, " Three.")
        settle(
            store, an_outcome(job.ref), a_transcript(job.ref, " One.", " Two.", " Three.", " 4.")
        )
        assert segment_of(await anext(items))[0] == 3
        assert view_of(await anext(items)).status.final

    asyncio.run(follow())


def test_a_renewed_lease_is_no_news_and_progress_is(
    services: Services, store: MemoryObjectStore, job: JobRequest, clock: ManualClock
) -> None:
    async def follow() -> None:
        hold(store, job, clock, 10)
        items = tail(services, job.ref)
        await anext(items)
        hold(store, job, clock, 10)
        following = asyncio.ensure_future(anext(items))
        assert await asyncio.wait({following}, timeout=0.3) == (set(), {following})
        hold(store, job, clock, 20)
        lease = view_of(await following).lease
        assert lease is not None
        assert lease.progress.done_s == 20
        await items.aclose()

    asyncio.run(follow())


def test_a_job_that_failed_ends_without_its_text(
    services: Services, store: MemoryObjectStore, job: JobRequest
) -> None:
    async def follow() -> list[JobView | Segment]:
        settle(store, an_outcome(job.ref, JobStatus.FAILED))
        return [item async for item in tail(services, job.ref)]

    [view] = asyncio.run(follow())
    assert view_of(view).status is JobStatus.FAILED


def test_a_job_that_is_deleted_meanwhile_is_not_followed_for_ever(
    services: Services, store: MemoryObjectStore, job: JobRequest
) -> None:
    async def follow() -> None:
        items = tail(services, job.ref)
        await anext(items)
        store.delete(keys.request(job.ref))
        with pytest.raises(JobNotFoundError):
            await anext(items)

    asyncio.run(follow())


def test_a_job_that_is_about_to_be_written_down_is_waited_for_and_not_for_ever(
    services: Services, store: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow() -> None:
        request = a_request()
        following = asyncio.ensure_future(anext(tail(services, request.ref)))
        await asyncio.wait({following}, timeout=0.1)
        assert not following.done()
        stored_job(store, request, media=b"audio")
        assert view_of(await following).status is JobStatus.QUEUED
        monkeypatch.setattr(tailing, "RECORDING_GRACE", timedelta(seconds=0.1))
        with pytest.raises(JobNotFoundError):
            await anext(tail(services, a_ref()))

    asyncio.run(follow())


def test_heartbeats_come_while_nothing_else_does_and_nothing_is_lost() -> None:
    async def follow() -> tuple[list[int | None], bool]:
        go = asyncio.Event()
        closed = False

        async def numbers() -> AsyncGenerator[int, None]:
            nonlocal closed
            try:
                yield 1
                await go.wait()
                yield 2
            finally:
                closed = True

        seen: list[int | None] = []
        async for item in with_heartbeats(numbers(), every_s=0.01):
            seen.append(item)
            if len(seen) == 4:
                go.set()
        return seen, closed

    seen, closed = asyncio.run(follow())
    assert seen[:4] == [1, None, None, None]
    assert [item for item in seen if item] == [1, 2]
    assert closed


def test_a_stream_that_nobody_reads_any_more_is_closed() -> None:
    async def follow() -> bool:
        closed = asyncio.Event()

        async def forever() -> AsyncGenerator[int, None]:
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                closed.set()

        async def read() -> None:
            async for _ in with_heartbeats(forever()):
                pass

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        await asyncio.wait({reading}, timeout=0.05)
        reading.cancel()
        await asyncio.wait({reading})
        return closed.is_set()

    assert asyncio.run(follow())


@pytest.fixture
def client(services: Services) -> TestClient:
    bearer = f"Bearer {services.api_keys.issue('acme', 'test')}"
    return TestClient(create_app(services), headers={"Authorization": bearer})


def frames_of(body: str) -> list[dict[str, Any]]:
    """Fields of each event; its data is JSON."""
    found = []
    for frame in body.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        if "data" in fields:
            found.append(fields | {"data": json.loads(fields["data"])})
    return found


def test_the_events_of_a_finished_job_are_its_segments_and_its_end(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    settle(store, an_outcome(job.ref), a_transcript(job.ref))
    answer = client.get(f"/v1/jobs/{job.job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *segments, end = frames_of(answer.text)
    assert [(one["event"], one["id"]) for one in segments] == [("segment", "1"), ("segment", "2")]
    assert segments[0]["data"] == a_segment(0, " Hello there.").model_dump(
        mode="json", exclude_none=True
    )
    assert (end["event"], end["data"]["status"]) == ("end", "succeeded")
    assert end["data"] == client.get(f"/v1/jobs/{job.job_id}").json()


def test_last_event_id_resumes(
    client: TestClient, store: MemoryObjectStore, job: JobRequest
) -> None:
    settle(store, an_outcome(job.ref), a_transcript(job.ref))
    resumed = client.get(f"/v1/jobs/{job.job_id}/events", headers={"Last-Event-ID": "1"})
    assert [(one["event"], one["id"]) for one in frames_of(resumed.text)] == [
        ("segment", "2"),
        ("end", "2"),
    ]


def test_behind_a_gateway_that_buffers_the_stream_ends_and_asks_to_be_called_again(
    services: Services, job: JobRequest
) -> None:
    app = create_app(services)

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"aws.event": {}}, receive, send)

    bearer = f"Bearer {services.api_keys.issue('acme', 'test')}"
    client = TestClient(gateway, headers={"Authorization": bearer})
    answer = client.get(f"/v1/jobs/{job.job_id}/events")
    assert answer.status_code == 200
    assert "retry: " in answer.text
    assert "event: end" not in answer.text


def test_another_tenants_job_has_no_events(client: TestClient) -> None:
    answer = client.get(f"/v1/jobs/{a_ref('umbrella').job_id}/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    answer = client.get(f"/v1/jobs/{a_ref().job_id}/events", headers={"Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")
