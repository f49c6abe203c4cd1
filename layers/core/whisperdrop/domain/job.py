"""The documents of a job, and its status, which is derived from them and never stored."""

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.options import TranscribeOptions

CORRELATION_KEY = "correlation-id"
TRACE_KEY = "traceparent"
"""Metadata of media in the bucket: ``x-amz-meta-correlation-id`` and ``x-amz-meta-traceparent``."""


class _Document(BaseModel):
    # A newer version may have written fields that this one does not know. JSON has no NaN: it would
    # be stored as null, and nobody could read the document again.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class JobStatus(StrEnum):
    """Every state that a job can be seen in."""

    AWAITING_UPLOAD = "awaiting_upload"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether it can never change again."""
        return self in _FINAL


_FINAL = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}


class JobRequest(_Document):
    """``jobs/{tenant}/{job}/request.json``: what was asked for. Sizes are in bytes."""

    version: int = 1
    tenant: str
    job_id: str
    model: str
    options: TranscribeOptions
    source: Literal["upload", "sync", "drop"]
    media_key: str
    name: str
    content_type: str
    size: int | None = Field(None, description="Declared size; unknown for a POST upload")
    created_at: AwareDatetime
    upload_expires_at: AwareDatetime | None = None
    correlation_id: str | None = None
    traceparent: str | None = Field(None, description="Of the trace that it is a part of")
    metadata: dict[str, str] = Field(default_factory=dict)
    content_sha256: str | None = Field(None, description="Of the media, as its owner declared it")
    webhook_url: str | None = None
    retention_days: int | None = Field(
        None, description="So many days past its end, all of it is deleted"
    )
    idempotency: str | None = Field(None, description="Digest of the record that names it")
    upload_id: str | None = Field(None, description="The store's name of its multipart upload")
    part_size: int | None = Field(None, description="Of each part but the last")

    @property
    def ref(self) -> JobRef:
        """The job's name."""
        return JobRef(self.tenant, self.job_id)

    @property
    def media_metadata(self) -> dict[str, str]:
        """What the media in the bucket says of itself: whose request it belongs to."""
        said = {CORRELATION_KEY: self.correlation_id, TRACE_KEY: self.traceparent}
        return {key: value for key, value in said.items() if value is not None}


Stage = Literal["loading", "decoding", "transcribing"]
_STAGES: tuple[Stage, ...] = get_args(Stage)


class Progress(_Document):
    """How far a worker is; seconds are of audio, except in ``eta_s``."""

    stage: Stage = "loading"
    done_s: float = 0.0
    total_s: float | None = None
    eta_s: float | None = None
    """Wall seconds until the end, as far as one can tell."""
    least_percent: float = 0.0
    """What was shown before: a length that is corrected never takes it back."""

    @property
    def percent(self) -> float | None:
        """0–100, or None while the length is unknown."""
        if not self.total_s:
            return None
        share = 100 * min(1.0, self.done_s / self.total_s)
        return round(max(share, self.least_percent), 1)

    def after(self, before: Self) -> Self:
        """This state as it may be shown after ``before``: nothing of it goes back.

        Seconds that were only decoded are not done, a known length stays known, and reports of
        stages that overlap show the later stage.
        """
        done_s = before.done_s
        if self.stage == "transcribing":
            done_s = max(done_s, self.done_s)
        total_s = before.total_s if self.total_s is None else self.total_s
        return self.model_copy(
            update={
                "stage": max(before.stage, self.stage, key=_STAGES.index),
                "done_s": done_s,
                "total_s": None if total_s is None else max(total_s, done_s),
                "least_percent": before.percent or 0.0,
            }
        )


class Lease(_Document):
    """``lease.json``: at most one worker holds a job. A released lease has already expired."""

    version: int = 1
    owner: str
    attempt: int = Field(ge=1, description="Counts every worker that began")
    acquired_at: AwareDatetime
    expires_at: AwareDatetime
    progress: Progress = Progress()
    released: bool = Field(False, description="Its owner let go of it; else the owner died")
    failures: int = Field(0, description="Attempts that failed or died, hand-backs not counted")
    last_error: str | None = Field(None, description="Why the attempt before this one ended")
    rev: str = Field(description="Random, so that equal contents never share an ETag")

    def live(self, now: datetime) -> bool:
        """Whether its owner may still be working."""
        return now < self.expires_at


class JobFailure(_Document):
    """Why a job has no transcript: stable code, and a message for a person."""

    code: str
    message: str


class Usage(_Document):
    """What the job cost; seconds."""

    audio_s: float
    engine_s: float
    """Time inside the model."""
    load_s: float = 0.0
    """Time spent loading the model for this job."""
    model: str


class Outcome(_Document):
    """``outcome.json``: write-once; a job has exactly one, until it is deleted."""

    version: int = 1
    tenant: str
    job_id: str
    status: JobStatus
    model: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime
    attempt: int = 0
    error: JobFailure | None = None
    usage: Usage | None = None
    drop_key: str | None = None
    """Set for a bucket drop: where to render it is derived from this."""
    correlation_id: str | None = None
    traceparent: str | None = None
    parts: int = 0
    """Checkpoints that a job which succeeded leaves behind; 0 saves looking for them."""
    name: str | None = None
    """This and what follows is the request's, so that one document shows a job that has ended."""
    metadata: dict[str, str] = Field(default_factory=dict)
    webhook_url: str | None = None
    retention_days: int | None = None
    deleted_at: AwareDatetime | None = None
    """All that is left of a job that was deleted: it keeps late writers from bringing it back."""
    forget_at: AwareDatetime | None = None
    """When nobody can be late any more, and this goes too."""

    def deleted(self, now: datetime, forget_at: datetime) -> Self:
        """What takes this one's place when the job is deleted. It counts as no success."""
        return type(self)(
            tenant=self.tenant,
            job_id=self.job_id,
            status=JobStatus.CANCELLED,
            model=self.model,
            created_at=self.created_at,
            finished_at=self.finished_at,
            deleted_at=now,
            forget_at=forget_at,
        )

    @classmethod
    def of(
        cls,
        request: JobRequest,
        status: JobStatus,
        finished_at: datetime,
        *,
        error: JobFailure | None = None,
        usage: Usage | None = None,
        lease: Lease | None = None,
        parts: int = 0,
    ) -> Self:
        """How ``request`` ended; ``lease`` is that of the attempt that ended it, if any did."""
        return cls(
            tenant=request.tenant,
            job_id=request.job_id,
            status=status,
            model=request.model,
            created_at=request.created_at,
            started_at=lease.acquired_at if lease else None,
            finished_at=finished_at,
            attempt=lease.attempt if lease else 0,
            error=error,
            usage=usage,
            drop_key=request.media_key if request.source == "drop" else None,
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
            parts=parts,
            name=request.name,
            metadata=request.metadata,
            webhook_url=request.webhook_url,
            retention_days=request.retention_days,
        )

    @property
    def ref(self) -> JobRef:
        """The job's name."""
        return JobRef(self.tenant, self.job_id)


class PendingMarker(_Document):
    """``pending/{tenant}/{job}``. Its time of modification says when it was last queued."""

    requeues: int = 0


class CancelMarker(_Document):
    """``jobs/{tenant}/{job}/cancel``: that it is there says all that a worker asks."""

    requested_at: AwareDatetime


class WorkerReport(_Document):
    """``workers/{worker}.json``: what a poller says of itself, refreshed while it lives."""

    worker_id: str
    models: tuple[str, ...]
    jobs: int
    seen_at: AwareDatetime
    done_s: float = 0.0
    """Seconds of audio that are transcribed of its jobs in flight."""
    draining: bool = False
    """It has had nothing to do, and is about to go: it is no worker to count on."""
    task: str | None = None
    """The task of the fleet that it runs in, if it is one."""


class JobView(_Document):
    """A job as its owner sees it, put together from the documents at one moment."""

    ref: JobRef
    status: JobStatus
    model: str
    created_at: AwareDatetime
    name: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    lease: Lease | None = None
    outcome: Outcome | None = None
    upload_expires_at: AwareDatetime | None = None
    cancel_requested: bool = False
    """Its owner asked for its end, and it has not ended yet."""


def derive_status(
    *, outcome: Outcome | None, lease: Lease | None, uploaded: bool, now: datetime
) -> JobStatus:
    """Status from the documents: the outcome wins, then a live lease, then the media."""
    if outcome is not None:
        return outcome.status
    if lease is not None and lease.live(now):
        return JobStatus.RUNNING
    return JobStatus.QUEUED if uploaded else JobStatus.AWAITING_UPLOAD
