"""What the rest of the worker knows of the engine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment, Transcript

Samples = NDArray[np.float32]
"""Mono samples in [-1, 1) at 16 kHz."""

OnProgress = Callable[[Progress], None]


class Priority(IntEnum):
    """Who goes first. Within one priority the jobs share the model evenly."""

    INTERACTIVE = 0
    BULK = 1


class SampleStream(Protocol):
    """A recording that is read once, front to back."""

    def __iter__(self) -> Iterator[Samples]: ...

    def __next__(self) -> Samples: ...

    def close(self) -> None:
        """End whatever stands behind it."""
        ...

    @property
    def expected_s(self) -> float | None:
        """Its length in seconds as far as one knows before the end; a hint, never a limit."""
        ...


class Checkpoints(Protocol):
    """Where a job keeps what is finished, so that its next attempt does not do it again."""

    def load(self) -> Sequence[Part]:
        """What earlier attempts have saved, in order and without gaps."""
        ...

    def save(self, part: Part) -> None:
        """Keep ``part``. Raises what the caller of ``transcribe`` should see as the end of it."""
        ...


@dataclass(frozen=True)
class EngineResult:
    """A transcript and what it took.

    ``engine_s`` is the seconds in which a call into the model worked for this job (a batch counts
    for each of its jobs by its share), ``load_s`` the wall seconds spent getting the model into
    memory.
    """

    transcript: Transcript
    engine_s: float
    load_s: float


@dataclass(frozen=True)
class Cut:
    """Where a window lies in its recording: ``start`` and ``length`` in samples of 16 kHz.

    ``speech`` has the probability of speech as a byte for each 32 ms of it.
    """

    start: int
    length: int
    speech: bytes


@dataclass(frozen=True)
class Survey:
    """A recording of ``duration`` seconds, cut and not transcribed."""

    cuts: tuple[Cut, ...]
    language: str
    language_probability: float
    duration: float


@dataclass(frozen=True)
class Stretch:
    """Windows of a recording, transcribed: ``window_s`` is their length together, in seconds.

    ``engine_s`` and ``load_s`` are those of ``EngineResult``.
    """

    segments: tuple[Segment, ...]
    window_s: float
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
        audio: SampleStream,
        *,
        job_id: str,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
        priority: Priority = Priority.BULK,
        checkpoints: Checkpoints | None = None,
    ) -> EngineResult:
        """Transcribe ``audio`` as it comes in, in memory that does not grow with its length.

        ``on_progress`` is called for every block and every finished window; what it raises stops
        the work and comes out of here, as does what ``audio`` raises. ``audio`` is closed in any
        case. What ``checkpoints`` has is not transcribed again.

        Raises ModelUnavailableError, EmptyMediaError for no samples, InvalidValueError for
        options that the model cannot honour.
        """
        ...

    def survey(
        self,
        audio: SampleStream,
        *,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
    ) -> Survey:
        """Cut ``audio`` as ``transcribe`` would; the model hears no more than it takes to know the
        language. Raises as ``transcribe`` does.
        """
        ...

    def transcribe_windows(
        self,
        windows: Iterable[tuple[Cut, Samples]],
        *,
        model: str,
        options: TranscribeOptions,
        language: str,
        on_progress: OnProgress,
    ) -> Stretch:
        """Transcribe consecutive cuts of a survey, each with its samples, in bulk priority.

        With the survey's ``language``, the result is what ``transcribe`` makes of these windows.
        ``done_s`` of ``on_progress`` counts from the beginning of the recording. Raises as
        ``transcribe`` does, and what ``windows`` raises.
        """
        ...

    def close(self) -> None:
        """Give every model's memory back. Nothing can be transcribed after it."""
        ...
