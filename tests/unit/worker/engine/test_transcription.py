"""One recording, from its blocks to its segments, at a lane that the test looks through."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest

from tests.unit.worker.engine import scripted
from tests.unit.worker.engine.scripted import NO_GUARD, a_piece, an_answer, samples_of
from whisperdrop.domain.job import Progress
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import EmptyMediaError
from whisperdrop_worker.engine import transcription
from whisperdrop_worker.engine.attempts import Encoding
from whisperdrop_worker.engine.chapters import Chapters, grid_of
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.recognizer import Answer, Ask, Prompt, Style
from whisperdrop_worker.engine.scheduler import Conversation, Lane
from whisperdrop_worker.engine.speech import Speech
from whisperdrop_worker.engine.transcription import Transcription
from whisperdrop_worker.engine.windows import FRAMES_A_SECOND, Cutting

pytestmark = pytest.mark.usefixtures("speech_is_told")

SPEECH_S = 6.0
PERIOD_S = 10.0
"""Somebody speaks for 6 s, and for 4 s nobody does: a window every 10 s."""


@pytest.fixture(autouse=True)
def _no_least_time_between_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription, "_PART_EVERY_S", 0.0)


class StopError(Exception):
    """Whoever watches wants no more."""


class Stream:
    """A recording of ``windows``; ``read_s`` of it were read."""

    def __init__(self, windows: int, *, expected_s: float | None = None) -> None:
        speech, pause = (round(s * FRAMES_A_SECOND) for s in (SPEECH_S, PERIOD_S - SPEECH_S))
        track = np.tile(np.repeat([255, 0], [speech, pause]).astype(np.uint8), windows)
        self.samples: Samples = samples_of(track)
        self.expected_s = expected_s
        self.read_s = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / 16_000

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        at = round(self.read_s * 16_000)
        if at >= len(self.samples):
            raise StopIteration
        block = self.samples[at : at + 16_000]
        self.read_s += len(block) / 16_000
        return block

    def close(self) -> None: ...


class ScriptedLane:
    """Answers when somebody waits for it, ``at_once`` conversations at a time; the newest first."""

    def __init__(self, *, at_once: int = 1, language: str = "en", probability: float = 0.9) -> None:
        self.unfinished = self.most = 0
        self.asks: list[Ask] = []
        self.read_when_asked: list[float] = []
        self.stream: Stream | None = None
        self._at_once = at_once
        self._spoken = ((language, probability), ("la", 1 - probability))
        self._waiting: deque[Conversation] = deque()
        self._ended: deque[object] = deque()

    def submit(self, conversation: Conversation) -> None:
        self.unfinished += 1
        self.most = max(self.most, self.unfinished)
        self._waiting.append(conversation)

    def take(self, timeout_s: float) -> object:
        if timeout_s and not self._ended:
            for _ in range(min(self._at_once, len(self._waiting))):
                self._ended.appendleft(self._finish(self._waiting.popleft()))
        if not self._ended:
            return None
        self.unfinished -= 1
        return self._ended.popleft()

    def _finish(self, conversation: Conversation) -> object:
        ask = next(conversation)
        while True:
            self.asks.append(ask)
            try:
                ask = conversation.send(self._answer(ask))
            except StopIteration as stop:
                return stop.value

    def _answer(self, ask: Ask) -> Answer:
        length_s = len(ask.audio) / 16_000
        spoken = ask.prompt.language or ask.prompt.document or self._spoken[0][0]
        return an_answer(
            a_piece(f" window {len(self.asks)}", end=length_s),
            language=spoken,
            languages=self._spoken,
        )


class Kept:
    """Checkpoints in memory; ``on_save`` is told of each."""

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self.parts = list(parts)
        self.on_save: Callable[[], None] = lambda: None

    def load(self) -> list[Part]:
        return list(self.parts)

    def save(self, part: Part) -> None:
        self.parts.append(part)
        self.on_save()


def a_job(
    lane: ScriptedLane,
    *,
    language: str | None = "en",
    in_flight: int = 4,
    on_progress: Callable[[Progress], None] = lambda _: None,
    checkpoints: Kept | None = None,
    **fields: Any,
) -> Transcription:
    return Transcription(
        cast(Lane, lane),
        Prompt(language),
        style=Style(),
        guard=NO_GUARD,
        encoding=Encoding(),
        on_progress=on_progress,
        checkpoints=checkpoints,
        in_flight=in_flight,
        **fields,
    )


CUTTING = Cutting(first_chapter_s=240)


def run(job: Transcription, stream: Stream) -> Transcription:
    job.run(job.chapters(CUTTING, skip_silence=True), stream)
    return job


def test_every_window_becomes_text_in_order() -> None:
    job = run(a_job(ScriptedLane(at_once=3)), Stream(8))

    starts = [segment.start for segment in job.segments]
    assert len(starts) == 8
    assert starts == sorted(starts)
    assert [segment.id for segment in job.segments] == list(range(8))
    assert job.window_s == pytest.approx(8 * (SPEECH_S + 0.8), abs=0.8)


@pytest.mark.parametrize("in_flight", [1, 3, 16])
def test_no_more_windows_are_out_than_allowed(in_flight: int) -> None:
    lane = ScriptedLane()

    run(a_job(lane, in_flight=in_flight), Stream(20))

    assert lane.most == in_flight
    assert len(lane.asks) == 20


def test_a_recording_is_read_no_faster_than_it_is_transcribed() -> None:
    stream, lane = Stream(30), ScriptedLane()
    ahead: list[float] = []

    def look(_: Progress) -> None:
        ahead.append(stream.read_s - PERIOD_S * len(lane.asks))

    run(a_job(lane, in_flight=4, on_progress=look), stream)

    assert max(ahead) <= 6 * PERIOD_S


def test_about_every_15_seconds_of_audio_are_kept() -> None:
    kept, lane = Kept(), ScriptedLane()

    job = run(a_job(lane, in_flight=2, checkpoints=kept), Stream(20))

    assert [part.end_window - part.first_window for part in kept.parts] == [3] * 6
    assert kept.parts[0].follows(None)
    assert all(after.follows(before) for before, after in pairwise(kept.parts))
    assert all(15 <= part.window_s < 15 + 2 * SPEECH_S for part in kept.parts)
    assert {part.language for part in kept.parts} == {"en"}
    saved = [segment.text for part in kept.parts for segment in part.segments]
    assert saved == [segment.text for segment in job.segments][:18]


def test_parts_are_not_kept_more_often_than_storage_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcription, "_PART_EVERY_S", math.inf)
    kept = Kept()

    run(a_job(ScriptedLane(), checkpoints=kept), Stream(20))

    assert kept.parts == []


def test_what_is_kept_is_not_asked_again() -> None:
    whole = run(a_job(ScriptedLane()), Stream(10))
    kept, first = Kept(), ScriptedLane()

    def die() -> None:
        if len(kept.parts) == 2:
            raise StopError

    kept.on_save = die
    with pytest.raises(StopError):
        run(a_job(first, checkpoints=kept, in_flight=2), Stream(10))
    kept.on_save = lambda: None
    second = ScriptedLane()

    resumed = run(a_job(second, checkpoints=kept, in_flight=2), Stream(10))

    assert len(second.asks) == 10 - kept.parts[1].end_window == 4
    assert [(one.id, one.start, one.end) for one in resumed.segments] == [
        (one.id, one.start, one.end) for one in whole.segments
    ]
    assert resumed.window_s == pytest.approx(whole.window_s, abs=0.001)


def test_the_language_is_that_of_the_attempt_before() -> None:
    kept = Kept()
    run(a_job(ScriptedLane(language="es"), language=None, checkpoints=kept), Stream(10))
    lane = ScriptedLane(language="fr")

    job = run(a_job(lane, language=None, checkpoints=Kept(kept.parts[:1])), Stream(10))

    assert job.language.code == "es"
    assert job.language.probability == pytest.approx(0.9)
    assert {ask.prompt.document for ask in lane.asks} == {"es"}
    assert not any(ask.detect_only for ask in lane.asks)


def test_the_language_of_several_windows_is_heard_before_they_are_transcribed() -> None:
    lane = ScriptedLane(language="es", probability=0.8)

    job = run(a_job(lane, language=None), Stream(10))

    detected = [ask for ask in lane.asks if ask.detect_only]
    asked = [ask for ask in lane.asks if not ask.detect_only]
    assert lane.asks[: len(detected)] == detected
    assert len(detected) == 5  # 25 s of speech, 6 s at a time
    assert len(asked) == 10
    assert {ask.prompt.document for ask in asked} == {"es"}
    assert job.language.code == "es"
    assert job.language.probability == pytest.approx(0.8)


def test_a_single_window_is_asked_once_for_both() -> None:
    lane = ScriptedLane(language="es", probability=0.95)

    job = run(a_job(lane, language=None), Stream(1))

    assert [ask.detect_only for ask in lane.asks] == [False]
    assert (job.language.code, job.language.probability) == ("es", 0.95)


def test_a_named_language_is_not_asked_for() -> None:
    lane = ScriptedLane(language="es")

    job = run(a_job(lane, language="de"), Stream(3))

    assert {ask.prompt.language for ask in lane.asks} == {"de"}
    assert (job.language.code, job.language.probability) == ("de", 1.0)


def test_who_only_listens_reads_no_more_than_it_takes_to_know_the_language() -> None:
    lane, stream = ScriptedLane(language="es", probability=0.8), Stream(30)
    job = a_job(lane, language=None)

    heard = job.hear(Chapters(Cutting()), stream)

    assert heard.code == "es"
    assert heard.probability == pytest.approx(0.8)
    assert len(lane.asks) == 5
    assert all(ask.detect_only for ask in lane.asks)
    assert stream.read_s < 60
    assert job.segments == ()


def test_who_listens_knows_the_language_of_a_single_window_too() -> None:
    job = a_job(ScriptedLane(language="es", probability=0.8), language=None)

    heard = job.hear(Chapters(Cutting()), Stream(1))

    assert heard.code == "es"
    assert heard.probability == pytest.approx(0.8)


def test_a_language_that_is_known_is_not_listened_for() -> None:
    stream = Stream(10)

    heard = a_job(ScriptedLane(), language="de").hear(Chapters(Cutting()), stream)

    assert (heard.code, stream.read_s) == ("de", 0)


def test_chapters_together_are_the_recording() -> None:
    whole = run(a_job(ScriptedLane()), Stream(50))
    grid = grid_of(CUTTING)
    found: list[Segment] = []
    for first, end in ((0, 1), (1, 3), (3, None), (4, None)):
        stream = Stream(50)
        begin = grid.needed(first)
        stream.samples = stream.samples[begin : None if end is None else grid.decided(end)]
        job = a_job(ScriptedLane())
        job.run(Chapters(CUTTING, first=first, end=end, at=begin), stream)
        found += job.segments
        if end is not None:
            assert job.segments != ()

    assert [(one.start, one.end) for one in found] == [
        (one.start, one.end) for one in whole.segments
    ]


def test_a_resumed_job_listens_only_to_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    whole = run(a_job(ScriptedLane(), checkpoints=kept), Stream(50))
    last = next(part for part in reversed(kept.parts) if part.chapter == 2)
    assert last.chapter_window <= last.end_window
    heard: list[int] = []
    feed = scripted.ReadingDetector.feed

    def counted(self: scripted.ReadingDetector, samples: Samples) -> Speech:
        heard.append(len(samples))
        return feed(self, samples)

    monkeypatch.setattr(scripted.ReadingDetector, "feed", counted)
    lane = ScriptedLane()

    resumed = run(a_job(lane, checkpoints=Kept(kept.parts[: last.n + 1])), Stream(50))

    assert sum(heard) < (500 - 350) * 16_000 * 1.2
    assert len(lane.asks) == 50 - last.end_window
    assert [(one.id, one.start, one.end) for one in resumed.segments] == [
        (one.id, one.start, one.end) for one in whole.segments
    ]


@pytest.mark.parametrize("expected_s", [None, 100.0, 5.0, 1e6])
def test_progress_only_grows_and_ends_at_the_end(expected_s: float | None) -> None:
    seen: list[Progress] = []
    stream = Stream(10, expected_s=expected_s)

    run(a_job(ScriptedLane(at_once=2), on_progress=seen.append), stream)

    assert list(dict.fromkeys(one.stage for one in seen)) == ["decoding", "transcribing"]
    assert all(before.done_s <= after.done_s for before, after in pairwise(seen))
    assert all(one.total_s is None or one.done_s <= one.total_s for one in seen)
    assert seen[-1].done_s == seen[-1].total_s == stream.duration_s


def test_a_resumed_job_does_not_begin_at_nothing() -> None:
    kept = Kept()
    run(a_job(ScriptedLane(), checkpoints=kept), Stream(10))
    seen: list[Progress] = []

    run(
        a_job(ScriptedLane(), checkpoints=Kept(kept.parts[:2]), on_progress=seen.append), Stream(10)
    )

    working = [one.done_s for one in seen if one.stage == "transcribing"]
    assert working[0] == pytest.approx(kept.parts[1].end_s)


def test_who_watches_can_stop_it_while_the_model_works() -> None:
    lane, stream = ScriptedLane(), Stream(30)

    def stop(progress: Progress) -> None:
        if progress.done_s > 25:
            raise StopError

    with pytest.raises(StopError):
        run(a_job(lane, on_progress=stop), stream)

    assert len(lane.asks) == 3
    assert stream.read_s < stream.duration_s / 2


def test_who_watches_is_asked_for_every_block() -> None:
    seen: list[Progress] = []
    silence = Stream(0)
    silence.samples = np.zeros(30 * 16_000, np.float32)

    job = run(a_job(ScriptedLane(), language=None, on_progress=seen.append), silence)

    assert len(seen) >= 30
    assert {one.stage for one in seen} == {"decoding"}
    assert (job.language.code, job.language.probability) == ("en", 0)
    assert job.segments == ()


@pytest.mark.parametrize("skip_silence", [True, False])
def test_no_samples_are_no_recording(skip_silence: bool) -> None:
    lane = ScriptedLane()

    with pytest.raises(EmptyMediaError):
        a_job(lane).run(Chapters(Cutting(), skip_silence=skip_silence), Stream(0))

    assert lane.most == 0
