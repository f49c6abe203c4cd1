"""Uploads in parts over a store in memory."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_request, an_outcome, keys_in, stored_job
from tests.clock import NOON, ManualClock
from tests.unit.core.test_jobs import SayingPresigner
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus
from whisperdrop.domain.upload import (
    MAX_SINGLE_BYTES,
    MAX_UPLOAD_BYTES,
    MAX_UPLOAD_PARTS,
    part_count,
    part_size_of,
    size_of_part,
)
from whisperdrop.errors import (
    ConflictError,
    InvalidValueError,
    JobNotFoundError,
    UploadIncompleteError,
)
from whisperdrop.service.multipart import MultipartUploads, drop_upload
from whisperdrop.service.settlement import settle

BODY = b"0123456789"
MIB = 1024**2


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def uploads(store: MemoryObjectStore, clock: ManualClock) -> MultipartUploads:
    return MultipartUploads(store, SayingPresigner(), clock=clock, part_expires_s=900)


@pytest.fixture
def job(store: MemoryObjectStore) -> JobRequest:
    """Ten bytes in parts of four."""
    request = a_request(size=len(BODY), part_size=4)
    upload_id = store.create_multipart(request.media_key, request.content_type)
    return stored_job(store, request.model_copy(update={"upload_id": upload_id}))


def send(store: MemoryObjectStore, job: JobRequest, *numbers: int) -> None:
    assert job.upload_id is not None
    for number in numbers:
        body = BODY[(number - 1) * 4 : number * 4]
        store.put_part(job.media_key, job.upload_id, number, body)


@given(st.integers(1, MAX_UPLOAD_BYTES))
def test_every_size_is_cut_as_the_store_wants_it(size: int) -> None:
    part_size = part_size_of(size)
    parts = part_count(size, part_size)
    assert 1 <= parts <= MAX_UPLOAD_PARTS
    assert 64 * MIB <= part_size <= MAX_SINGLE_BYTES
    assert part_size % MIB == 0
    last = size_of_part(parts, size, part_size)
    assert 1 <= last <= part_size
    assert (parts - 1) * part_size + last == size


def test_the_largest_file_just_fits() -> None:
    assert part_size_of(MAX_UPLOAD_BYTES) == 525 * MIB
    assert part_size_of(2 * 1000**3) == 64 * MIB


def test_parts_are_signed_with_their_own_size(uploads: MultipartUploads, job: JobRequest) -> None:
    parts, expires_at = uploads.sign(job.ref, [3, 1])
    assert [(part.number, part.size) for part in parts] == [(3, 2), (1, 4)]
    assert parts[0].upload.url == f"{job.media_key}|3|2|900"
    assert expires_at == NOON + timedelta(seconds=900)


@pytest.mark.parametrize("number", [0, -1, 4, 10_000])
def test_a_part_that_the_upload_does_not_have_is_not_signed(
    number: int, uploads: MultipartUploads, job: JobRequest
) -> None:
    with pytest.raises(InvalidValueError, match="parts 1 to 3"):
        uploads.sign(job.ref, [1, number])


def test_who_was_interrupted_sees_what_has_arrived_and_goes_on(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    send(store, job, 1, 3)
    state = uploads.state(job.ref)
    assert (state.size, state.part_size, state.parts) == (10, 4, 3)
    assert [(part.number, part.size) for part in state.uploaded] == [(1, 4), (3, 2)]
    assert state.expires_at == job.upload_expires_at
    with pytest.raises(UploadIncompleteError, match=r"1 of 3 parts .*: 2;"):
        uploads.complete(job.ref)
    send(store, job, 2)
    uploads.complete(job.ref)
    found = store.get(job.media_key)
    assert found is not None
    assert found.body == BODY


def test_completing_may_be_repeated(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    send(store, job, 1, 2, 3)
    uploads.complete(job.ref)
    uploads.complete(job.ref)
    assert [part.number for part in uploads.state(job.ref).uploaded] == [1, 2, 3]
    with pytest.raises(ConflictError, match="is over"):
        uploads.sign(job.ref, [1])
    settle(store, an_outcome(job.ref))
    store.delete(job.media_key)
    uploads.complete(job.ref)


def test_a_part_of_another_size_counts_as_missing(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    send(store, job, 1, 2, 3)
    assert job.upload_id is not None
    store.put_part(job.media_key, job.upload_id, 2, b"short")
    with pytest.raises(UploadIncompleteError, match=": 2;"):
        uploads.complete(job.ref)


def test_a_part_too_many_is_refused(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    send(store, job, 1, 2, 3)
    assert job.upload_id is not None
    store.put_part(job.media_key, job.upload_id, 4, b"more")
    with pytest.raises(UploadIncompleteError, match=": 4;"):
        uploads.complete(job.ref)


def test_an_upload_that_is_given_up_cancels_its_job(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    send(store, job, 1)
    uploads.abort(job.ref)
    assert job.upload_id is not None
    assert store.list_multipart(job.media_key, job.upload_id) is None
    assert store.head(keys.outcome(job.ref)) is not None
    for over in (uploads.abort, uploads.state):
        with pytest.raises(ConflictError, match="is over"):
            over(job.ref)
    uploads.complete(job.ref)  # answered as the job is: cancelled
    assert keys_in(store, "uploads/") == []


def test_an_upload_whose_parts_the_store_has_dropped_is_over(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    drop_upload(store, job)
    for over in (uploads.complete, uploads.state):
        with pytest.raises(ConflictError, match="is over"):
            over(job.ref)


def test_a_job_of_another_kind_or_none_has_no_parts(
    uploads: MultipartUploads, store: MemoryObjectStore
) -> None:
    plain = stored_job(store, a_request())
    with pytest.raises(ConflictError, match="in one piece"):
        uploads.state(plain.ref)
    with pytest.raises(JobNotFoundError):
        uploads.state(a_request().ref)


def test_a_job_is_cancelled_with_its_parts(
    uploads: MultipartUploads, store: MemoryObjectStore, job: JobRequest
) -> None:
    settle(store, an_outcome(job.ref, JobStatus.CANCELLED))
    with pytest.raises(ConflictError):
        uploads.sign(job.ref, [1])
