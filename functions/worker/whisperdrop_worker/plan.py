"""How several workers share a long recording: its windows, in spans of some minutes.

A plan has the exact boundaries of every window and the voice detector's bytes, so whoever
transcribes a span makes of it what one worker would have made of it alone.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from whisperdrop.domain.job import JobRequest
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Transcript
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Cut, Survey

PLAN_VERSION = 1
"""The plans that this version writes, and the only ones that it works by."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class PlannedWindow(_Document):
    """``Cut`` as it is stored: samples from the beginning, and base64 of the speech bytes."""

    start: int
    length: int
    speech: str


@dataclass(frozen=True)
class Span:
    """Consecutive windows, ``first_window`` to ``end_window`` (exclusive).

    ``begin_s`` is where the span before ends, so that all spans together are the recording up to
    its last window. Seconds.
    """

    n: int
    first_window: int
    end_window: int
    begin_s: float
    end_s: float
    cuts: tuple[Cut, ...]


class Plan(_Document):
    """``jobs/{tenant}/{job}/plan.json``: write-once. ``duration`` in seconds.

    ``ends`` has for each span the window after its last one.
    """

    version: int = PLAN_VERSION
    windows: tuple[PlannedWindow, ...]
    ends: tuple[int, ...]
    language: str
    language_probability: float
    duration: float

    @classmethod
    def of(cls, survey: Survey, span_s: float) -> "Plan":
        """``survey`` in spans of about ``span_s`` seconds."""
        return cls(
            windows=tuple(
                PlannedWindow(
                    start=cut.start,
                    length=cut.length,
                    speech=base64.b64encode(cut.speech).decode(),
                )
                for cut in survey.cuts
            ),
            ends=_ends(survey.cuts, span_s),
            language=survey.language,
            language_probability=survey.language_probability,
            duration=survey.duration,
        )

    def span(self, n: int) -> Span:
        """The ``n``-th span, from 0."""
        first, end = self.ends[n - 1] if n else 0, self.ends[n]
        return Span(
            n,
            first,
            end,
            begin_s=self._end_s(first),
            end_s=self._end_s(end),
            cuts=tuple(
                Cut(window.start, window.length, base64.b64decode(window.speech))
                for window in self.windows[first:end]
            ),
        )

    def length_s(self, n: int) -> float:
        """Seconds from the beginning of the ``n``-th span to its end."""
        return self._end_s(self.ends[n]) - self._end_s(self.ends[n - 1] if n else 0)

    def holds(self, part: Part, n: int) -> bool:
        """Whether ``part`` is what the ``n``-th span became."""
        first = self.ends[n - 1] if n else 0
        return (part.n, part.first_window, part.end_window) == (n, first, self.ends[n])

    def transcript(self, request: JobRequest, parts: Sequence[Part]) -> Transcript:
        """What all ``parts`` in order are together."""
        segments = (segment for part in parts for segment in part.segments)
        return Transcript(
            job_id=request.job_id,
            model=request.model,
            task=request.options.task,
            language=self.language,
            language_probability=self.language_probability,
            duration=self.duration,
            duration_after_vad=round(sum(part.window_s for part in parts), 3),
            segments=tuple(
                segment.model_copy(update={"id": number}) for number, segment in enumerate(segments)
            ),
        )

    def _end_s(self, windows: int) -> float:
        """Where the last of the first ``windows`` windows ends."""
        if windows == 0:
            return 0.0
        last = self.windows[windows - 1]
        return (last.start + last.length) / SAMPLE_RATE


def _ends(cuts: Sequence[Cut], span_s: float) -> tuple[int, ...]:
    ends: list[int] = []
    begin_s = 0.0
    for number, cut in enumerate(cuts, 1):
        end_s = (cut.start + cut.length) / SAMPLE_RATE
        if end_s - begin_s >= span_s:
            ends.append(number)
            begin_s = end_s
    if ends and ends[-1] != len(cuts):
        rest_s = (cuts[-1].start + cuts[-1].length) / SAMPLE_RATE - begin_s
        if rest_s < span_s / 2:  # no worker begins for so little
            ends.pop()
    if cuts and (not ends or ends[-1] != len(cuts)):
        ends.append(len(cuts))
    return tuple(ends)
