"""Jobs that wait for an upload, asked for once or again: by key, and by content."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import a_ref, an_outcome, keys_in
from tests.clock import NOON, ManualClock
from tests.stores import BeforeWriteStore, FailingStore, LostAnswerStore
from tests.unit.core.test_jobs import EXPIRES_S, NEW, SayingPresigner
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus
from whisperdrop.errors import IdempotencyError, InvalidValueError, StoreError, TryAgainError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.creation import Creation, WantedUpload
from whisperdrop.service.documents import read
from whisperdrop.service.idempotency import RepeatKey
from whisperdrop.service.jobs import JobService, NewJob
from whisperdrop.service.settlement import settle

PUT = WantedUpload("put", 1234, 5000)
POST = WantedUpload("post", None, 5000)
PARTS = WantedUpload("multipart", 200 * 1024**2, 2**40)
KEY = RepeatKey.of("key", b"body")
HASHED = NewJob("acme", "tiny.en", "a.mp3", content_sha256="ab" * 32)


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def service(store: ObjectStore, clock: ManualClock) -> JobService:
    return JobService(
        store, SayingPresigner(), MemoryJobQueue(clock), clock=clock, upload_expires_s=EXPIRES_S
    )


@pytest.fixture
def jobs(store: MemoryObjectStore, clock: ManualClock) -> JobService:
    return service(store, clock)


def request_of(store: ObjectStore, creation: Creation) -> JobRequest:
    request = read(store, JobRequest, keys.request(creation.job.ref))
    assert request is not None
    return request


def requests_in(store: ObjectStore) -> list[str]:
    return [key for key in keys_in(store, "jobs/") if key.endswith("/request.json")]


@pytest.mark.parametrize("wanted", [PUT, POST, PARTS], ids=lambda wanted: str(wanted.method))
def test_the_same_key_and_request_make_one_job(
    wanted: WantedUpload, jobs: JobService, store: MemoryObjectStore, clock: ManualClock
) -> None:
    first = jobs.create(NEW, wanted, KEY)
    clock.advance(100)
    again = jobs.create(NEW, wanted, KEY)
    assert (first.made, again.made) == (True, False)
    assert again.job == first.job
    assert len(requests_in(store)) == 1
    assert first.instructions is not None
    assert again.instructions is not None
    assert again.instructions.expires_at == first.instructions.expires_at
    if again.instructions.upload and first.instructions.upload:  # signed for the time that is left
        url = first.instructions.upload.url.removesuffix(str(EXPIRES_S))
        assert again.instructions.upload.url == f"{url}{EXPIRES_S - 100}"


@pytest.mark.parametrize("wanted", [PUT, POST, PARTS], ids=lambda wanted: str(wanted.method))
def test_the_media_carries_the_id_of_the_request_that_made_the_job(
    wanted: WantedUpload, jobs: JobService, store: MemoryObjectStore
) -> None:
    new = replace(NEW, correlation_id="request-1", traceparent="00-a-b-01")
    made = jobs.create(new, wanted, KEY)
    again = jobs.create(replace(new, correlation_id="request-2", traceparent=None), wanted, KEY)
    expected = {"correlation-id": "request-1", "traceparent": "00-a-b-01"}
    for creation in (made, again):  # the second request is the first one's job
        assert creation.instructions is not None
        if creation.instructions.upload is not None:
            upload = creation.instructions.upload
            assert (upload.headers or upload.fields) == expected
    request = read(store, JobRequest, keys.request(made.job.ref))
    assert request is not None
    assert request.media_metadata == expected
    if request.upload_id is not None:
        store.put_part(request.media_key, request.upload_id, 1, b"audio")
        parts = store.list_multipart(request.media_key, request.upload_id)
        assert parts is not None
        store.complete_multipart(request.media_key, request.upload_id, parts)
        info = store.head(request.media_key)
        assert info is not None
        assert info.metadata == expected


def test_without_a_key_every_request_makes_a_job(jobs: JobService) -> None:
    assert jobs.create(NEW, PUT).job.ref != jobs.create(NEW, PUT).job.ref


def test_a_key_belongs_to_its_tenant(jobs: JobService) -> None:
    other = NewJob("umbrella", "tiny.en", "a.mp3")
    assert jobs.create(NEW, PUT, KEY).made
    assert jobs.create(other, PUT, KEY).made


def test_a_key_with_another_request_is_refused_and_makes_nothing(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    jobs.create(NEW, PUT, KEY)
    before = keys_in(store)
    with pytest.raises(IdempotencyError):
        jobs.create(NEW, POST, RepeatKey.of("key", b"another body"))
    assert keys_in(store) == before


def test_a_refused_request_leaves_its_key_free(jobs: JobService, store: MemoryObjectStore) -> None:
    with pytest.raises(InvalidValueError):
        jobs.create(NewJob("acme", "tiny.en", ""), PUT, KEY)
    assert keys_in(store) == []
    assert jobs.create(NEW, PUT, RepeatKey.of("key", b"corrected")).made


def test_a_job_that_has_ended_is_answered_without_an_upload(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    first = jobs.create(NEW, PUT, KEY)
    settle(store, an_outcome(first.job.ref))
    again = jobs.create(NEW, PUT, KEY)
    assert (again.job.status, again.instructions) == (JobStatus.SUCCEEDED, None)
    assert keys_in(store, keys.PENDING) == []


def test_a_job_that_is_uploaded_is_answered_without_an_upload(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    first = jobs.create(NEW, PUT, KEY)
    store.put(request_of(store, first).media_key, b"audio")
    again = jobs.create(NEW, PUT, KEY)
    assert (again.job.status, again.instructions) == (JobStatus.QUEUED, None)


def test_a_deleted_job_has_freed_its_key(jobs: JobService) -> None:
    first = jobs.create(NEW, PUT, KEY)
    assert jobs.delete("acme", first.job.ref.job_id)
    again = jobs.create(NEW, POST, RepeatKey.of("key", b"another body"))
    assert again.made
    assert again.job.ref != first.job.ref


@pytest.mark.parametrize("wanted", [PUT, PARTS], ids=lambda wanted: str(wanted.method))
def test_of_many_requests_at_once_with_one_key_one_makes_the_job(
    wanted: WantedUpload, jobs: JobService, store: MemoryObjectStore
) -> None:
    start = threading.Barrier(8)
    made: list[Creation] = []

    def create() -> None:
        start.wait()
        made.append(jobs.create(NEW, wanted, KEY))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({creation.job.ref for creation in made}) == 1
    assert len(requests_in(store)) == 1
    assert len(made) == 8
    request = request_of(store, made[0])
    if request.upload_id:
        assert store.list_multipart(request.media_key, request.upload_id) == ()
        assert store.begun_uploads() == 1


@pytest.mark.parametrize("wanted", [PUT, PARTS], ids=lambda wanted: str(wanted.method))
@pytest.mark.parametrize("written", [False, True])
def test_a_request_that_died_is_finished_by_its_repetition(
    wanted: WantedUpload, written: bool, clock: ManualClock
) -> None:
    crashes = 0
    for fail_at in range(1, 10):
        store = MemoryObjectStore(clock)
        try:
            service(FailingStore(store, fail_at, written=written), clock).create(NEW, wanted, KEY)
        except StoreError:
            crashes += 1
        else:
            break
        again = service(store, clock).create(NEW, wanted, KEY)
        assert again.instructions is not None
        assert len(requests_in(store)) == 1
        assert keys_in(store, keys.PENDING) == [keys.pending(again.job.ref)]
        assert len(keys_in(store, "idempotency/")) == 1
    assert crashes >= 3


def test_a_record_that_was_written_though_its_answer_was_lost_is_ours(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    creation = service(LostAnswerStore(store), clock).create(NEW, PUT, KEY)
    assert requests_in(store) == [keys.request(creation.job.ref)]
    assert creation.instructions is not None


def test_a_damaged_record_counts_as_none(jobs: JobService, store: MemoryObjectStore) -> None:
    store.put(keys.idempotency("acme", KEY.digest), b"{")
    assert jobs.create(NEW, PUT, KEY).made
    assert not jobs.create(NEW, PUT, KEY).made


def test_instructions_that_are_renewed_at_the_last_moment_can_be_followed(
    jobs: JobService, clock: ManualClock
) -> None:
    jobs.create(NEW, PUT, KEY)
    clock.advance(EXPIRES_S - 1)
    again = jobs.create(NEW, PUT, KEY)
    assert again.instructions is not None
    assert again.instructions.expires_at == clock() + timedelta(seconds=60)


def test_the_same_content_is_not_uploaded_twice(jobs: JobService, store: MemoryObjectStore) -> None:
    first = jobs.create(HASHED, PUT)
    store.put(request_of(store, first).media_key, b"audio")
    again = jobs.create(HASHED, PUT)
    assert (again.made, again.deduplicated, again.instructions) == (False, True, None)
    assert (again.job.ref, again.job.status) == (first.job.ref, JobStatus.QUEUED)
    assert len(requests_in(store)) == 1


def test_content_that_never_came_holds_nobody_up(jobs: JobService, clock: ManualClock) -> None:
    first = jobs.create(HASHED, PUT)
    clock.advance(60)
    again = jobs.create(HASHED, PUT)
    assert (again.made, again.deduplicated) == (True, False)
    assert again.job.ref != first.job.ref


def test_a_key_with_known_content_is_bound_to_the_job_that_was_there(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    first = jobs.create(HASHED, PUT)
    store.put(request_of(store, first).media_key, b"audio")
    for _ in range(2):
        again = jobs.create(HASHED, PUT, KEY)
        assert (again.made, again.deduplicated) == (False, True)
        assert again.job.ref == first.job.ref


def test_deletion_forgets_the_content_too(jobs: JobService, store: MemoryObjectStore) -> None:
    first = jobs.create(HASHED, PUT, KEY)
    store.put(request_of(store, first).media_key, b"audio")
    assert len(keys_in(store, "idempotency/")) == 2
    jobs.delete("acme", first.job.ref.job_id)
    assert keys_in(store, "idempotency/") == []
    assert jobs.create(HASHED, PUT).made


def test_who_loses_the_key_at_the_last_moment_makes_way_for_the_content(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    other = service(store, clock)
    made: list[Creation] = []
    place = keys.idempotency("acme", KEY.digest)
    racing = BeforeWriteStore(store, place, lambda: made.append(other.create(NEW, PUT, KEY)))
    same_body = NewJob("acme", "tiny.en", "a.mp3", content_sha256="cd" * 32)
    late = service(racing, clock).create(same_body, PUT, KEY)
    assert late.job.ref == made[0].job.ref
    assert other.create(same_body, PUT).made


def test_known_content_whose_job_is_just_being_written_is_to_be_asked_for_again(
    jobs: JobService, store: MemoryObjectStore
) -> None:
    store.put(
        keys.idempotency("acme", KEY.digest),
        f'{{"job_id":"{a_ref().job_id}","created_at":"{NOON.isoformat()}",'
        f'"request_sha256":"{KEY.request_sha256}","deduplicated":true,"rev":"1"}}'.encode(),
    )
    with pytest.raises(TryAgainError):
        jobs.create(NEW, PUT, KEY)
