"""Jobs that wait for an upload: made once, however often the same request comes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import JobRequest, JobStatus, JobView
from whisperdrop.domain.upload import part_count, part_size_of
from whisperdrop.errors import JobNotFoundError, TryAgainError
from whisperdrop.ports import Clock, ObjectStore, PresignedUpload, Presigner
from whisperdrop.service import deduplication, idempotency
from whisperdrop.service.documents import read, write_once
from whisperdrop.service.idempotency import Record, RepeatKey
from whisperdrop.service.multipart import drop_upload
from whisperdrop.service.requests import NewJob, mark_pending, new_request
from whisperdrop.service.viewing import view_of

_SHORTEST_S = 60
"""Instructions that are asked for again hold at least so long; the sweep's grace is longer."""


@dataclass(frozen=True)
class WantedUpload:
    """How the media will come. Bytes; ``size`` is known but for a POST."""

    method: Literal["put", "post", "multipart"]
    size: int | None
    max_size: int


@dataclass(frozen=True)
class Instructions:
    """How to send the media, to be begun before ``expires_at``."""

    method: Literal["PUT", "POST", "MULTIPART"]
    expires_at: datetime
    upload: PresignedUpload | None = None
    part_size: int | None = None
    parts: int | None = None


@dataclass(frozen=True)
class Creation:
    """A job that was asked for."""

    job: JobView
    made: bool
    """It did not exist before."""
    deduplicated: bool
    """It was made for the same content before."""
    instructions: Instructions | None
    """None where there is nothing to upload any more."""


class UploadJobs:
    """Makes jobs that wait for an upload."""

    def __init__(
        self,
        store: ObjectStore,
        presigner: Presigner,
        *,
        clock: Clock,
        upload_expires_s: int,
        multipart_expires_s: int,
    ) -> None:
        self._store = store
        self._presigner = presigner
        self._clock = clock
        self._upload_expires_s = upload_expires_s
        self._multipart_expires_s = multipart_expires_s

    def create(self, new: NewJob, wanted: WantedUpload, key: RepeatKey | None = None) -> Creation:
        """Make the job, or find the one that ``key`` or the content has made before.

        Raises InvalidValueError, UnsupportedMediaTypeError, IdempotencyError, TryAgainError.
        """
        now = self._clock()
        draft = self._draft(new, wanted, new_job_id(now), now, key)  # refuses what is wrong first
        if key and (record := idempotency.find(self._store, new.tenant, key)):
            return self._again(new, wanted, key, record)
        counts, content = draft.ref, None
        if new.content_sha256 is not None:
            content = deduplication.fingerprint(new.content_sha256, new.model, new.options)
            counts = deduplication.claim(self._store, new.tenant, content, draft.ref, self._clock)
        same = counts != draft.ref
        if key:
            record = idempotency.claim(self._store, counts, key, now, deduplicated=same)
            if record.job_id != counts.job_id:
                if content and not same:
                    deduplication.abandon(self._store, new.tenant, content, draft.ref)
                return self._again(new, wanted, key, record)
        if same:
            return self._found(counts, wanted, deduplicated=True)
        return self._make(draft, wanted, made=True)

    def _again(self, new: NewJob, wanted: WantedUpload, key: RepeatKey, record: Record) -> Creation:
        """What the key has made; makes it where whoever claimed the key has not come so far."""
        ref = JobRef(new.tenant, record.job_id)
        if not record.deduplicated and self._store.head(keys.outcome(ref)) is None:
            draft = self._draft(new, wanted, record.job_id, record.created_at, key)
            return self._make(draft, wanted, made=False)
        return self._found(ref, wanted, deduplicated=record.deduplicated)

    def _found(self, ref: JobRef, wanted: WantedUpload, *, deduplicated: bool) -> Creation:
        try:
            job = view_of(self._store, ref, self._clock())
        except JobNotFoundError as error:
            raise TryAgainError("the same request is just being made; send it again") from error
        instructions = None
        if job.status is JobStatus.AWAITING_UPLOAD:
            request = read(self._store, JobRequest, keys.request(ref))
            if request is not None:
                instructions = self._instructions(request, wanted)
        return Creation(job, made=False, deduplicated=deduplicated, instructions=instructions)

    def _draft(
        self,
        new: NewJob,
        wanted: WantedUpload,
        job_id: str,
        now: datetime,
        key: RepeatKey | None,
    ) -> JobRequest:
        in_parts = wanted.method == "multipart"
        return new_request(
            new,
            job_id,
            "upload",
            size=None if wanted.method == "post" else wanted.size,
            now=now,
            upload_expires_s=self._multipart_expires_s if in_parts else self._upload_expires_s,
            idempotency=key.digest if key else None,
        )

    def _make(self, draft: JobRequest, wanted: WantedUpload, *, made: bool) -> Creation:
        """Write the job down unless it is there; one that was there may be further on."""
        store, ref = self._store, draft.ref
        request = None if made else read(store, JobRequest, keys.request(ref))
        if request is None:
            if wanted.method == "multipart" and wanted.size is not None:
                upload_id = store.create_multipart(
                    draft.media_key, draft.content_type, draft.media_metadata
                )
                part_size = part_size_of(wanted.size)
                draft = draft.model_copy(update={"upload_id": upload_id, "part_size": part_size})
            request = write_once(store, keys.request(ref), draft)
            if request.upload_id != draft.upload_id:  # two requests at once; one upload counts
                drop_upload(store, draft)
        if made or store.head(keys.pending(ref)) is None:
            mark_pending(store, ref)
        if not made:
            return self._found(ref, wanted, deduplicated=False)
        job = JobView(
            ref=ref,
            status=JobStatus.AWAITING_UPLOAD,
            model=request.model,
            created_at=request.created_at,
            name=request.name,
            metadata=request.metadata,
            upload_expires_at=request.upload_expires_at,
        )
        instructions = self._instructions(request, wanted)
        return Creation(job, made=True, deduplicated=False, instructions=instructions)

    def _instructions(self, request: JobRequest, wanted: WantedUpload) -> Instructions:
        expires_at = request.upload_expires_at or self._clock()
        if request.upload_id and request.size and request.part_size:
            parts = part_count(request.size, request.part_size)
            return Instructions("MULTIPART", expires_at, part_size=request.part_size, parts=parts)
        now = self._clock()
        expires_at = max(expires_at, now + timedelta(seconds=_SHORTEST_S))
        left_s = round((expires_at - now).total_seconds())
        if request.size is not None:
            upload = self._presigner.presign_put(
                request.media_key,
                size=request.size,
                content_type=request.content_type,
                expires_s=left_s,
                metadata=request.media_metadata,
            )
            return Instructions("PUT", expires_at, upload)
        upload = self._presigner.presign_post(
            request.media_key,
            max_size=wanted.max_size,
            content_type=request.content_type,
            expires_s=left_s,
            metadata=request.media_metadata,
        )
        return Instructions("POST", expires_at, upload)
