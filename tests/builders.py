"""Documents with defaults, so that a test names only what it is about."""

from datetime import datetime, timedelta
from typing import Any

from tests.clock import NOON
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import (
    JobFailure,
    JobRequest,
    JobStatus,
    Lease,
    Outcome,
    PendingMarker,
    Usage,
)
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment, Transcript
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import dump

TENANT = "acme"
BUCKET = "media"


def a_ref(tenant: str = TENANT, at: datetime = NOON) -> JobRef:
    """A new job's name."""
    return JobRef(tenant, new_job_id(at))


def a_request(ref: JobRef | None = None, **fields: Any) -> JobRequest:
    """A job that waits for the upload of speech.mp3 for an hour."""
    ref = ref or a_ref()
    defaults: dict[str, Any] = {
        "tenant": ref.tenant,
        "job_id": ref.job_id,
        "model": "tiny.en",
        "options": TranscribeOptions(),
        "source": "upload",
        "media_key": keys.upload(ref, "speech.mp3"),
        "name": "speech.mp3",
        "content_type": "audio/mpeg",
        "created_at": NOON,
        "upload_expires_at": NOON + timedelta(hours=1),
    }
    return JobRequest.model_validate(defaults | fields)


def an_outcome(ref: JobRef, status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> Outcome:
    """An end of the job: with usage where it succeeded, with an error otherwise."""
    succeeded = status is JobStatus.SUCCEEDED
    defaults: dict[str, Any] = {
        "tenant": ref.tenant,
        "job_id": ref.job_id,
        "status": status,
        "model": "tiny.en",
        "created_at": NOON,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=9),
        "attempt": 1,
        "usage": Usage(audio_s=61.25, engine_s=2.5, model="tiny.en") if succeeded else None,
        "error": None if succeeded else JobFailure(code="gave_up", message="it did not work"),
    }
    return Outcome.model_validate(defaults | fields)


def a_transcript(ref: JobRef, *texts: str, **fields: Any) -> Transcript:
    """A transcript of one segment of two seconds a text."""
    segments = tuple(
        a_segment(n, text) for n, text in enumerate(texts or (" Hello there.", " General Kenobi."))
    )
    defaults: dict[str, Any] = {
        "job_id": ref.job_id,
        "model": "tiny.en",
        "task": "transcribe",
        "language": "en",
        "duration": 61.25,
        "duration_after_vad": 60.0,
        "segments": segments,
    }
    return Transcript.model_validate(defaults | fields)


def a_segment(n: int, text: str) -> Segment:
    """The ``n``-th segment, of two seconds."""
    return Segment(id=n, seek=0, start=2.0 * n, end=2.0 * n + 2, text=text)


def a_part(n: int, *texts: str, **fields: Any) -> Part:
    """The ``n``-th part: two windows of ten seconds each, one segment a text."""
    defaults: dict[str, Any] = {
        "n": n,
        "first_window": 2 * n,
        "end_window": 2 * n + 2,
        "end_s": 20.0 * n + 20,
        "window_s": 20.0,
        "language": "en",
        "segments": tuple(a_segment(number, text) for number, text in enumerate(texts)),
    }
    return Part.model_validate(defaults | fields)


def stored_part(store: ObjectStore, ref: JobRef, n: int, *texts: str, **fields: Any) -> Part:
    """``a_part`` in the store."""
    part = a_part(n, *texts, **fields)
    store.create(keys.part(ref, n), dump(part))
    return part


def a_lease(expires_at: datetime, **fields: Any) -> Lease:
    """A lease of the worker ``w1`` on its first attempt."""
    defaults: dict[str, Any] = {
        "owner": "w1",
        "attempt": 1,
        "acquired_at": NOON,
        "expires_at": expires_at,
        "rev": "r1",
    }
    return Lease.model_validate(defaults | fields)


def stored_job(
    store: ObjectStore, request: JobRequest, *, media: bytes | None = None
) -> JobRequest:
    """``request`` in the store with its pending marker, and its media where given."""
    store.create(keys.request(request.ref), dump(request))
    store.put(keys.pending(request.ref), dump(PendingMarker()), "application/json")
    if media is not None:
        store.put(request.media_key, media, request.content_type)
    return request


def keys_in(store: ObjectStore, prefix: str = "") -> list[str]:
    """Every key under ``prefix``."""
    return [info.key for info in store.list(prefix)]
