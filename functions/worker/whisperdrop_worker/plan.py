"""How several workers share a long recording: its chapters, in spans of one or more.

Chapters are cut without regard to each other, so a plan has nothing of what is in them: whoever
transcribes a span finds in it what one worker would have found there alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from whisperdrop.domain.job import JobRequest
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Transcript
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Grid, Heard

PLAN_VERSION = 2
"""The plans that this version writes, and the only ones that it works by. Goes up whenever
recordings are cut in another way."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


@dataclass(frozen=True)
class Span:
    """Consecutive chapters, from ``first`` up to ``end`` (exclusive).

    The ``last`` one goes on to the end of the recording, whatever was planned. Seconds are by the
    clock: chapters begin somewhat later.
    """

    n: int
    first: int
    end: int
    begin_s: float
    end_s: float
    last: bool

    @property
    def until(self) -> int | None:
        """``end``, as the engine wants to know it."""
        return None if self.last else self.end


class Plan(_Document):
    """``jobs/{tenant}/{job}/plan.json``: write-once. Seconds.

    ``ends`` has for each span the chapter after its last one. ``duration`` may be an estimate.
    """

    version: int = PLAN_VERSION
    first_chapter_s: float
    chapter_s: float
    ends: tuple[int, ...]
    language: str
    language_probability: float
    duration: float

    @classmethod
    def of(cls, heard: Heard, grid: Grid, duration: float, ends: Sequence[int]) -> "Plan":
        """A recording of about ``duration`` in the spans that end before the chapters ``ends``."""
        return cls(
            first_chapter_s=grid.first / SAMPLE_RATE,
            chapter_s=grid.chapter / SAMPLE_RATE,
            ends=tuple(ends),
            language=heard.language,
            language_probability=heard.probability,
            duration=duration,
        )

    def span(self, n: int) -> Span:
        """The ``n``-th span, from 0."""
        first, end = self._first(n), self.ends[n]
        last = n == len(self.ends) - 1
        begin_s = self._begin_s(first)
        end_s = max(begin_s, self.duration) if last else self._begin_s(end)
        return Span(n, first, end, begin_s, end_s, last)

    def length_s(self, n: int) -> float:
        """Seconds from the beginning of the ``n``-th span to its end."""
        span = self.span(n)
        return span.end_s - span.begin_s

    def holds(self, part: Part, n: int) -> bool:
        """Whether ``part`` is what the ``n``-th span became."""
        return (part.n, part.first_window, part.end_window) == (n, self._first(n), self.ends[n])

    def transcript(self, request: JobRequest, parts: Sequence[Part]) -> Transcript:
        """What all ``parts`` in order are together."""
        segments = (segment for part in parts for segment in part.segments)
        found = parts[-1].duration
        return Transcript(
            job_id=request.job_id,
            model=request.model,
            task=request.options.task,
            language=self.language,
            language_probability=self.language_probability,
            duration=self.duration if found is None else found,
            duration_after_vad=round(sum(part.window_s for part in parts), 3),
            segments=tuple(
                segment.model_copy(update={"id": number}) for number, segment in enumerate(segments)
            ),
        )

    def _begin_s(self, chapter: int) -> float:
        return self.first_chapter_s + (chapter - 1) * self.chapter_s if chapter else 0.0

    def _first(self, n: int) -> int:
        return self.ends[n - 1] if n else 0


def span_ends(chapters: int, most: int, workers: int | None) -> tuple[int, ...]:
    """Where spans of up to ``most`` chapters end, for about so many ``workers``; None: who knows.

    Long spans first, as they cost fewer claims, then shorter and shorter ones: so all workers come
    to their end at about the same time. The first chapter is long by itself.
    """
    ends: list[int] = []
    done = 0
    while done < chapters:
        left = chapters - done
        size = most if workers is None else min(most, max(1, left // (2 * workers)))
        size = size if done else 1
        done += left if left < 1.5 * size else size  # no worker begins for so little
        ends.append(done)
    return tuple(ends)
