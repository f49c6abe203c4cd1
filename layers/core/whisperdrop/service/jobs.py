"""Jobs as their owners meet them: create one, look at one, cancel it, fetch its transcript."""

from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, estimate_s
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, is_job_id, new_job_id
from whisperdrop.domain.job import JobRequest, JobStatus, JobView, Outcome
from whisperdrop.domain.transcript import Transcript
from whisperdrop.errors import JobNotFoundError, MediaMissingError, NotReadyError
from whisperdrop.ports import Clock, JobQueue, ObjectStore, Presigner
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.creation import Creation, UploadJobs, WantedUpload
from whisperdrop.service.deduplication import abandon, claim
from whisperdrop.service.deletion import delete
from whisperdrop.service.documents import read, read_intact
from whisperdrop.service.idempotency import RepeatKey
from whisperdrop.service.listing import JobFilter, JobPage, list_jobs
from whisperdrop.service.multipart import MultipartUploads, drop_upload
from whisperdrop.service.requests import NewJob, mark_pending, new_request, write_request
from whisperdrop.service.usage import UsageOfMonth, usage_of
from whisperdrop.service.viewing import outcome_of, view_of

__all__ = ["JobService", "NewJob"]

MULTIPART_EXPIRES_S = 46 * 3600
"""An upload in parts has so long; two hours later the bucket drops what has come of it."""


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
        multipart_expires_s: int = MULTIPART_EXPIRES_S,
    ) -> None:
        """``interactive`` is the queue of jobs whose media is at hand."""
        self._store = store
        self._presigner = presigner
        self._interactive = interactive
        self._clock = clock
        self._upload_expires_s = upload_expires_s
        self._upload_jobs = UploadJobs(
            store,
            presigner,
            clock=clock,
            upload_expires_s=upload_expires_s,
            multipart_expires_s=multipart_expires_s,
        )
        self.uploads = MultipartUploads(
            store, presigner, clock=clock, part_expires_s=upload_expires_s
        )

    def create(self, new: NewJob, wanted: WantedUpload, key: RepeatKey | None = None) -> Creation:
        """A job that waits for its upload; see ``UploadJobs``."""
        return self._upload_jobs.create(new, wanted, key)

    def create_with_media(
        self, new: NewJob, media: BinaryIO, size: int, *, fingerprint: str | None = None
    ) -> JobRef:
        """A job whose media is at hand: store it where nothing watches, and send the job.

        With a ``fingerprint``, the answer may be a job that was there before; nothing is stored.
        """
        now = self._clock()
        request = new_request(
            new,
            new_job_id(now),
            "sync",
            size=size,
            now=now,
            upload_expires_s=self._upload_expires_s,
            idempotency=fingerprint,
        )
        if fingerprint is None:
            self._store_with_media(request, media)
        else:
            counts = claim(self._store, new.tenant, fingerprint, request.ref, self._clock)
            if counts != request.ref:
                return counts
            try:
                self._store_with_media(request, media)
            except BaseException:
                abandon(self._store, new.tenant, fingerprint, request.ref)
                raise
        self._interactive.send(direct_message(request.ref, request.correlation_id))
        return request.ref

    def _store_with_media(self, request: JobRequest, media: BinaryIO) -> None:
        load = Load(estimate_s(request.name, request.size or 0), interactive=True)
        with ThreadPoolExecutor(2) as beside:  # somebody waits: write all three at once
            writes = [
                beside.submit(write_request, self._store, request),
                beside.submit(mark_pending, self._store, request.ref, load=load),
            ]
            self._store.put(request.media_key, media, request.content_type, request.media_metadata)
            for write in writes:
                write.result()

    def view(self, tenant: str, job_id: str) -> JobView:
        """The job as it is now. Raises JobNotFoundError, also for another tenant's job."""
        return view_of(self._store, self.ref(tenant, job_id), self._clock())

    def page(self, tenant: str, *, limit: int, cursor: str | None, wanted: JobFilter) -> JobPage:
        """Jobs of the tenant, newest first; see ``listing``. Raises InvalidValueError."""
        return list_jobs(
            self._store, tenant, self._clock(), limit=limit, cursor=cursor, wanted=wanted
        )

    def cancel(self, tenant: str, job_id: str) -> JobView:
        """Ask for the end of the job, and look at it; one that has ended stays as it is.

        A worker that holds it needs a moment to stop. Raises JobNotFoundError as ``view`` does.
        """
        ref = self.ref(tenant, job_id)
        request = read_intact(self._store, JobRequest, keys.request(ref))
        outcome_of(self._store, ref)  # one that was deleted is not found
        if cancel(self._store, ref, self._clock) is not None and request is not None:
            drop_upload(self._store, request)
        return self.view(tenant, job_id)

    def delete(self, tenant: str, job_id: str) -> bool:
        """Delete the job and all of it but its usage record; False while a worker holds it.

        Raises JobNotFoundError.
        """
        return delete(self._store, self.ref(tenant, job_id), self._clock)

    def media_url(self, tenant: str, job_id: str, expires_s: int) -> str:
        """Address of the job's media, for so long.

        Raises JobNotFoundError, NotReadyError before the upload, MediaMissingError after it.
        """
        ref = self.ref(tenant, job_id)
        view = self.view(tenant, job_id)
        request = read(self._store, JobRequest, keys.request(ref))
        if request is None:
            raise JobNotFoundError(f"there is no job {job_id}")
        if view.status is JobStatus.AWAITING_UPLOAD:
            raise NotReadyError(f"the media of job {job_id} has not been uploaded yet")
        if self._store.head(request.media_key) is None:
            raise MediaMissingError(f"the media of job {job_id} is no longer there")
        return self._presigner.presign_get(
            request.media_key, name=request.name, expires_s=expires_s
        )

    def usage(self, tenant: str, month: str) -> UsageOfMonth:
        """What the tenant's jobs that ended in ``yyyy-mm`` have cost."""
        return usage_of(self._store, tenant, month)

    def outcome(self, ref: JobRef) -> Outcome | None:
        """How the job ended, or None: one request to the store, so cheap to ask again.

        Raises JobNotFoundError for a job that was deleted.
        """
        return outcome_of(self._store, ref)

    def transcript(self, tenant: str, job_id: str) -> Transcript:
        """The result. Raises JobNotFoundError, NotReadyError."""
        ref = self.ref(tenant, job_id)
        if transcript := read(self._store, Transcript, keys.transcript(ref)):
            self.outcome(ref)  # a late worker's transcript of a deleted job is nobody's
            return transcript
        status = self.view(tenant, job_id).status
        raise NotReadyError(
            f"job {job_id} is {status} and has no transcript"
            + ("" if status.final else f"; ask GET /v1/jobs/{job_id}?wait=20 until it has ended")
        )

    def ref(self, tenant: str, job_id: str) -> JobRef:
        """The job's name. Raises JobNotFoundError for what cannot be one."""
        if not is_job_id(job_id):
            raise JobNotFoundError(f"there is no job {job_id[:60]}")
        return JobRef(tenant, job_id)
