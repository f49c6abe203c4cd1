"""The worker's environment."""

import os
import secrets
import socket
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from whisperdrop.settings import MetricsSettings, PulseSettings


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fresh_id() -> str:
    return f"{socket.gethostname().lower()}-{secrets.token_hex(4)}"


class WorkerSettings(MetricsSettings, PulseSettings):
    """Model, decoding limits, and how jobs are held."""

    whisper_device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU when there is one."""

    whisper_compute_type: str | None = None
    """CTranslate2 compute type; `int8` on a CPU and `float16` on a GPU when unset, the fastest that
    keep the error rate."""

    whisper_beam_size: int = Field(5, ge=1, le=10)
    """Beam width for requests that name none; 5 is Whisper's own."""

    whisper_vad_filter: bool = True
    """Skip what is not speech, for requests that do not say; without it Whisper invents text in
    silence."""

    whisper_language: str | None = None
    """Language of requests that name none, such as `en`; detected when unset."""

    cpu_threads: int = Field(default_factory=lambda: max(1, _cores() // min(4, _cores())), ge=1)
    """Threads of one call into the model. Default: the cores divided among the calls in flight;
    calls of one thread, side by side, beat one call of many threads."""

    batch_size: int | None = Field(None, ge=1)
    """Windows in one call into the model, at most; what waits is taken, nothing is waited for.
    Fewer where a call would last longer than a second or so. Default: 8 on a CPU, 16 on a GPU."""

    guard_loops: bool = True
    """Transcribe again what repeats itself (text that compresses too well, too many tokens)."""

    guard_confidence: bool = True
    """Transcribe again what the model itself finds unlikely."""

    guard_missing_words: bool = True
    """Transcribe again what has fewer words than its speech must have."""

    guard_silence: bool = True
    """Drop text where the model hears no speech."""

    guard_ladder: bool = True
    """Sample at rising temperatures where transcribing again at full length has not helped."""

    model_calls: int = Field(default_factory=lambda: min(4, _cores()), ge=1)
    """Calls into the model at the same time; while bulk jobs have them, one more for interactive
    ones. Default: one per core, at most 4."""

    interactive_slots: int = Field(16, ge=1)
    """Jobs of the interactive queue held at the same time, whatever the bulk queue holds. They take
    turns at the model; each costs its file on disk and a decoding process of some tens of MB."""

    bulk_slots: int = Field(8, ge=1)
    """Jobs of the bulk queue held at the same time, more than `MODEL_CALLS`, so that a short
    recording does not wait for the end of a few long ones. Each costs what an interactive one
    does."""

    model_memory_bytes: int | None = Field(None, ge=1)
    """What the weights of all models in memory may take together, in bytes; the least recently used
    go first. Default: half of the machine's (or container's) memory on a CPU, because loading a
    model takes up to twice its room and calls need some too; no limit on a GPU."""

    model_idle_seconds: float = Field(900, gt=0)
    """A model that was loaded on demand and that no job has used for so many seconds is unloaded;
    those in `WHISPER_MODELS` stay. Default: 15 min, many times what loading costs."""

    model_dir: Path = Path(".local/models")
    """Directory for models that were downloaded or joined from parts."""

    scratch_dir: Path = Path(".local/scratch")
    """Directory for media while it is decoded; each job has a private directory below it."""

    max_media_bytes: int = Field(5 * 1024**3, ge=1)
    """Largest file that is fetched, in bytes. Default: what a single S3 PUT can carry."""

    max_audio_seconds: float = Field(12 * 3600, gt=0)
    """Longest audio that is transcribed, in seconds; a file that hides its length is refused when
    so much of it was decoded. Default: 12 h. Memory does not grow with it."""

    decode_memory_bytes: int = Field(1024**3, ge=256 * 1024**2)
    """Address space of a decoding process, in bytes; a file that needs more fails alone."""

    decode_cpu_seconds: int = Field(900, ge=1)
    """CPU time of a decoding process, in seconds."""

    decode_idle_seconds: float = Field(60, gt=0)
    """A decoding process that yields nothing for so many seconds is ended."""

    lease_seconds: float = Field(120, ge=3)
    """How long a worker holds a job without a sign of life, in seconds; also how long its message
    stays hidden. Renewed every third of it."""

    progress_seconds: float = Field(5, gt=0)
    """Least time between two published states of progress, in seconds; each is one write."""

    cancel_poll_seconds: float = Field(1, gt=0)
    """How often a worker asks whether the job that it works on was cancelled, in seconds; each time
    is one small request to the store."""

    max_failures: int = Field(4, ge=1)
    """Failed attempts, deaths of workers included, before a job fails for good. Below the queues'
    five receives, so that the fifth delivery says why. A job handed back does not count."""

    fanout_min_seconds: float | None = Field(None, gt=0)
    """Bulk recordings of at least so many seconds of audio are shared among the workers that report
    themselves; never those of a single chapter, some ten minutes. Default: none; worth it from
    about half an hour on, with workers to spare."""

    fanout_span_seconds: float = Field(600, gt=0)
    """How many seconds of audio a worker claims at a time of a recording that is shared, at most.
    Whole chapters of two minutes, the first one ten; fewer towards the end."""

    fanout_always: bool = False
    """Share long recordings without looking for other workers: where they are started by the
    messages themselves, as in Lambda, and report nothing."""

    fanout_poll_seconds: float = Field(1, gt=0)
    """How often the holder of a shared recording looks what the others have done, in seconds; each
    time is a listing, and two while it has nothing to do itself."""

    receive_wait_seconds: int = Field(5, ge=0, le=20)
    """Long poll of a queue, in seconds: the longest that an idle worker takes to stop."""

    queues: Literal["both", "interactive", "bulk"] = "both"
    """Which queues this worker takes jobs from; the other one is left to other workers."""

    idle_exit_seconds: float | None = Field(None, gt=0)
    """A worker that has had nothing to do for so many seconds says so, looks at its queues once
    more, and exits with status 0: for workers that somebody starts again when there is work. While
    somebody wants workers kept warm, the last one stays. Default: never."""

    shutdown_seconds: float = Field(25, gt=0)
    """After SIGTERM, how long the worker waits for its jobs to be handed back; below the 30 s that
    ECS and Docker leave before SIGKILL, unless their `stopTimeout` says more (ECS: 120 s at most).
    What is handed back late, or not at all, waits until its lease ends."""

    worker_id: str = Field(default_factory=_fresh_id)
    """Name of this process in leases and reports."""

    @model_validator(mode="after")
    def _looks_well(self) -> Self:
        if self.idle_exit_seconds is not None and self.receive_wait_seconds < 1:
            # A short poll asks some of a queue's servers: its last look could miss a message.
            raise ValueError("IDLE_EXIT_SECONDS needs RECEIVE_WAIT_SECONDS of 1 or more")
        return self
