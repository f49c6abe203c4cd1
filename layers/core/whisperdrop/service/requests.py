"""A new job's request, written down and marked pending."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, load_of, padded
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, PendingMarker
from whisperdrop.domain.media import media_type, safe_name
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import LostRaceError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import dump, write_once


@dataclass(frozen=True)
class NewJob:
    """What every door knows of a job before it exists."""

    tenant: str
    model: str
    name: str
    content_type: str | None = None
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    correlation_id: str | None = None
    traceparent: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    content_sha256: str | None = None
    """Of the media in hex, as its owner declares it."""
    webhook_url: str | None = None
    retention_days: int | None = None


def new_request(
    new: NewJob,
    job_id: str,
    source: Literal["upload", "sync"],
    *,
    size: int | None,
    now: datetime,
    upload_expires_s: int,
    idempotency: str | None = None,
) -> JobRequest:
    """The request of ``new``. Raises InvalidValueError, UnsupportedMediaTypeError."""
    name = safe_name(new.name)
    ref = JobRef(new.tenant, job_id)
    return JobRequest(
        tenant=ref.tenant,
        job_id=ref.job_id,
        model=new.model,
        options=new.options,
        source=source,
        media_key=(keys.media if source == "sync" else keys.upload)(ref, name),
        name=name,
        content_type=media_type(name, new.content_type),
        size=size,
        created_at=now,
        upload_expires_at=now + timedelta(seconds=upload_expires_s),
        correlation_id=new.correlation_id,
        traceparent=new.traceparent,
        metadata=new.metadata,
        content_sha256=new.content_sha256,
        webhook_url=new.webhook_url,
        retention_days=new.retention_days,
        idempotency=idempotency,
    )


def write_request(store: ObjectStore, request: JobRequest) -> None:
    """Write a new job down. Raises LostRaceError when another job has this id."""
    # Not plain create: the store may have taken the write and lost the answer.
    if write_once(store, keys.request(request.ref), request) != request:
        raise LostRaceError(f"there is a job {request.job_id} already")


def mark_pending(
    store: ObjectStore, ref: JobRef, requeues: int = 0, *, load: Load | None = None
) -> None:
    """Note that the job has no outcome and has just been queued.

    ``load`` is what it is once its media is there.
    """
    marker = PendingMarker(requeues=requeues)
    store.put(keys.pending(ref), padded(dump(marker), load), "application/json")


def mark_arrived(store: ObjectStore, ref: JobRef, load: Load) -> bool:
    """Note that the job's media is there; False when the job has ended, or somebody notes it too.

    By compare and swap: a marker that its job's end has deleted must not come back.
    """
    key = keys.pending(ref)
    found = store.get(key)
    if found is None or load_of(len(found.body)) is not None:
        return False
    try:
        store.replace(key, padded(found.body, load), found.etag)
    except LostRaceError:
        return False
    return True


def overdue(request: JobRequest, now: datetime, grace: timedelta) -> bool:
    """Whether the upload's address has expired for longer than ``grace``."""
    return request.upload_expires_at is not None and now > request.upload_expires_at + grace
