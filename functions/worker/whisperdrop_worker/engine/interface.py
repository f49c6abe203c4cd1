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
class Grid:
    """Where a recording may be parted into chapters; in samples, by the clock alone.

    The second chapter begins after ``first``, each further one after another ``chapter``, or up to
    ``boundary`` later; its voice detector begins ``warm_up`` earlier.
    """

    first: int
    chapter: int
    boundary: int
    warm_up: int

    def needed(self, chapter: int) -> int:
        """The first sample that one must have to cut ``chapter``."""
        return max(0, self.earliest(chapter) - self.warm_up)

    def earliest(self, chapter: int) -> int:
        """Where ``chapter`` begins at the earliest."""
        return self.first + (chapter - 1) * self.chapter if chapter else 0

    def decided(self, chapter: int) -> int:
        """The sample before which it is known where ``chapter`` begins.

        A recording that is shorter has no such chapter.
        """
        return self.earliest(chapter) + self.boundary if chapter else 0

    def count(self, samples: int) -> int:
        """The chapters of a recording of so many ``samples``."""
        return 1 + max(0, samples - self.decided(1) + self.chapter) // self.chapter


@dataclass(frozen=True)
class Heard:
    """What a recording is spoken in, and how sure that is."""

    language: str
    probability: float


@dataclass(frozen=True)
class Stretch:
    """Chapters of a recording, transcribed.

    ``window_s`` is the length of their windows together, in seconds; ``engine_s`` and ``load_s``
    are those of ``EngineResult``.
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

    @property
    def grid(self) -> Grid:
        """Where recordings are parted into chapters."""
        ...

    def hear(
        self,
        audio: SampleStream,
        *,
        model: str,
        options: TranscribeOptions,
        on_progress: OnProgress,
    ) -> Heard:
        """The language that ``transcribe`` would find; reads no more of ``audio`` than that takes.

        Closes ``audio``, and raises as ``transcribe`` does.
        """
        ...

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
        """Transcribe the chapters from ``first`` up to ``end`` (exclusive), in bulk priority.

        ``audio`` begins with the first sample that ``grid`` says is needed for that, and may end
        with the last one; ``end`` None is the end of the recording. With the language that ``hear``
        found, the result is what ``transcribe`` makes of these chapters: nothing where the
        recording does not have them. ``done_s`` of ``on_progress`` counts from the beginning of the
        recording. Closes ``audio``, and raises as ``transcribe`` does.
        """
        ...

    def close(self) -> None:
        """Give every model's memory back. Nothing can be transcribed after it."""
        ...
