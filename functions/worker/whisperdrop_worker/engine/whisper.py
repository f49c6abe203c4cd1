"""``Engine`` on Whisper models: the front end of each job, and one scheduler for all of them."""

import math
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.transcript import Transcript
from whisperdrop.errors import InvalidValueError
from whisperdrop_worker.engine.attempts import Encoding
from whisperdrop_worker.engine.chapters import Chapters, grid_of
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.interface import (
    Checkpoints,
    EngineDefaults,
    EngineResult,
    Grid,
    Heard,
    OnProgress,
    Priority,
    SampleStream,
    Stretch,
)
from whisperdrop_worker.engine.language import DocumentLanguage
from whisperdrop_worker.engine.recognizer import Prompt, Recognizer, Style
from whisperdrop_worker.engine.scheduler import Lane, Scheduler
from whisperdrop_worker.engine.transcription import Transcription
from whisperdrop_worker.engine.windows import Cutting
from whisperdrop_worker.model_pool import LoadedModel, ModelPool

CPU_BATCH = 8
GPU_BATCH = 16
"""Windows in one call, at most. Each step of the decoder reads its weights once for a batch."""

CPU_CALL_AUDIO_S = 100.0
"""Encoded seconds in one call on a CPU: four long windows or eight clips. More would gain
little there, and a killed worker's next attempt repeats what was in flight."""


@dataclass(frozen=True)
class Tuning:
    """How recordings are cut, encoded and guarded.

    Multilingual models lose words at less silence than models of English alone: docs/engine.md.
    """

    cutting: Cutting = field(default_factory=Cutting)
    encoding: Encoding = field(default_factory=Encoding)
    multilingual: Encoding = field(default_factory=partial(Encoding, pad_s=4.0, step_s=2.0))
    guard: Guard = field(default_factory=Guard)


class WhisperEngine:
    """``Engine``: windows at their own length, batched over jobs, guarded, stitched."""

    def __init__(
        self,
        pool: ModelPool,
        *,
        calls: int = 2,
        max_batch: int | None = None,
        defaults: EngineDefaults | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        """``calls`` into the model at a time, of up to ``max_batch`` windows each; None means
        ``CPU_BATCH`` or ``GPU_BATCH``."""
        self._pool = pool
        self._defaults = defaults or EngineDefaults()
        self._tuning = tuning or Tuning()
        self._lock = threading.Lock()
        self._recognizers = WeakKeyDictionary[LoadedModel, Recognizer]()
        on_gpu = pool.device == "cuda"
        self._scheduler = Scheduler(
            calls=calls,
            max_batch=max_batch or (GPU_BATCH if on_gpu else CPU_BATCH),
            call_audio_s=math.inf if on_gpu else CPU_CALL_AUDIO_S,
        )

    def preload(self, models: Iterable[str]) -> None:
        """See ``Engine``."""
        self._pool.preload(models)

    def loaded(self) -> tuple[str, ...]:
        """See ``Engine``."""
        return self._pool.loaded()

    def close(self) -> None:
        """See ``Engine``."""
        self._scheduler.close()
        self._pool.close()

    def transcribe(
        self,
        audio: SampleStream,
        *,
        job_id: str,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
        priority: Priority = Priority.BULK,
        checkpoints: Checkpoints | None = None,
    ) -> EngineResult:
        """See ``Engine``."""
        with ExitStack() as stack:
            stack.enter_context(closing(audio))
            job, lane, load_s = self._begin(
                stack, model, options, on_progress, priority, checkpoints=checkpoints
            )
            chapters = job.chapters(self._tuning.cutting, skip_silence=self._skip_silence(options))
            job.run(chapters, audio)
        transcript = Transcript(
            job_id=job_id,
            model=model,
            task=options.task,
            language=job.language.code,
            language_probability=job.language.probability,
            duration=chapters.seconds,
            duration_after_vad=round(job.window_s, 3),
            segments=job.segments,
        )
        return EngineResult(transcript, engine_s=lane.busy_s, load_s=load_s)

    @property
    def grid(self) -> Grid:
        """See ``Engine``."""
        return grid_of(self._tuning.cutting)

    def hear(
        self,
        audio: SampleStream,
        *,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
    ) -> Heard:
        """See ``Engine``."""
        with ExitStack() as stack:
            stack.enter_context(closing(audio))
            job, _, _ = self._begin(stack, model, options, on_progress, Priority.BULK)
            skip_silence = self._skip_silence(options)
            heard = job.hear(job.chapters(self._tuning.cutting, skip_silence=skip_silence), audio)
        return Heard(heard.code, heard.probability)

    def transcribe_chapters(
        self,
        audio: SampleStream,
        *,
        first: int,
        end: int | None,
        model: str,
        options: TranscribeOptions,
        language: str,
        on_progress: OnProgress,
    ) -> Stretch:
        """See ``Engine``."""
        with ExitStack() as stack:
            stack.enter_context(closing(audio))
            job, lane, load_s = self._begin(
                stack, model, options, on_progress, Priority.BULK, heard=DocumentLanguage(language)
            )
            chapters = Chapters(
                self._tuning.cutting,
                skip_silence=self._skip_silence(options),
                first=first,
                end=end,
                at=self.grid.needed(first),
            )
            job.run(chapters, audio)
        return Stretch(job.segments, round(job.window_s, 3), lane.busy_s, load_s)

    def _begin(
        self,
        stack: ExitStack,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
        priority: Priority,
        *,
        checkpoints: Checkpoints | None = None,
        heard: DocumentLanguage | None = None,
    ) -> tuple[Transcription, Lane, float]:
        """A job at its model until ``stack`` ends, and the seconds that loading took."""
        on_progress(Progress(stage="loading"))
        started = time.perf_counter()
        loaded = stack.enter_context(self._pool.hold(model))
        load_s = time.perf_counter() - started
        recognizer = self._recognizer(loaded)
        language = self._language(recognizer, model, options)
        lane = stack.enter_context(self._scheduler.open(recognizer, priority))
        tuning = self._tuning
        job = Transcription(
            lane,
            self._prompt(options, language),
            style=self._style(options),
            guard=self._guard(options),
            encoding=tuning.multilingual if recognizer.multilingual else tuning.encoding,
            on_progress=on_progress,
            checkpoints=checkpoints,
            in_flight=self._scheduler.calls * (self._scheduler.max_batch + 1),
            language=heard,
        )
        return job, lane, load_s

    def _recognizer(self, loaded: LoadedModel) -> Recognizer:
        """One for all jobs of a model: that is what lets them share a batch."""
        with self._lock:
            if loaded not in self._recognizers:
                self._recognizers[loaded] = Recognizer(loaded.whisper)
            return self._recognizers[loaded]

    def _prompt(self, options: TranscribeOptions, language: str | None) -> Prompt:
        return Prompt(
            language=language,
            task=options.task,
            text=options.prompt,
            hotwords=options.hotwords,
        )

    def _style(self, options: TranscribeOptions) -> Style:
        return Style(
            beam_size=options.beam_size or self._defaults.beam_size,
            temperature=options.temperature,
            words=options.word_timestamps,
            logprobs=options.logprobs,
        )

    def _guard(self, options: TranscribeOptions) -> Guard:
        # Who names a temperature wants that one.
        return replace(self._tuning.guard, ladder=()) if options.temperature else self._tuning.guard

    def _skip_silence(self, options: TranscribeOptions) -> bool:
        return self._defaults.vad_filter if options.vad_filter is None else options.vad_filter

    def _language(
        self, recognizer: Recognizer, model: str, options: TranscribeOptions
    ) -> str | None:
        """The language to force, or None to detect it. Refuses what would be silently wrong."""
        if not recognizer.multilingual:
            if options.task == "translate":
                raise InvalidValueError(
                    f"model {model!r} only knows English and cannot translate: choose a "
                    "multilingual model"
                )
            if options.language not in {None, "en"}:
                raise InvalidValueError(
                    f"model {model!r} only knows English: choose a multilingual model for "
                    f"language {options.language!r}"
                )
            return "en"
        language = options.language or self._defaults.language
        # Older models lack a token for Cantonese.
        if language and not recognizer.knows(language):
            raise InvalidValueError(f"model {model!r} does not know the language {language!r}")
        return language
