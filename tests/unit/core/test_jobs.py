import io
from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.builders import BUCKET, a_lease, a_transcript, an_outcome, keys_in
from tests.clock import NOON, ManualClock
from tests.stores import FailingKeyStore
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobStatus, JobView, PendingMarker, Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import (
    InvalidValueError,
    JobNotFoundError,
    LostRaceError,
    NotReadyError,
    StoreError,
    UnsupportedMediaTypeError,
)
from whisperdrop.ports import ObjectStore, PresignedUpload
from whisperdrop.service.creation import Creation, WantedUpload
from whisperdrop.service.documents import dump, read
from whisperdrop.service.jobs import JobService, NewJob
from whisperdrop.service.requests import overdue, write_request
from whisperdrop.service.settlement import settle

NEW = NewJob("acme", "tiny.en", "talks/Grüße.mp3", options=TranscribeOptions(language="de"))
EXPIRES_S = 900


class SayingPresigner:
    """Says in the URL what it was asked to sign."""

    def presign_put(
        self,
        key: str,
        *,
        size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        said = dict(metadata or {})
        return PresignedUpload("PUT", f"{key}|{size}|{content_type}|{expires_s}", said, {})

    def presign_post(
        self,
        key: str,
        *,
        max_size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        said = dict(metadata or {})
        return PresignedUpload("POST", f"{key}|<{max_size}|{content_type}|{expires_s}", {}, said)

    def presign_part(
        self, key: str, *, upload_id: str, number: int, size: int, expires_s: int
    ) -> PresignedUpload:
        return PresignedUpload("PUT", f"{key}|{number}|{size}|{expires_s}", {}, {})

    def presign_get(self, key: str, *, name: str, expires_s: int) -> str:
        return f"{key}|{name}|{expires_s}"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def interactive(clock: ManualClock) -> MemoryJobQueue:
    return MemoryJobQueue(clock)


def service(store: ObjectStore, interactive: MemoryJobQueue, clock: ManualClock) -> JobService:
    return JobService(
        store, SayingPresigner(), interactive, clock=clock, upload_expires_s=EXPIRES_S
    )


@pytest.fixture
def jobs(store: MemoryObjectStore, interactive: MemoryJobQueue, clock: ManualClock) -> JobService:
    return service(store, interactive, clock)


def put_job(jobs: JobService, store: ObjectStore) -> JobRequest:
    """A new job that waits for a PUT of one byte."""
    return request_of(store, jobs.create(NEW, WantedUpload("put", 1, 5000)).job)


def request_of(store: ObjectStore, job: JobView) -> JobRequest:
    request = read(store, JobRequest, keys.request(job.ref))
    assert request is not None
    return request


def upload_of(creation: Creation) -> PresignedUpload:
    assert creation.instructions is not None
    assert creation.instructions.upload is not None
    return creation.instructions.upload


def test_a_job_for_a_put_is_written_down_marked_and_signed(
    jobs: JobService, store: MemoryObjectStore, interactive: MemoryJobQueue
) -> None:
    creation = jobs.create(NEW, WantedUpload("put", 1234, 5000))
    request, upload = request_of(store, creation.job), upload_of(creation)
    ref = request.ref
    assert read(store, JobRequest, keys.request(ref)) == request
    assert read(store, PendingMarker, keys.pending(ref)) == PendingMarker()
    assert (request.tenant, request.model, request.source) == ("acme", "tiny.en", "upload")
    assert (request.name, request.content_type, request.size) == ("Grüße.mp3", "audio/mpeg", 1234)
    assert request.options.language == "de"
    assert request.upload_expires_at == NOON + timedelta(seconds=EXPIRES_S)
    assert upload.method == "PUT"
    assert upload.url == f"uploads/acme/{ref.job_id}/Grüße.mp3|1234|audio/mpeg|{EXPIRES_S}"
    assert len(interactive) == 0


def test_a_job_for_a_post_has_no_declared_size(jobs: JobService, store: MemoryObjectStore) -> None:
    creation = jobs.create(NEW, WantedUpload("post", None, 5000))
    request, upload = request_of(store, creation.job), upload_of(creation)
    assert request.size is None
    assert upload.method == "POST"
    assert upload.url == f"{request.media_key}|<5000|audio/mpeg|{EXPIRES_S}"


def test_a_job_with_its_media_passes_the_bulk_queue(
    jobs: JobService, store: MemoryObjectStore, interactive: MemoryJobQueue
) -> None:
    ref = jobs.create_with_media(NEW, io.BytesIO(b"audio"), 5)
    request = read(store, JobRequest, keys.request(ref))
    assert request is not None
    media = store.head(request.media_key)
    assert media is not None
    assert (media.size, media.content_type) == (5, "audio/mpeg")
    message = interactive.receive(wait_s=0, visibility_s=30)
    assert message is not None
    assert parse_event(message.body, bucket=BUCKET) == [request.ref]
    assert request.source == "sync"


@pytest.mark.parametrize("prefix", ["media/", "jobs/", "pending/"])
def test_a_job_that_was_not_stored_completely_is_not_queued(
    prefix: str, store: MemoryObjectStore, interactive: MemoryJobQueue, clock: ManualClock
) -> None:
    jobs = service(FailingKeyStore(store, prefix), interactive, clock)
    with pytest.raises(StoreError):
        jobs.create_with_media(NEW, io.BytesIO(b"audio"), 5)
    assert len(interactive) == 0  # what was written, the sweep ends when its time is over


@pytest.mark.parametrize(
    ("name", "error"), [("notes.pdf", UnsupportedMediaTypeError), ("", InvalidValueError)]
)
def test_a_refused_name_leaves_nothing_behind(
    name: str, error: type[Exception], jobs: JobService, store: MemoryObjectStore
) -> None:
    with pytest.raises(error):
        jobs.create(NewJob("acme", "tiny.en", name), WantedUpload("put", 1, 5000))
    assert keys_in(store) == []


def test_two_jobs_never_share_an_id(jobs: JobService, store: MemoryObjectStore) -> None:
    assert put_job(jobs, store).ref != put_job(jobs, store).ref


def test_a_job_is_recorded_once(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    write_request(store, request)  # as after an answer that was lost
    with pytest.raises(LostRaceError):
        write_request(store, request.model_copy(update={"name": "another.mp3"}))


def test_a_new_job_waits_for_its_upload(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    view = jobs.view("acme", request.job_id)
    assert view.status is JobStatus.AWAITING_UPLOAD
    assert (view.name, view.model, view.created_at) == ("Grüße.mp3", "tiny.en", NOON)
    assert view.upload_expires_at == request.upload_expires_at


def test_an_uploaded_job_is_queued(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    store.put(request.media_key, b"a")
    assert jobs.view("acme", request.job_id).status is JobStatus.QUEUED


def test_a_held_job_is_running_and_shows_its_progress(
    jobs: JobService, store: MemoryObjectStore, clock: ManualClock
) -> None:
    request = put_job(jobs, store)
    store.put(request.media_key, b"a")
    progress = Progress(stage="transcribing", done_s=1, total_s=4)
    lease = a_lease(NOON + timedelta(seconds=60), progress=progress)
    store.create(keys.lease(request.ref), dump(lease))
    view = jobs.view("acme", request.job_id)
    assert view.status is JobStatus.RUNNING
    assert view.lease is not None
    assert view.lease.progress.percent == 25.0

    clock.advance(60)
    view = jobs.view("acme", request.job_id)
    assert view.status is JobStatus.QUEUED
    assert view.lease is None


def test_a_damaged_lease_does_not_hide_a_job(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    store.put(request.media_key, b"a")
    store.put(keys.lease(request.ref), b"{")
    assert jobs.view("acme", request.job_id).status is JobStatus.QUEUED


@pytest.mark.parametrize("status", [status for status in JobStatus if status.final])
def test_an_ended_job_shows_how_it_ended(
    status: JobStatus, jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    outcome = an_outcome(request.ref, status)
    settle(store, outcome)
    view = jobs.view("acme", request.job_id)
    assert view.status is status
    assert view.outcome == outcome


def test_a_job_that_nobody_works_on_is_cancelled_at_once(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    view = jobs.cancel("acme", request.job_id)
    assert view.status is JobStatus.CANCELLED
    assert view == jobs.view("acme", request.job_id)
    assert not view.cancel_requested
    store.put(request.media_key, b"a")  # an upload that comes all the same changes nothing
    assert jobs.view("acme", request.job_id) == view


def test_a_job_that_a_worker_holds_runs_on_until_the_worker_sees_the_wish(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    store.create(keys.lease(request.ref), dump(a_lease(NOON + timedelta(seconds=60))))
    assert not jobs.view("acme", request.job_id).cancel_requested
    view = jobs.cancel("acme", request.job_id)
    assert (view.status, view.cancel_requested) == (JobStatus.RUNNING, True)


def test_a_cancelled_job_will_never_have_a_transcript(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    jobs.cancel("acme", request.job_id)
    with pytest.raises(NotReadyError, match=r"cancelled and has no transcript$"):
        jobs.transcript("acme", request.job_id)


def test_another_tenants_job_is_not_there(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    settle(store, an_outcome(request.ref), a_transcript(request.ref))
    with pytest.raises(JobNotFoundError):
        jobs.view("umbrella", request.job_id)
    with pytest.raises(JobNotFoundError):
        jobs.cancel("umbrella", request.job_id)
    with pytest.raises(JobNotFoundError):
        jobs.transcript("umbrella", request.job_id)
    assert jobs.transcript("acme", request.job_id)


@pytest.mark.parametrize("job_id", ["", "nope", "../acme/x", "A" * 25, "0" * 25, "0" * 24 + "\n"])
def test_an_id_that_is_none_or_nobodys_is_not_found(job_id: str, jobs: JobService) -> None:
    with pytest.raises(JobNotFoundError):
        jobs.view("acme", job_id)
    with pytest.raises(JobNotFoundError):
        jobs.cancel("acme", job_id)
    with pytest.raises(JobNotFoundError):
        jobs.transcript("acme", job_id)


def test_a_transcript_is_not_ready_before_the_end(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    with pytest.raises(NotReadyError, match=r"awaiting_upload.*until it has ended"):
        jobs.transcript("acme", request.job_id)


def test_a_failed_job_will_never_have_a_transcript(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    settle(store, an_outcome(request.ref, JobStatus.FAILED))
    with pytest.raises(NotReadyError, match=r"failed and has no transcript$"):
        jobs.transcript("acme", request.job_id)


def test_a_succeeded_job_has_its_transcript(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    transcript = a_transcript(request.ref)
    settle(store, an_outcome(request.ref), transcript)
    assert jobs.transcript("acme", request.job_id) == transcript


def test_an_upload_is_overdue_after_its_grace_and_a_drop_never_is(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    request = put_job(jobs, store)
    grace = timedelta(seconds=10)
    last = NOON + timedelta(seconds=EXPIRES_S + 10)
    assert not overdue(request, last, grace)
    assert overdue(request, last + timedelta(seconds=1), grace)
    drop = request.model_copy(update={"upload_expires_at": None})
    assert not overdue(drop, last + timedelta(days=999), grace)


def test_a_view_names_its_job(jobs: JobService, store: MemoryObjectStore) -> None:
    request = put_job(jobs, store)
    assert jobs.view("acme", request.job_id).ref == JobRef("acme", request.job_id)
