"""Jobs that have ended, written as the worker writes them."""

from datetime import timedelta

from tests.builders import a_ref, a_request, a_transcript, an_outcome
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus
from whisperdrop.domain.transcript import Segment
from whisperdrop.ports import ObjectStore
from whisperdrop.service.clock import utc_now
from whisperdrop.service.documents import dump

TENANT = "default"


def stored_transcript(store: ObjectStore, *, name: str, segments: tuple[Segment, ...]) -> str:
    """A job that succeeded, with this transcript; its id."""
    ref = a_ref(TENANT, utc_now())
    length = max(segment.end for segment in segments)
    transcript = a_transcript(ref, segments=segments, duration=length)
    store.create(keys.request(ref), dump(a_request(ref, name=name, created_at=utc_now())))
    store.create(keys.transcript(ref), dump(transcript))
    store.create(keys.outcome(ref), dump(an_outcome(ref, name=name, created_at=utc_now())))
    return ref.job_id


def stored_endings(store: ObjectStore, count: int, name: str, status: JobStatus) -> list[str]:
    """So many jobs called ``name 1`` and on, without transcripts, the newest first; their ids."""
    ids = []
    for n in range(count, 0, -1):
        at = utc_now() - timedelta(minutes=count - n + 1)
        ref = a_ref(TENANT, at)
        called = f"{name} {n}.wav"
        store.create(keys.request(ref), dump(a_request(ref, name=called, created_at=at)))
        store.create(keys.outcome(ref), dump(an_outcome(ref, status, name=called, created_at=at)))
        ids.append(ref.job_id)
    return ids
