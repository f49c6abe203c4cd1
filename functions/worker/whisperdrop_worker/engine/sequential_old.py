"""The engine: samples in, transcript out. Everything about Whisper stays behind ``Engine``."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.transcript import Segment, Transcript, Word
from whisperdrop.errors import EmptyMediaError, InvalidValueError, ModelUnavailableError
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.models import ModelResolver

_logger = logging.getLogger(__name__)

__all__ = [
    "Engine",
    "EngineDefaults",
    "EngineResult",
    "FasterWhisperEngine",
    "OnProgress",
    "Progress",
]


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class EngineResult:
    """A transcript and the wall seconds it took.

    ``engine_s`` is time in the model (voice detection included), ``load_s`` time spent getting
    the model into memory. Decoding and progress callbacks are in neither.
    """

    transcript: Transcript
    engine_s: float
    load_s: float


@dataclass(frozen=True)
class EngineDefaults:
    """What applies where a job's options say nothing."""

    beam_size: int = 5
    vad_filter: bool = True
    language: str | None = None


class Engine(Protocol):
    """Turns samples into a transcript. Called from several threads at once."""

    def preload(self, models: Iterable[str]) -> None:
        """Load ``models`` now, so that no job waits for it. Raises ModelUnavailableError."""
        ...

    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory, sorted."""
        ...

    def transcribe(
        self,
        blocks: Iterator[NDArray[np.float32]],
        *,
        job_id: str,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
    ) -> EngineResult:
        """Transcribe ``blocks`` of float32 mono samples in [-1, 1) at 16 kHz.

        ``on_progress`` is called for every block and every segment; what it raises stops the work
        and comes out of here, as does what ``blocks`` raises. ``blocks`` is closed in any case.

        Raises ModelUnavailableError, EmptyMediaError for no samples, InvalidValueError for
        options that the model cannot honour.
        """
        ...


class FasterWhisperEngine:
    """``Engine`` on faster-whisper's own sequential ``transcribe``."""

    def __init__(
        self,
        resolver: ModelResolver,
        *,
        device: str = "auto",
        compute_type: str | None = None,
        cpu_threads: int = 1,
        num_workers: int = 2,
        defaults: EngineDefaults | None = None,
    ) -> None:
        """``compute_type`` None means int8 on a CPU and float16 on a GPU.

        Each model runs up to ``num_workers`` jobs at once on ``cpu_threads`` threads each.
        """
        self._resolver = resolver
        self._device = device
        self._compute_type = compute_type
        self._cpu_threads = cpu_threads
        self._num_workers = num_workers
        self._defaults = defaults or EngineDefaults()
        self._models: dict[str, WhisperModel] = {}
        self._by_directory: dict[Path, WhisperModel] = {}
        self._loading = threading.Lock()
        # More calls than workers only take the cores from each other. Held for one window at a
        # time, so that a clip waits for a window of a long recording and not for its end.
        self._turn = threading.BoundedSemaphore(num_workers)

    def preload(self, models: Iterable[str]) -> None:
        """See ``Engine``."""
        for name in models:
            self._model(name)

    def loaded(self) -> tuple[str, ...]:
        """See ``Engine``."""
        return tuple(sorted(self._models.copy()))

    def transcribe(
        self,
        blocks: Iterator[NDArray[np.float32]],
        *,
        job_id: str,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
    ) -> EngineResult:
        """See ``Engine``."""
        try:
            on_progress(Progress(stage="loading"))
            started = time.perf_counter()
            whisper = self._model(model)
            load_s = time.perf_counter() - started
            language = self._language(whisper, model, options)
            audio = _collect(blocks, on_progress)
        finally:
            _close(blocks)  # whatever happened: the decoder behind it ends now
        clock = _Stopwatch()
        segments, info = self._segments(whisper, audio, language, options, on_progress, clock)
        transcript = Transcript(
            job_id=job_id,
            model=model,
            task=options.task,
            language=info.language,
            language_probability=float(info.language_probability),
            duration=len(audio) / SAMPLE_RATE,
            duration_after_vad=float(info.duration_after_vad),
            segments=tuple(segments),
        )
        return EngineResult(transcript, engine_s=clock.seconds, load_s=load_s)

    def _segments(
        self,
        whisper: WhisperModel,
        audio: NDArray[np.float32],
        language: str | None,
        options: TranscribeOptions,
        on_progress: OnProgress,
        clock: "_Stopwatch",
    ) -> tuple[list[Segment], Any]:
        """The segments, and what faster-whisper says of the recording as a whole."""
        total_s = len(audio) / SAMPLE_RATE
        on_progress(Progress(stage="transcribing", total_s=total_s))
        segments: list[Segment] = []
        with self._turn, clock:
            lazily, info = whisper.transcribe(audio, language=language, **self._arguments(options))
            found = iter(lazily)
        while True:
            with self._turn, clock:  # the model works here, one window at a time
                segment = next(found, None)
            if segment is None:
                return segments, info
            segments.append(_segment(len(segments), segment))
            done_s = min(segments[-1].end, total_s)
            on_progress(Progress(stage="transcribing", done_s=done_s, total_s=total_s))

    def _arguments(self, options: TranscribeOptions) -> dict[str, Any]:
        defaults = self._defaults
        arguments: dict[str, Any] = {
            "task": options.task,
            "beam_size": options.beam_size or defaults.beam_size,
            "vad_filter": (
                defaults.vad_filter if options.vad_filter is None else options.vad_filter
            ),
            "initial_prompt": options.prompt,
            "hotwords": options.hotwords,
            "word_timestamps": options.word_timestamps,
        }
        if options.temperature:  # 0 is faster-whisper's own ladder from 0 to 1
            arguments["temperature"] = options.temperature
        return arguments

    def _language(
        self, whisper: WhisperModel, model: str, options: TranscribeOptions
    ) -> str | None:
        """The language to force, or None to detect it. Refuses what would be silently wrong."""
        if not whisper.model.is_multilingual:
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
        if language and whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
            raise InvalidValueError(f"model {model!r} does not know the language {language!r}")
        return language

    def _model(self, name: str) -> WhisperModel:
        ready = self._models.get(name)
        if ready is not None:
            return ready
        with self._loading:
            if name not in self._models:
                directory = self._resolver.resolve(name)
                if directory not in self._by_directory:  # aliases share one
                    self._by_directory[directory] = self._load(name, directory)
                self._models[name] = self._by_directory[directory]
            return self._models[name]

    def _load(self, name: str, directory: Path) -> WhisperModel:
        device = self._device
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        compute_type = self._compute_type or ("float16" if device == "cuda" else "int8")
        try:
            whisper = WhisperModel(
                str(directory),
                device=device,
                compute_type=compute_type,
                cpu_threads=self._cpu_threads,
                num_workers=self._num_workers,
                local_files_only=True,
            )
        except Exception as error:
            # CTranslate2 and tokenizers raise whatever they like, with paths in it.
            _logger.exception("a model cannot be loaded")
            raise ModelUnavailableError(
                f"model {name!r} cannot be loaded with compute type {compute_type} on {device}; "
                "the worker's log says why"
            ) from error
        mels = len(whisper.feature_extractor.mel_filters)
        if mels != whisper.model.n_mels:
            raise ModelUnavailableError(
                f"model {name!r} lacks its preprocessor_config.json: it wants "
                f"{whisper.model.n_mels} mel bands and would get {mels}"
            )
        return whisper


class _Stopwatch:
    """Sum of the wall seconds spent inside its ``with`` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since


def _close(blocks: Iterator[NDArray[np.float32]]) -> None:
    close = getattr(blocks, "close", None)  # generators have one, other iterators need none
    if close is not None:
        close()


def _collect(blocks: Iterator[NDArray[np.float32]], on_progress: OnProgress) -> NDArray[np.float32]:
    """All of ``blocks`` as one array.

    They wait as the 16-bit samples they were, which is exact and half the memory: a file over the
    limit of duration is only found out at the end.
    """
    waiting: list[NDArray[np.int16]] = []
    count = 0
    for block in blocks:
        waiting.append((block * 32768.0).astype(np.int16))
        count += len(block)
        on_progress(Progress(stage="decoding", done_s=count / SAMPLE_RATE))
    if count == 0:
        raise EmptyMediaError("the recording has no samples")
    audio = np.empty(count, np.float32)
    start = 0
    for samples in waiting:
        audio[start : start + len(samples)] = samples
        start += len(samples)
    audio /= 32768.0
    return audio


def _segment(number: int, segment: Any) -> Segment:
    return Segment(
        id=number,
        seek=segment.seek,
        start=float(segment.start),
        end=float(segment.end),
        text=segment.text,
        tokens=tuple(segment.tokens),
        temperature=float(segment.temperature),
        avg_logprob=_finite(segment.avg_logprob),
        compression_ratio=_finite(segment.compression_ratio),
        no_speech_prob=_finite(segment.no_speech_prob),
        words=None if segment.words is None else _words(segment.words),
    )


def _finite(value: float) -> float:
    """``value``, or 0 for a NaN or infinity: JSON has neither."""
    return float(value) if math.isfinite(value) else 0.0


def _words(words: Sequence[Any]) -> tuple[Word, ...]:
    return tuple(
        Word(
            word=word.word,
            start=float(word.start),
            end=float(word.end),
            probability=min(1.0, max(0.0, float(word.probability))),
        )
        for word in words
    )
