"""Jobs as their owners meet them: create one, look at one, cancel it, fetch its transcript."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import BinaryIO

from whisperdrop.domain import keys
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, is_job_id, new_job_id
from whisperdrop.domain.job import (
    JobRequest,
    JobView,
    Lease,
    Outcome,
    PendingMarker,
    derive_status,
)
from whisperdrop.domain.media import media_type, safe_name
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.transcript import Transcript
from whisperdrop.errors import JobNotFoundError, LostRaceError, NotReadyError
from whisperdrop.ports import Clock, JobQueue, ObjectStore, PresignedUpload, Presigner
from whisperdrop.service.cancellation import cancel, cancel_requested
from whisperdrop.service.documents import dump, read, read_intact, write_once


@dataclass(frozen=True)
class NewJob:
    """What every door knows of a job before it exists."""

    tenant: str
    model: str
    name: str
    content_type: str | None = None
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    correlation_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class JobService:
    """The job model's front: used by the API, by doors yet to come, and by tests."""

    def __init__(
        self,
        store: ObjectStore,
        presigner: Presigner,
        interactive: JobQueue,
        *,
        clock: Clock,
        upload_expires_s: int,
    ) -> None:
        self._store = store
        self._presigner = presigner
        self._interactive = interactive
        self._clock = clock
        self._upload_expires_s = upload_expires_s

    def create_for_put(self, new: NewJob, size: int) -> tuple[JobRequest, PresignedUpload]:
        """A job that waits for a PUT of exactly ``size`` bytes."""
        request = self._create(new, "upload", size=size)
        return request, self._presigner.presign_put(
            request.media_key,
            size=size,
            content_type=request.content_type,
            expires_s=self._upload_expires_s,
        )

    def create_for_post(self, new: NewJob, max_size: int) -> tuple[JobRequest, PresignedUpload]:
        """A job that waits for a form POST of 1 to ``max_size`` bytes."""
        request = self._create(new, "upload", size=None)
        return request, self._presigner.presign_post(
            request.media_key,
            max_size=max_size,
            content_type=request.content_type,
            expires_s=self._upload_expires_s,
        )

    def create_with_media(self, new: NewJob, media: BinaryIO, size: int) -> JobRequest:
        """A job whose media is at hand: store it where nothing watches, and send the job."""
        request = self._request(new, "sync", size=size)
        with ThreadPoolExecutor(2) as beside:  # somebody waits: write all three at once
            writes = [
                beside.submit(_write_request, self._store, request),
                beside.submit(mark_pending, self._store, request.ref),
            ]
            self._store.put(request.media_key, media, request.content_type)
            for write in writes:
                write.result()
        self._interactive.send(direct_message(request.ref))
        return request

    def _create(self, new: NewJob, source: str, *, size: int | None) -> JobRequest:
        request = self._request(new, source, size=size)
        record(self._store, request)
        return request

    def _request(self, new: NewJob, source: str, *, size: int | None) -> JobRequest:
        name = safe_name(new.name)
        content_type = media_type(name, new.content_type)
        now = self._clock()
        ref = JobRef(new.tenant, new_job_id(now))
        return JobRequest.model_validate(
            {
                "tenant": ref.tenant,
                "job_id": ref.job_id,
                "model": new.model,
                "options": new.options,
                "source": source,
                "media_key": (keys.media if source == "sync" else keys.upload)(ref, name),
                "name": name,
                "content_type": content_type,
                "size": size,
                "created_at": now,
                "upload_expires_at": now + timedelta(seconds=self._upload_expires_s),
                "correlation_id": new.correlation_id,
                "metadata": new.metadata,
            }
        )

    def view(self, tenant: str, job_id: str) -> JobView:
        """The job as it is now. Raises JobNotFoundError, also for another tenant's job."""
        ref = self._ref(tenant, job_id)
        now = self._clock()
        if outcome := self.outcome(ref):
            return _view_of_outcome(outcome)
        request = read(self._store, JobRequest, keys.request(ref))
        if request is None:
            raise JobNotFoundError(f"there is no job {job_id}")
        lease = read_intact(self._store, Lease, keys.lease(ref))
        running = lease is not None and lease.live(now)
        # A lease that is not live may be that of a worker that has just ended the job.
        if lease is not None and not running and (outcome := self.outcome(ref)):
            return _view_of_outcome(outcome)
        uploaded = running or self._store.head(request.media_key) is not None
        return JobView(
            ref=ref,
            status=derive_status(outcome=None, lease=lease, uploaded=uploaded, now=now),
            model=request.model,
            created_at=request.created_at,
            name=request.name,
            lease=lease if running else None,
            upload_expires_at=request.upload_expires_at,
            cancel_requested=cancel_requested(self._store, ref),
        )

    def cancel(self, tenant: str, job_id: str) -> JobView:
        """Ask for the end of the job, and look at it; one that has ended stays as it is.

        A worker that holds it needs a moment to stop. Raises JobNotFoundError as ``view`` does.
        """
        cancel(self._store, self._ref(tenant, job_id), self._clock)
        return self.view(tenant, job_id)

    def outcome(self, ref: JobRef) -> Outcome | None:
        """How the job ended, or None: one request to the store, so cheap to ask again."""
        return read_intact(self._store, Outcome, keys.outcome(ref))

    def transcript(self, tenant: str, job_id: str) -> Transcript:
        """The result. Raises JobNotFoundError, NotReadyError."""
        ref = self._ref(tenant, job_id)
        if transcript := read(self._store, Transcript, keys.transcript(ref)):
            return transcript
        status = self.view(tenant, job_id).status
        raise NotReadyError(
            f"job {job_id} is {status} and has no transcript"
            + ("" if status.final else f"; ask GET /v1/jobs/{job_id}?wait=20 until it has ended")
        )

    def _ref(self, tenant: str, job_id: str) -> JobRef:
        if not is_job_id(job_id):
            raise JobNotFoundError(f"there is no job {job_id[:60]}")
        return JobRef(tenant, job_id)


def _view_of_outcome(outcome: Outcome) -> JobView:
    return JobView(
        ref=outcome.ref,
        status=outcome.status,
        model=outcome.model,
        created_at=outcome.created_at,
        outcome=outcome,
    )


def record(store: ObjectStore, request: JobRequest) -> None:
    """Write a new job down, then mark it pending.

    Raises LostRaceError when another job has this id.
    """
    _write_request(store, request)
    mark_pending(store, request.ref)


def mark_pending(store: ObjectStore, ref: JobRef, requeues: int = 0) -> None:
    """Note that the job has no outcome and has just been queued."""
    marker = PendingMarker(requeues=requeues)
    store.put(keys.pending(ref), dump(marker), "application/json")


def _write_request(store: ObjectStore, request: JobRequest) -> None:
    # Not plain create: the store may have taken the write and lost the answer.
    if write_once(store, keys.request(request.ref), request) != request:
        raise LostRaceError(f"there is a job {request.job_id} already")


def overdue(request: JobRequest, now: datetime, grace: timedelta) -> bool:
    """Whether the upload's address has expired for longer than ``grace``."""
    return request.upload_expires_at is not None and now > request.upload_expires_at + grace
