"""Whisperdrop's engine as the measurements call it: files in, text out, no queues, no storage."""

from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bench.recordings import Recording
from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop_worker.composition import build_engine
from whisperdrop_worker.engine import Engine, EngineResult, OnProgress, Priority, SampleStream
from whisperdrop_worker.settings import WorkerSettings

PriorityName = Literal["interactive", "bulk"]
BATCH_SETTING = "batch_size"
"""The worker's setting that says how many windows share a batch."""

_NO_QUEUES = {"bucket": "none", "interactive_queue_url": "none", "bulk_queue_url": "none"}
_CARRIED = "carried"


def call(
    engine: Engine,
    audio: SampleStream,
    *,
    job_id: str,
    model: str,
    language: str | None,
    priority: PriorityName,
    on_progress: OnProgress,
) -> EngineResult:
    """The one call into the engine."""
    return engine.transcribe(
        audio,
        job_id=job_id,
        model=model,
        options=TranscribeOptions(language=language),
        on_progress=on_progress,
        priority=Priority[priority.upper()],
    )


def worker_settings(model: str, **changed: Any) -> WorkerSettings:
    """The worker's settings with defaults and environment; ``model`` is a name or a directory."""
    if Path(model).is_dir():
        place = str(Path(model).resolve())
        changed |= {"whisper_aliases": {_CARRIED: place}, "whisper_models": (_CARRIED,)}
    else:
        changed |= {"whisper_models": (model,)}
    return WorkerSettings.model_validate(_NO_QUEUES | changed)


class LocalEngine:
    """Decoder and engine of a worker with one model. Safe to call from several threads."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._model = settings.whisper_models[0]
        self._decoder, self._engine = build_engine(settings)

    def __enter__(self) -> Self:
        self._decoder.warm()
        self._engine.preload([self._model])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._decoder.close()
        close = getattr(self._engine, "close", None)
        if close is not None:
            close()

    def transcribe(
        self,
        recording: Recording,
        *,
        priority: PriorityName = "bulk",
        on_progress: OnProgress = lambda _: None,
    ) -> str:
        """The text of ``recording``; what ``on_progress`` raises ends it and comes out of here."""
        result = call(
            self._engine,
            self._decoder.decode(recording.path),
            job_id=recording.name,
            model=self._model,
            language=recording.language,
            priority=priority,
            on_progress=on_progress,
        )
        return "".join(segment.text for segment in result.transcript.segments).strip()


def has_text(progress: Progress) -> bool:
    """Whether this is the news of transcribed audio, so that there is a first segment."""
    return progress.stage == "transcribing" and bool(progress.done_s)
