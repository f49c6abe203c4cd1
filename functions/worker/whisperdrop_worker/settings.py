"""The worker's environment."""

import os
import secrets
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from whisperdrop.settings import CoreSettings


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fresh_id() -> str:
    return f"{socket.gethostname().lower()}-{secrets.token_hex(4)}"


class WorkerSettings(CoreSettings):
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

    model_calls: int = Field(default_factory=lambda: min(4, _cores()), ge=1)
    """Calls into the model at the same time. Default: one per core, at most 4."""

    worker_slots: int | None = Field(None, ge=1)
    """Jobs held at the same time. Default: `MODEL_CALLS` plus one, because one slot takes
    interactive jobs only."""

    model_dir: Path = Path(".local/models")
    """Directory for models that were downloaded or joined from parts."""

    scratch_dir: Path = Path(".local/scratch")
    """Directory for media while it is decoded; each job has a private directory below it."""

    max_media_bytes: int = Field(5 * 1024**3, ge=1)
    """Largest file that is fetched, in bytes. Default: what a single S3 PUT can carry."""

    max_audio_seconds: float = Field(4 * 3600, gt=0)
    """Longest audio that is transcribed, in seconds. Default: 4 h, about 2 GB of memory with the
    present engine, which holds the whole recording. A file that hides its length is refused after
    so much of it: 740 MB of the worker's memory with the default."""

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

    max_failures: int = Field(4, ge=1)
    """Failed attempts, deaths of workers included, before a job fails for good. Below the queues'
    five receives, so that the fifth delivery says why. A job handed back does not count."""

    receive_wait_seconds: int = Field(5, ge=0, le=20)
    """Long poll of a queue, in seconds: the longest that an idle worker takes to stop."""

    shutdown_seconds: float = Field(25, gt=0)
    """After SIGTERM, how long the worker waits for its jobs to be handed back; below the 30 s that
    ECS and Docker leave before SIGKILL."""

    worker_id: str = Field(default_factory=_fresh_id)
    """Name of this process in leases and reports."""

    @property
    def slots(self) -> int:
        """Jobs held at the same time."""
        return self.worker_slots or self.model_calls + 1
