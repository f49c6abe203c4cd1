"""From samples to windows: stretches with speech, cut where nobody speaks.

A window is what the model sees at once. Short ones are encoded at their own length, which is most
of the engine's speed; too short ones lack context. Pieces of several speakers in one long window
make Whisper stop early, so pieces are joined up to ``join_s`` only, while speech without a pause
may run on to ``max_s``. docs/engine.md has the figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech, SpeechDetector

FRAMES_A_SECOND = SAMPLE_RATE / FRAME_SAMPLES
_SMOOTH_FRAMES = 7  # a cut wants some 0.2 s without speech, not one lucky frame


@dataclass(frozen=True)
class Cutting:
    """How a recording is cut. Seconds; thresholds are probabilities of speech.

    Speech begins at ``threshold`` and ends after ``min_silence_s`` below ``threshold`` - 0.15. Each
    piece is widened by ``pad_s`` on both sides, or to the middle of the pause. Pieces with at most
    ``join_gap_s`` between them are joined up to ``join_s``. A piece longer than ``max_s`` is cut at
    its quietest moment in the second half.

    After ``first_chapter_s``, and every ``chapter_s`` from there on, a chapter begins: in the
    longest pause of the ``boundary_s`` that follow, by a detector that began ``warm_up_s`` before
    them. See ``chapters``.
    """

    threshold: float = 0.35
    min_silence_s: float = 0.5
    pad_s: float = 0.4
    join_s: float = 18.0
    join_gap_s: float = 2.0
    max_s: float = 26.0
    first_chapter_s: float = 600.0
    chapter_s: float = 120.0
    boundary_s: float = 12.8
    warm_up_s: float = 3.2

    @property
    def on(self) -> int:
        """Where speech begins, as a byte."""
        return round(self.threshold * 255)

    @property
    def off(self) -> int:
        """Below it may be a pause; a byte."""
        return max(self.on - round(0.15 * 255), 3)


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a recording. ``start`` counts samples from the beginning of the recording.

    ``audio`` has shape (samples,); ``speech`` one probability for each 32 ms of it.
    """

    index: int
    start: int
    audio: Samples
    speech: Speech

    @property
    def start_s(self) -> float:
        """Seconds from the beginning of the recording."""
        return self.start / SAMPLE_RATE

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.audio) / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Seconds from the beginning of the recording."""
        return (self.start + len(self.audio)) / SAMPLE_RATE

    def speech_s(self, after_s: float = 0.0) -> float:
        """Seconds that are more likely speech than not, from ``after_s`` into the window on."""
        rest = self.speech[round(after_s * FRAMES_A_SECOND) :]
        return int(np.count_nonzero(rest > 127)) / FRAMES_A_SECOND

    def rest(self, after_s: float) -> "Window":
        """The window from ``after_s`` on."""
        frame = int(after_s * FRAMES_A_SECOND)
        sample = frame * FRAME_SAMPLES
        return Window(self.index, self.start + sample, self.audio[sample:], self.speech[frame:])


class Windower:
    """Cuts one chapter, which arrives in blocks; keeps no more of it than what is undecided."""

    def __init__(
        self,
        cutting: Cutting,
        *,
        skip_silence: bool = True,
        detector: SpeechDetector | None = None,
        begin: int = 0,
        index: int = 0,
    ) -> None:
        """The chapter begins with frame ``begin`` of the recording, and with window ``index``.

        ``skip_silence`` False makes all of it part of some window. ``detector`` has heard what is
        before the first samples that are fed.
        """
        self._detector = detector or SpeechDetector()
        self._skip_silence = skip_silence
        self._on = cutting.on
        self._off = cutting.off
        self._silence = frames(cutting.min_silence_s)
        self._pad = frames(cutting.pad_s)
        self._join = frames(cutting.join_s)
        self._gap = max(frames(cutting.join_gap_s), 2 * self._pad)
        self._max = frames(cutting.max_s)
        self._index = index
        # Samples and probabilities from frame ``_base`` on; ``_now`` is the frame looked at.
        self._audio = np.zeros(0, np.float32)
        self._speech = np.zeros(0, np.uint8)
        self._base = self._now = begin
        # Frames. Speech that goes on began at ``_voice`` and may be over since ``_quiet``; what is
        # not in a window yet begins at ``_floor``; the window that may still grow is ``_open``,
        # widened at its start and not yet at its end.
        self._voice = None if skip_silence else begin
        self._quiet: int | None = None
        self._floor = begin
        self._open: tuple[int, int] | None = None

    @property
    def index(self) -> int:
        """Of the window that comes next."""
        return self._index

    @property
    def kept(self) -> int:
        """Samples in memory."""
        return len(self._audio)

    def feed(self, samples: Samples) -> list[Window]:
        """The windows that ``samples`` completes."""
        return self.take(samples, self._detector.feed(samples))

    def take(self, samples: Samples, speech: Speech) -> list[Window]:
        """The windows that ``samples`` completes, to which the detector has listened already."""
        self._audio = np.concatenate([self._audio, samples])
        return list(self._look(speech))

    def finish(self) -> list[Window]:
        """The windows that are left at the end of the chapter."""
        found = list(self._look(self._detector.finish()))
        if self._voice is not None:
            end = self._now if self._quiet is None else self._quiet
            found += self._voice_ended(self._voice, end)
        if self._open is not None:
            found.append(self._emit(*self._open, limit=self._now))
        return found

    def _look(self, speech: Speech) -> Iterator[Window]:
        self._speech = np.concatenate([self._speech, speech])
        for probability in speech.tolist():
            self._now += 1
            yield from self._frame(self._now - 1, probability)
        self._forget()

    def _frame(self, frame: int, probability: int) -> Iterator[Window]:
        if self._voice is None:
            if probability >= self._on:
                self._voice, self._quiet = frame, None
            elif self._open is not None and frame - self._open[1] > self._gap:
                yield self._emit(*self._open, limit=frame)
            return
        if self._skip_silence:
            if probability >= self._on:
                self._quiet = None
            elif probability < self._off:
                self._quiet = frame if self._quiet is None else self._quiet
                if frame - self._quiet >= self._silence:
                    yield from self._voice_ended(self._voice, self._quiet)
                    return
        if self._open is not None and frame + self._pad - self._open[0] > self._join:
            yield self._emit(*self._open, limit=_middle(self._open[1], self._voice))
        if frame - self._widened(self._voice) > self._max:
            yield self._cut(self._widened(self._voice), frame)

    def _voice_ended(self, begin: int, end: int) -> Iterator[Window]:
        self._voice = None
        if self._open is not None:
            start, open_end = self._open
            if begin - open_end <= self._gap and end + self._pad - start <= self._join:
                self._open = (start, end)
                return
            yield self._emit(start, open_end, limit=_middle(open_end, begin))
        self._open = (self._widened(begin), end)

    def _widened(self, begin: int) -> int:
        return max(begin - self._pad, self._floor)

    def _cut(self, start: int, frame: int) -> Window:
        """The window before the quietest moment of speech that goes on and on."""
        begin = start + self._max // 2
        # The later, the better, as long as it is about as quiet.
        cut = begin + quietest(self._speech[begin - self._base : frame - self._base], later=25)
        self._voice = cut
        self._quiet = None if self._quiet is None else max(self._quiet, cut)
        return self._window(start, cut)

    def _emit(self, start: int, end: int, *, limit: int) -> Window:
        self._open = None
        return self._window(start, min(end + self._pad, limit))

    def _window(self, start: int, end: int) -> Window:
        self._floor = end
        first, last = start - self._base, end - self._base
        window = Window(
            index=self._index,
            start=start * FRAME_SAMPLES,
            audio=self._audio[first * FRAME_SAMPLES : last * FRAME_SAMPLES].copy(),
            speech=self._speech[first:last].copy(),
        )
        self._index += 1
        return window

    def _forget(self) -> None:
        needed = self._now - self._pad if self._voice is None else self._widened(self._voice)
        if self._open is not None:
            needed = self._open[0]
        drop = max(needed, self._floor, self._base) - self._base
        self._base += drop
        self._audio = self._audio[drop * FRAME_SAMPLES :]
        self._speech = self._speech[drop:]


def frames(seconds: float) -> int:
    """Of the voice detector, in ``seconds``."""
    return round(seconds * FRAMES_A_SECOND)


def quietest(speech: Speech, *, later: float = 0) -> int:
    """The frame of ``speech`` around which speech is least likely; the first of equals.

    A frame at the end may be worse by ``later`` than one at the beginning.
    """
    smooth = np.convolve(
        speech.astype(np.float32), np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, "valid"
    )
    smooth -= np.linspace(0, later, len(smooth), dtype=np.float32)
    return _SMOOTH_FRAMES // 2 + int(np.argmin(smooth))


def _middle(one: int, other: int) -> int:
    return (one + other) // 2
