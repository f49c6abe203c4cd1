"""Bodies of the native API."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from whisperdrop.domain.job import JobFailure, JobRequest, JobStatus, JobView, Usage
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.ports import PresignedUpload

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class CreateJob(TranscribeOptions):
    """What is to be transcribed, and how."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filename": "meeting.mp3", "size": 1048576}]}
    )

    filename: str = Field(min_length=1, max_length=1000)
    size: int | None = Field(None, ge=1, description="Bytes; needed for `upload: put`")
    content_type: str | None = Field(None, max_length=200, description="By the extension if absent")
    upload: Literal["put", "post"] = Field(
        "put", description="`put` takes exactly `size` bytes; `post` is an HTML form of any size"
    )
    model: str | None = Field(None, max_length=200, description="The first served model if absent")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=16, description="Your own notes; kept with the job"
    )

    @property
    def options(self) -> TranscribeOptions:
        """The options alone."""
        return TranscribeOptions.model_validate(
            self.model_dump(include=set(TranscribeOptions.model_fields))
        )


class Links(BaseModel):
    """Where to go on; paths on this host."""

    self: str
    transcript: str

    @classmethod
    def of(cls, job_id: str) -> Self:
        """The links of a job."""
        return cls(self=f"/v1/jobs/{job_id}", transcript=f"/v1/jobs/{job_id}/transcript")


class UploadBody(BaseModel):
    """Send the media like this: `headers` with a PUT, `fields` before the file with a POST."""

    method: Literal["PUT", "POST"]
    url: str
    headers: dict[str, str]
    fields: dict[str, str]
    expires_at: datetime


class CreatedJob(BaseModel):
    """A job that waits for its upload."""

    job_id: str
    status: JobStatus
    model: str
    created_at: datetime
    upload: UploadBody
    links: Links

    @classmethod
    def of(cls, request: JobRequest, upload: PresignedUpload) -> Self:
        """From the domain."""
        return cls.model_validate(
            {
                "job_id": request.job_id,
                "status": JobStatus.AWAITING_UPLOAD,
                "model": request.model,
                "created_at": request.created_at,
                "upload": {
                    "method": upload.method,
                    "url": upload.url,
                    "headers": upload.headers,
                    "fields": upload.fields,
                    "expires_at": request.upload_expires_at,
                },
                "links": Links.of(request.job_id),
            }
        )


class ProgressBody(BaseModel):
    """How far a running job is. Nothing of it goes back while one worker has the job."""

    stage: str
    percent: float | None = Field(None, description="0 to 100, once the length is known")
    done_s: float = Field(description="Seconds of audio that are transcribed")
    total_s: float | None = Field(None, description="Seconds of audio in all; may be corrected")
    eta_s: float | None = Field(
        None, description="Seconds of wall time until the end, as far as one can tell"
    )


class JobBody(BaseModel):
    """A job as it is now."""

    job_id: str
    status: JobStatus
    model: str
    created_at: datetime
    upload_expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int | None = None
    progress: ProgressBody | None = None
    cancel_requested: Literal[True] | None = Field(
        None, description="Somebody asked for its end, and it has not ended yet"
    )
    error: JobFailure | None = None
    usage: Usage | None = None
    links: Links

    @classmethod
    def of(cls, view: JobView) -> Self:
        """From the domain."""
        lease, outcome = view.lease, view.outcome
        progress = None
        if lease is not None:
            progress = ProgressBody(
                stage=lease.progress.stage,
                percent=lease.progress.percent,
                done_s=lease.progress.done_s,
                total_s=lease.progress.total_s,
                eta_s=lease.progress.eta_s,
            )
        started = outcome.started_at if outcome else (lease.acquired_at if lease else None)
        awaiting = view.status is JobStatus.AWAITING_UPLOAD
        return cls(
            job_id=view.ref.job_id,
            status=view.status,
            model=view.model,
            created_at=view.created_at,
            upload_expires_at=view.upload_expires_at if awaiting else None,
            started_at=started,
            finished_at=outcome.finished_at if outcome else None,
            attempt=outcome.attempt if outcome else (lease.attempt if lease else None),
            progress=progress,
            cancel_requested=True if view.cancel_requested else None,
            error=outcome.error if outcome else None,
            usage=outcome.usage if outcome else None,
            links=Links.of(view.ref.job_id),
        )


class TranscribedBody(BaseModel):
    """What a Whisper API answers."""

    text: str
    language: str


class PendingBody(BaseModel):
    """The transcript is not there yet; the job goes on, and its address says how it is."""

    job_id: str
    status: JobStatus
    links: Links


class ResultBody(TranscribedBody):
    """A finished job's text."""

    job_id: str
    model: str
    duration: float


class ModelBody(BaseModel):
    """A model in the list."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models that the key may use, in OpenAI's form."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


class HealthBody(BaseModel):
    """The API answers; what its workers have loaded."""

    status: Literal["ok"]
    version: str
    workers: int
    jobs: int = Field(description="Jobs in flight on all workers")
    models_loaded: list[str]
