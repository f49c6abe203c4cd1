"""What the server answers, as frozen dataclasses. Times are aware, durations in seconds, sizes in
bytes; ``raw`` is the answer itself, with whatever a newer server puts there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict

Format = Literal["json", "verbose_json", "txt", "srt", "vtt", "tsv"]
FINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})
"""Statuses that never change again."""


class Options(TypedDict, total=False):
    """Options of a transcription; what is left out is the server's choice."""

    language: str
    task: Literal["transcribe", "translate"]
    prompt: str
    hotwords: str
    temperature: float
    beam_size: int
    vad_filter: bool
    word_timestamps: bool


class NewJob(Options, total=False):
    """One item of a batch; ``filename`` is needed."""

    filename: str
    size: int
    content_type: str
    upload: Literal["put", "post", "multipart"]
    model: str
    metadata: dict[str, str]
    content_sha256: str
    webhook_url: str
    retention_days: int


class Cues(TypedDict, total=False):
    """Rules for subtitles; what is left out is the server's default."""

    max_line_chars: int
    max_lines: int
    max_cue_seconds: float
    min_cue_seconds: float
    max_chars_per_second: float


@dataclass(frozen=True)
class Upload:
    """How to send the media: ``PUT`` with headers, ``POST`` as a form, ``MULTIPART`` by parts."""

    method: str
    expires_at: datetime
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    part_size: int | None = None
    parts: int | None = None


@dataclass(frozen=True)
class CreatedJob:
    """A job, and where its media goes; ``upload`` is None when the server has the media already."""

    job_id: str
    status: str
    model: str
    created_at: datetime
    deduplicated: bool = False
    upload: Upload | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Failure:
    """Stable code, and a message for a person."""

    code: str
    message: str


@dataclass(frozen=True)
class Refusal:
    """Why an item of a batch became no job."""

    code: str
    detail: str


@dataclass(frozen=True)
class BatchItem:
    """What became of one item of a batch: a job or a refusal."""

    index: int
    job: CreatedJob | None = None
    error: Refusal | None = None


@dataclass(frozen=True)
class Progress:
    """How far a running job is."""

    stage: str
    done_s: float = 0.0
    percent: float | None = None
    total_s: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True)
class JobUsage:
    """What a job cost."""

    audio_s: float
    engine_s: float
    model: str
    load_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """A job as it was when it was asked for."""

    job_id: str
    status: str
    model: str
    created_at: datetime
    name: str | None = None
    upload_expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int | None = None
    progress: Progress | None = None
    cancel_requested: bool | None = None
    error: Failure | None = None
    usage: JobUsage | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether it can never change again."""
        return self.status in FINAL

    @property
    def succeeded(self) -> bool:
        """Whether there is a transcript."""
        return self.status == "succeeded"


@dataclass(frozen=True)
class JobPage:
    """One page of the list; ``next_cursor`` is None on the last."""

    data: tuple[Job, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class UploadedPart:
    """A part that the store has."""

    number: int
    size: int
    etag: str = ""


@dataclass(frozen=True)
class UploadState:
    """How far an upload by parts is."""

    method: str
    part_size: int
    parts: int
    size: int
    uploaded: tuple[UploadedPart, ...] = ()


@dataclass(frozen=True)
class SignedPart:
    """Where to PUT one part."""

    number: int
    url: str
    size: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SignedParts:
    """Addresses for some parts."""

    parts: tuple[SignedPart, ...]


@dataclass(frozen=True)
class Word:
    """One word."""

    word: str
    start: float
    end: float
    probability: float = 1.0


@dataclass(frozen=True)
class Segment:
    """A stretch of speech."""

    id: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...] | None = None
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    compression_ratio: float = 0.0
    temperature: float = 0.0
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """A transcript with its times."""

    text: str
    language: str
    duration: float
    segments: tuple[Segment, ...]
    job_id: str = ""
    model: str = ""
    task: str = "transcribe"
    language_probability: float = 1.0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class JobEvent:
    """The job's status or progress changed, or (``end``) it has ended."""

    job: Job
    end: bool = False


@dataclass(frozen=True)
class SegmentEvent:
    """A segment is finished."""

    segment: Segment


Event = JobEvent | SegmentEvent


@dataclass(frozen=True)
class Model:
    """A model that the key may use."""

    id: str
    created: int = 0
    owned_by: str = ""


@dataclass(frozen=True)
class Usage:
    """What the tenant used in a month (``yyyy-mm``)."""

    month: str
    jobs: int
    audio_s: float


@dataclass(frozen=True)
class Health:
    """The server answers."""

    status: str
    version: str = ""
    workers: int = 0
    jobs: int = 0
    models_loaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiKey:
    """What the server knows of a key; ``digest`` is the SHA-256 of the key, and its name."""

    digest: str
    tenant: str
    name: str
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    max_upload_bytes: int | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class CreatedKey(ApiKey):
    """A new key; ``key`` is shown this once."""

    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Webhook:
    """The tenant's default webhook."""

    url: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver a webhook; ``ms`` is how long it took."""

    id: str
    attempt: int
    at: datetime
    url: str
    delivered: bool
    status: int | None = None
    error: str | None = None
    ms: float | None = None
