"""Bodies of the native API."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, StringConstraints

from whisperdrop.domain.job import JobFailure, JobStatus, JobView, Usage
from whisperdrop.domain.media import CONTENT_TYPES
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.upload import MULTIPART_THRESHOLD_BYTES
from whisperdrop.domain.webhook_target import MAX_URL_LENGTH
from whisperdrop.service.creation import Creation, Instructions
from whisperdrop.service.multipart import SignedPart, UploadState
from whisperdrop_api import examples

MAX_BATCH = 100
"""Jobs that one request may create, and parts that one may have signed."""

FILE_ENCODING: dict[str, Any] = {
    "file": {"contentType": ", ".join(sorted(set(CONTENT_TYPES.values())))}
}
"""What the OpenAPI document says of the file in a form."""

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class CreateJob(TranscribeOptions):
    """What is to be transcribed, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filename": "meeting.mp3", "size": 1048576},
                {
                    "filename": "board.mp4",
                    "size": 2147483648,
                    "language": "en",
                    "word_timestamps": True,
                    "metadata": {"case": "42"},
                    "retention_days": 30,
                },
            ]
        }
    )

    filename: str = Field(min_length=1, max_length=1000)
    size: int | None = Field(
        None, ge=1, description="Bytes; needed for `upload: put` and `upload: multipart`"
    )
    content_type: str | None = Field(None, max_length=200, description="By the extension if absent")
    upload: Literal["put", "post", "multipart"] | None = Field(
        None,
        description="`put` takes exactly `size` bytes; `post` is an HTML form of any size; "
        "`multipart` goes in parts and can be resumed. If absent: `put`, and `multipart` above "
        f"{MULTIPART_THRESHOLD_BYTES:,} bytes",
    )
    model: str | None = Field(None, max_length=200, description="The first served model if absent")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=16, description="Your own notes; kept with the job"
    )
    content_sha256: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{64}$",
        description="SHA-256 of the file in hex: where you have a job of the same content, model "
        "and options, that one is answered and nothing has to be uploaded",
    )
    webhook_url: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="https address that is told when the job has ended",
    )
    retention_days: int | None = Field(
        None,
        ge=0,
        le=3650,
        description="So many days after its end the job is deleted, media and results with it",
    )

    @property
    def options(self) -> TranscribeOptions:
        """The options alone."""
        return TranscribeOptions.model_validate(
            self.model_dump(include=set(TranscribeOptions.model_fields))
        )


class CreateBatch(BaseModel):
    """Several jobs at once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"jobs": [{"filename": "a.mp3", "size": 1000}, {"filename": "b.wav", "size": 2000}]}
            ]
        },
    )

    # Not validated here: a bad item is answered in its place, and the others become jobs.
    jobs: list[Annotated[CreateJob, SkipValidation]] = Field(min_length=1, max_length=MAX_BATCH)


class Links(BaseModel):
    """Where to go on; paths on this host."""

    self: str
    transcript: str
    events: str

    @classmethod
    def of(cls, job_id: str) -> Self:
        """The links of a job."""
        job = f"/v1/jobs/{job_id}"
        return cls(self=job, transcript=f"{job}/transcript", events=f"{job}/events")


class UploadBody(BaseModel):
    """Send the media like this.

    `PUT`: the file to `url` with `headers`. `POST`: a form to `url`, `fields` before the file.
    `MULTIPART`: have parts signed at `url`, 1 to `parts`, each but the last of `part_size` bytes.
    """

    method: Literal["PUT", "POST", "MULTIPART"]
    url: str
    headers: dict[str, str]
    fields: dict[str, str]
    expires_at: datetime
    part_size: int | None = None
    parts: int | None = None

    @classmethod
    def of(cls, job_id: str, instructions: Instructions) -> Self:
        """From the domain."""
        upload = instructions.upload
        return cls(
            method=instructions.method,
            url=upload.url if upload else f"/v1/jobs/{job_id}/upload/parts",
            headers=upload.headers if upload else {},
            fields=upload.fields if upload else {},
            expires_at=instructions.expires_at,
            part_size=instructions.part_size,
            parts=instructions.parts,
        )


class CreatedJob(BaseModel):
    """A job, and where to send its media; `upload` is null when there is nothing to send."""

    model_config = examples.shown(examples.CREATED)

    job_id: str
    status: JobStatus
    model: str
    created_at: datetime
    deduplicated: bool = Field(description="A job that you had already, of the same content")
    upload: UploadBody | None
    links: Links

    @classmethod
    def of(cls, creation: Creation) -> Self:
        """From the domain."""
        job, instructions = creation.job, creation.instructions
        job_id = job.ref.job_id
        return cls(
            job_id=job_id,
            status=job.status,
            model=job.model,
            created_at=job.created_at,
            deduplicated=creation.deduplicated,
            upload=UploadBody.of(job_id, instructions) if instructions else None,
            links=Links.of(job_id),
        )


class SignParts(BaseModel):
    """Which parts you are about to send."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"numbers": [1, 2]}]})

    numbers: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        min_length=1, max_length=MAX_BATCH
    )


class PartBody(BaseModel):
    """PUT bytes `(number - 1) * part_size` on, `size` of them, to `url` with `headers`."""

    number: int
    url: str
    headers: dict[str, str]
    size: int

    @classmethod
    def of(cls, part: SignedPart) -> Self:
        """From the domain."""
        return cls(
            number=part.number, url=part.upload.url, headers=part.upload.headers, size=part.size
        )


class SignedPartsBody(BaseModel):
    """Where to send the parts; ask again when `expires_at` is over."""

    model_config = examples.shown(
        {
            "parts": [
                {
                    "number": 1,
                    "url": f"{examples.UPLOAD_URL}/board.mp4?partNumber=1&X-Amz-Signature=…",
                    "headers": {"Content-Length": "67108864"},
                    "size": 67108864,
                }
            ],
            "expires_at": "2030-01-01T13:00:00Z",
        }
    )

    parts: list[PartBody]
    expires_at: datetime


class UploadedPartBody(BaseModel):
    """A part that has arrived."""

    number: int
    size: int
    etag: str


class UploadStateBody(BaseModel):
    """How far an upload in parts is: send what is not in `uploaded`, then complete it."""

    model_config = examples.shown(
        {
            "method": "MULTIPART",
            "part_size": 67108864,
            "parts": 32,
            "size": 2147483648,
            "uploaded": [{"number": 1, "size": 67108864, "etag": '"9b2cf535f27731c9"'}],
            "expires_at": "2030-01-03T10:00:00Z",
        }
    )

    method: Literal["MULTIPART"] = "MULTIPART"
    part_size: int
    parts: int
    size: int
    uploaded: list[UploadedPartBody]
    expires_at: datetime = Field(description="The upload has to be completed before")

    @classmethod
    def of(cls, state: UploadState) -> Self:
        """From the domain."""
        return cls(
            part_size=state.part_size,
            parts=state.parts,
            size=state.size,
            uploaded=[
                UploadedPartBody(number=part.number, size=part.size, etag=part.etag)
                for part in state.uploaded
            ],
            expires_at=state.expires_at,
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

    model_config = examples.shown(examples.JOB)

    job_id: str
    status: JobStatus
    model: str
    name: str | None = Field(None, description="Of the file")
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
    metadata: dict[str, str]
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
            name=view.name,
            created_at=view.created_at,
            upload_expires_at=view.upload_expires_at if awaiting else None,
            started_at=started,
            finished_at=outcome.finished_at if outcome else None,
            attempt=outcome.attempt if outcome else (lease.attempt if lease else None),
            progress=progress,
            cancel_requested=True if view.cancel_requested else None,
            error=outcome.error if outcome else None,
            usage=outcome.usage if outcome else None,
            metadata=view.metadata,
            links=Links.of(view.ref.job_id),
        )


class JobList(BaseModel):
    """Some of your jobs, newest first. A page may be short, or empty, and not be the last."""

    model_config = examples.shown({"data": [examples.JOB], "next_cursor": None})

    data: list[JobBody]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last")


class MediaBody(BaseModel):
    """Where the media of a job is, for a while."""

    model_config = examples.shown(
        {
            "url": f"{examples.UPLOAD_URL}/meeting.mp3?X-Amz-Signature=…",
            "expires_at": "2030-01-01T13:00:00Z",
        }
    )

    url: str
    expires_at: datetime


class UsageBody(BaseModel):
    """What the jobs that ended in a month have cost."""

    model_config = examples.shown({"month": "2030-01", "jobs": 1204, "audio_s": 861231.4})

    month: str = Field(description="yyyy-mm, in UTC")
    jobs: int = Field(description="Jobs that succeeded; deleted ones count too")
    audio_s: float = Field(description="Seconds of their audio")


class TranscribedBody(BaseModel):
    """What a Whisper API answers."""

    model_config = examples.shown({"text": "The quick brown fox.", "language": "en"})

    text: str
    language: str


class PendingBody(BaseModel):
    """The transcript is not there yet; the job goes on, and its address says how it is."""

    model_config = examples.shown(
        {"job_id": examples.JOB_ID, "status": "queued", "links": examples.LINKS}
    )

    job_id: str
    status: JobStatus
    links: Links


class ResultBody(TranscribedBody):
    """A finished job's text."""

    model_config = examples.shown(
        {
            "text": "The quick brown fox.",
            "language": "en",
            "job_id": examples.JOB_ID,
            "model": "tiny.en",
            "duration": 2.889,
        }
    )

    job_id: str
    model: str
    duration: float


class ModelBody(BaseModel):
    """A model in the list."""

    model_config = examples.shown(examples.MODEL)

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None


class ModelList(BaseModel):
    """The models that the key may use, in OpenAI's form."""

    model_config = examples.shown(
        {
            "object": "list",
            "data": [examples.MODEL],
        }
    )

    object: Literal["list"] = "list"
    data: list[ModelBody]


class HealthBody(BaseModel):
    """The API answers; what its workers have loaded."""

    model_config = examples.shown(
        {"status": "ok", "version": "1.0.0", "workers": 1, "jobs": 2, "models_loaded": ["tiny.en"]}
    )

    status: Literal["ok"]
    version: str
    workers: int
    jobs: int = Field(description="Jobs in flight on all workers")
    models_loaded: list[str]
