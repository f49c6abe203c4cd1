"""A recording in chapters of some minutes, each cut without regard to the others.

Where a chapter begins is decided by the samples around that place alone: by a voice detector that
begins a little before it, at a moment that the clock tells, and goes on through the chapter. So who
wants the windows of a chapter need not have listened to what comes before, and whoever cuts it,
alone or as one of many, finds the same.
"""

import numpy as np

from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine.interface import Grid, Samples
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech, SpeechDetector
from whisperdrop_worker.engine.windows import Cutting, Window, Windower, frames, quietest

_PAUSE_FRAMES = 7
"""Some 0.2 s; less is a stop within a word."""


def grid_of(cutting: Cutting) -> Grid:
    """In whole frames of the voice detector."""

    def samples(seconds: float) -> int:
        return FRAME_SAMPLES * frames(seconds)

    return Grid(
        first=samples(cutting.first_chapter_s),
        chapter=samples(cutting.chapter_s),
        boundary=samples(cutting.boundary_s),
        warm_up=samples(cutting.warm_up_s),
    )


class Chapters:
    """Cuts a recording that arrives in blocks; keeps no more of it than what is undecided."""

    def __init__(
        self,
        cutting: Cutting,
        *,
        skip_silence: bool = True,
        first: int = 0,
        end: int | None = None,
        at: int = 0,
        index: int = 0,
    ) -> None:
        """Windows of the chapters from ``first`` up to ``end`` (exclusive), from ``index`` on.

        The first sample that will be fed is the recording's sample ``at``; what comes before
        ``Grid.needed`` is dropped. ``skip_silence`` False makes all of it part of some window.
        """
        self._cutting = cutting
        self._skip_silence = skip_silence
        self._grid = grid_of(cutting)
        self._end = end
        self._at = at
        self._index = index
        self._windower: Windower | None = None
        self._begins: list[tuple[int, int]] = []
        self._next = max(first, 1)  # whose beginning is not known yet
        self._boundary: _Boundary | None = None
        if first == 0:
            self._begin(0, SpeechDetector(), 0)

    @property
    def seconds(self) -> float:
        """Where in the recording the samples end that were fed."""
        return self._at / SAMPLE_RATE

    @property
    def done(self) -> bool:
        """Whether every window of the chapters is out."""
        return self._end is not None and self._next > self._end

    @property
    def kept(self) -> int:
        """Samples in memory."""
        held = len(self._boundary.samples) if self._boundary else 0
        return held + (self._windower.kept if self._windower else 0)

    def begin_of(self, index: int) -> tuple[int, int]:
        """The chapter of window ``index``, and the window that it begins with."""
        return next(entry for entry in reversed(self._begins) if entry[1] <= index)

    def feed(self, samples: Samples) -> list[Window]:
        """The windows that ``samples`` completes."""
        found: list[Window] = []
        while len(samples) and not self.done:
            stop = self._stop()
            piece, samples = samples[: stop - self._at], samples[stop - self._at :]
            found += self._take(piece)
            self._at += len(piece)
            if self._at == self._grid.decided(self._next):
                found += self._turn()
        self._at += len(samples)
        return found

    def finish(self) -> list[Window]:
        """The windows that are left at the end of the recording."""
        if self._windower is None or self.done:
            return []
        held = self._boundary.samples if self._boundary else np.zeros(0, np.float32)
        return self._windower.feed(held) + self._windower.finish()

    def _stop(self) -> int:
        """The next sample at which something else is to be done than before it."""
        places = (self._grid.needed, self._grid.earliest, self._grid.decided)
        return next(stop for place in places if (stop := place(self._next)) > self._at)

    def _take(self, piece: Samples) -> list[Window]:
        found: list[Window] = []
        if self._windower is not None and self._at < self._grid.earliest(self._next):
            found = self._windower.feed(piece)
        if self._at >= self._grid.needed(self._next):
            if self._boundary is None:
                self._boundary = _Boundary(self._cutting, self._grid)
            self._boundary.feed(piece)
        return found

    def _turn(self) -> list[Window]:
        """One chapter ends and another one begins."""
        assert self._boundary is not None  # noqa: S101 - it was fed on the way here
        boundary, self._boundary = self._boundary, None
        frame = boundary.decide()
        before, after = np.split(boundary.samples, [frame * FRAME_SAMPLES])
        found: list[Window] = []
        if self._windower is not None:
            found = self._windower.feed(before) + self._windower.finish()
            self._index = self._windower.index
        chapter, self._next = self._next, self._next + 1
        if self.done:
            return found
        begin = self._grid.earliest(chapter) // FRAME_SAMPLES + frame
        windower = self._begin(chapter, boundary.detector, begin)
        return found + windower.take(after, boundary.speech[frame:])

    def _begin(self, chapter: int, detector: SpeechDetector, frame: int) -> Windower:
        self._begins.append((chapter, self._index))
        self._windower = Windower(
            self._cutting,
            skip_silence=self._skip_silence,
            detector=detector,
            begin=frame,
            index=self._index,
        )
        return self._windower


class _Boundary:
    """The samples among which a chapter begins, and what a fresh detector makes of them."""

    def __init__(self, cutting: Cutting, grid: Grid) -> None:
        self.detector = SpeechDetector()
        self._off = cutting.off
        self._warm_up = grid.warm_up
        self._samples: list[Samples] = []
        self._speech: list[Speech] = []

    @property
    def samples(self) -> Samples:
        """From the earliest place on."""
        return np.concatenate([np.zeros(0, np.float32), *self._samples])[self._warm_up :]

    @property
    def speech(self) -> Speech:
        """From the earliest place on."""
        return np.concatenate(self._speech)[self._warm_up // FRAME_SAMPLES :]

    def feed(self, samples: Samples) -> None:
        """More of them, the warm-up first."""
        self._samples.append(samples)
        self._speech.append(self.detector.feed(samples))

    def decide(self) -> int:
        """The frame with which the chapter begins: the middle of the longest pause, if any."""
        speech = self.speech
        edges = np.flatnonzero(np.diff(np.pad(speech < self._off, 1).astype(np.int8)))
        begins, ends = edges[::2], edges[1::2]
        if len(begins):
            longest = int(np.argmax(ends - begins))
            if ends[longest] - begins[longest] >= _PAUSE_FRAMES:
                return int(begins[longest] + ends[longest]) // 2
        return quietest(speech)
