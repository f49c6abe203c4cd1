"""Bucket drops: an object under inbox/ becomes a job without the API."""

from collections.abc import Callable

from pydantic import ValidationError

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, estimate_s
from whisperdrop.domain.ids import JobRef, is_correlation_id, is_traceparent, job_id_of_drop
from whisperdrop.domain.job import (
    CORRELATION_KEY,
    TRACE_KEY,
    JobFailure,
    JobRequest,
    JobStatus,
    Outcome,
)
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.media import media_type
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import InvalidValueError, RequestError
from whisperdrop.ports import Clock, ObjectInfo, ObjectStore
from whisperdrop.service.documents import read_intact, write_once
from whisperdrop.service.requests import mark_pending
from whisperdrop.service.settlement import settle

OPTION_PREFIX = "whisperdrop-"
"""Object metadata such as ``x-amz-meta-whisperdrop-language: de`` sets an option of the job."""

_OPTIONS = frozenset({"language", "task", "prompt", "hotwords", "word_timestamps"})


def job_of_drop(bucket: str, drop: Drop, info: ObjectInfo) -> JobRef:
    """The job that this version of the object makes, known without asking anybody."""
    return JobRef(drop.tenant, job_id_of_drop(bucket, drop.key, info.etag, info.modified))


def admit_drop(
    store: ObjectStore, bucket: str, drop: Drop, *, catalog: ModelCatalog, clock: Clock
) -> JobRef | None:
    """Make the job of a drop, unless it is there; None when the object is gone or no file.

    A drop that cannot become a job (wrong name, unknown option) gets a failed outcome at once, and
    its error under outbox/. Safe to repeat: every step can be done again.
    """
    info = store.head(drop.key)
    if info is None or info.key.endswith("/"):
        return None
    ref = job_of_drop(bucket, drop, info)
    now = clock()
    request = JobRequest(
        tenant=ref.tenant,
        job_id=ref.job_id,
        model=catalog.default,
        options=TranscribeOptions(),
        source="drop",
        media_key=drop.key,
        name=drop.key.rsplit("/", 1)[-1],
        content_type=info.content_type,
        size=info.size,
        created_at=now,
        correlation_id=_said(info.metadata, CORRELATION_KEY, is_correlation_id) or ref.job_id,
        traceparent=_said(info.metadata, TRACE_KEY, is_traceparent),
    )
    refusal: RequestError | None = None
    try:
        media_type(request.name, info.content_type)
        request = request.model_copy(update=_asked_for(info.metadata, catalog))
    except RequestError as error:
        refusal = error
    request = write_once(store, keys.request(ref), request)
    if refusal is not None:
        failure = JobFailure(code=refusal.code, message=refusal.message)
        settle(store, Outcome.of(request, JobStatus.FAILED, now, error=failure))
        return None
    if store.head(keys.outcome(ref)) is None:
        mark_pending(store, ref, load=Load(estimate_s(request.name, info.size)))
    return ref


def is_admitted(store: ObjectStore, ref: JobRef) -> bool:
    """Whether the job of a drop was made completely; false asks for admit_drop again."""
    if read_intact(store, JobRequest, keys.request(ref)) is None:
        return False
    return store.head(keys.pending(ref)) is not None or store.head(keys.outcome(ref)) is not None


def _said(metadata: dict[str, str], key: str, sane: Callable[[str], bool]) -> str | None:
    """What whoever dropped the file says of it, if that is of the right form."""
    value = _lower(metadata).get(key, "")
    return value if sane(value) else None


def _lower(metadata: dict[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in metadata.items()}


def _asked_for(metadata: dict[str, str], catalog: ModelCatalog) -> dict[str, object]:
    asked = {
        name.removeprefix(OPTION_PREFIX).replace("-", "_"): value
        for name, value in _lower(metadata).items()
        if name.startswith(OPTION_PREFIX)
    }
    model = catalog.admit(asked.pop("model", None))
    if unknown := asked.keys() - _OPTIONS:
        raise InvalidValueError(
            f"unknown option {min(unknown)!r} in the object's metadata; "
            f"known: model, {', '.join(sorted(_OPTIONS))}"
        )
    try:
        return {"model": model, "options": TranscribeOptions.model_validate(asked)}
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidValueError(f"object metadata {field}: {first['msg']}") from error
