"""One recording at one model: windows go out as they are cut, and come back as a transcript."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

from whisperdrop.domain.job import Progress
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import EmptyMediaError
from whisperdrop_worker.engine.attempts import Encoding, Finished, listen, transcribe
from whisperdrop_worker.engine.chapters import Chapters
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.interface import Checkpoints, OnProgress, SampleStream
from whisperdrop_worker.engine.language import (
    DETECTION_SPEECH_S,
    DocumentLanguage,
    decide,
)
from whisperdrop_worker.engine.recognizer import Answer, Prompt, Style
from whisperdrop_worker.engine.scheduler import Lane
from whisperdrop_worker.engine.stitch import Stitcher
from whisperdrop_worker.engine.windows import Cutting, Window

_LOOK_S = 0.25
"""How often a job that waits for the model reports, and so learns that it must stop."""

_PART_S = 15.0
"""Seconds of audio after which a checkpoint is worth a write."""

_PART_EVERY_S = 0.25
"""Least wall seconds between two checkpoints: a fast GPU finishes 15 s of audio in no time."""


class Transcription:
    """Keeps a bounded number of windows at the model, whatever the length of the recording."""

    def __init__(
        self,
        lane: Lane,
        prompt: Prompt,
        *,
        style: Style,
        guard: Guard,
        encoding: Encoding,
        on_progress: OnProgress,
        checkpoints: Checkpoints | None,
        in_flight: int,
        language: DocumentLanguage | None = None,
    ) -> None:
        """``language`` is that of the recording, where somebody has detected it before."""
        self._lane = lane
        self._prompt = prompt
        self._style = style
        self._guard = guard
        self._encoding = encoding
        self._on_progress = on_progress
        self._checkpoints = checkpoints
        self._in_flight = in_flight
        parts = checkpoints.load() if checkpoints else ()
        self._stitcher = Stitcher(parts)
        self._language = language
        if prompt.language is not None:
            self._language = DocumentLanguage(prompt.language)
        elif parts:
            self._language = DocumentLanguage(parts[0].language, parts[0].language_probability)
        self._total_s: float | None = None
        self._all_cut = False
        self._stage_is_decoding = True
        self._saved_at = time.monotonic()
        self._chapters: Chapters | None = None

    def chapters(self, cutting: Cutting, *, skip_silence: bool) -> Chapters:
        """What cuts a whole recording; without what an earlier attempt has finished of it."""
        chapter, index = self._stitcher.chapter
        return Chapters(cutting, skip_silence=skip_silence, first=chapter, index=index)

    @property
    def language(self) -> DocumentLanguage:
        """What the recording is spoken in; English where nobody speaks."""
        return self._language or DocumentLanguage("en", 0.0)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is finished, in order."""
        return self._stitcher.segments()

    @property
    def window_s(self) -> float:
        """Seconds of audio that the model saw."""
        return self._stitcher.window_s

    def run(self, chapters: Chapters, audio: SampleStream) -> None:
        """Transcribe ``chapters`` of ``audio``.

        Raises what ``audio`` raises, and what ``on_progress`` raises.
        """
        self._chapters = chapters
        first = self._stitcher.next_window
        windows: Iterator[Window] = (
            window for window in self._cut(chapters, audio) if window.index >= first
        )
        if self._language is None:
            windows = self._after_detection(windows)
        for window in windows:
            while self._lane.unfinished >= self._in_flight:
                self._collect(_LOOK_S)
            self._submit(window)
            self._collect(0)
        self._all_cut = True
        while self._lane.unfinished:
            self._collect(_LOOK_S)
        self._report(chapters.seconds)

    def hear(self, chapters: Chapters, audio: SampleStream) -> DocumentLanguage:
        """What ``audio`` is spoken in; reads no more of it than that takes."""
        if self._language is None:
            self._after_detection(self._cut(chapters, audio), least=1)
        return self.language

    def _cut(self, chapters: Chapters, audio: SampleStream) -> Iterator[Window]:
        for block in audio:
            self._total_s = audio.expected_s
            if self._total_s is not None:
                self._total_s = max(self._total_s, chapters.seconds)
            self._report(self._stitcher.finished_s)
            yield from chapters.feed(block)
            if chapters.done:
                return
        if chapters.seconds == 0:
            raise EmptyMediaError("the recording has no samples")
        yield from chapters.finish()
        self._total_s = chapters.seconds

    def _after_detection(self, windows: Iterator[Window], *, least: int = 2) -> Iterator[Window]:
        """The same windows; if there are ``least``, the language is known when the first comes out.

        A single one need not be listened to twice: it is asked while it is transcribed.
        """
        heard: list[Window] = []
        for window in windows:
            heard.append(window)
            if len(heard) > 1 and sum(one.speech_s() for one in heard) >= DETECTION_SPEECH_S:
                break
        if len(heard) >= least:
            self._language = decide([(window, self._detect(window)) for window in heard])
        return itertools.chain(heard, windows)

    def _detect(self, window: Window) -> Answer:
        self._lane.submit(listen(window))
        while not isinstance(answer := self._lane.take(_LOOK_S), Answer):
            self._report(self._stitcher.finished_s)
        return answer

    def _submit(self, window: Window) -> None:
        prompt = self._prompt
        if prompt.language is None and self._language is not None:
            prompt = replace(prompt, document=self._language.code)
        self._stage_is_decoding = False
        self._lane.submit(
            transcribe(
                window, prompt, style=self._style, guard=self._guard, encoding=self._encoding
            )
        )

    def _collect(self, timeout_s: float) -> None:
        """Take what is finished, and tell how far it all is."""
        finished = self._lane.take(timeout_s)
        while isinstance(finished, Finished):
            if self._language is None:
                self._language = DocumentLanguage(finished.language, finished.language_probability)
            self._stitcher.add(finished)
            finished = self._lane.take(0)
        self._save()
        self._report(self._stitcher.finished_s)

    def _save(self) -> None:
        if self._checkpoints is None or self._stitcher.unsaved_s < _PART_S:
            return
        if time.monotonic() - self._saved_at < _PART_EVERY_S:
            return
        if self._all_cut and not self._lane.unfinished:
            return  # the transcript is about to be written
        self._checkpoints.save(self._part())
        self._saved_at = time.monotonic()

    def _part(self) -> Part:
        assert self._chapters is not None  # noqa: S101 - who cut what is saved
        return self._stitcher.part(
            self.language.code,
            self.language.probability,
            self._chapters.begin_of(self._stitcher.next_window - 1),
        )

    def _report(self, done_s: float) -> None:
        if self._stage_is_decoding:
            self._on_progress(Progress(stage="decoding", total_s=self._total_s))
        else:
            self._on_progress(Progress(stage="transcribing", done_s=done_s, total_s=self._total_s))
