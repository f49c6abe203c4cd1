"""The engine on real speech: the text, the options, stopping, and going on."""

import difflib
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
from faster_whisper import WhisperModel, decode_audio

from tests.recordings import bundled
from whisperdrop.domain.job import Progress
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment, Transcript, Word
from whisperdrop.errors import EmptyMediaError, InvalidValueError, ModelUnavailableError
from whisperdrop_worker.engine import (
    Checkpoints,
    EngineDefaults,
    EngineResult,
    OnProgress,
    Samples,
)
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.whisper import Tuning, WhisperEngine
from whisperdrop_worker.engine.windows import Cutting
from whisperdrop_worker.model_pool import ModelPool
from whisperdrop_worker.models import ModelResolver

pytestmark = pytest.mark.speech

MODEL = "tiny.en"
RATE = 16_000
CLIPS = ("quick_brown_fox", "counting", "hello_world")
FOX = "quick brown fox jumps over the lazy dog"

SPOKEN = {
    "en": ("quick_brown_fox", "counting"),
    "es": ("pangrama", "conteo"),
    "fr": ("pangrama", "comptage"),
    "hi": ("pangrama", "ginti"),
    "it": ("pangrama", "conteggio"),
    "ja": ("pangrama", "kazoeru"),
    "pt": ("pangrama", "contagem"),
    "zh": ("pangrama", "jishu"),
}
"""A sentence and some numbers in each bundled language that base knows when it hears it: the Polish
ones are Lithuanian to faster-whisper itself."""

DIGITS = {
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}


class Stream:
    """Samples in blocks; knows what was read of it and whether it was closed."""

    def __init__(self, samples: Samples, block: int = RATE) -> None:
        self.expected_s: float | None = None
        self.closed = False
        self.read = 0
        self._samples = samples
        self._block = block

    def __iter__(self) -> Iterator[Samples]:
        return self

    def __next__(self) -> Samples:
        if self.read >= len(self._samples):
            raise StopIteration
        block = self._samples[self.read : self.read + self._block]
        self.read += len(block)
        return block

    def close(self) -> None:
        self.closed = True


class InMemory:
    """Checkpoints that outlive an attempt; ``dies_after`` so many of them, the worker is gone."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.parts: list[Part] = []
        self.dies_after = dies_after

    def load(self) -> list[Part]:
        return list(self.parts)

    def save(self, part: Part) -> None:
        self.parts.append(part)
        if len(self.parts) == self.dies_after:
            raise StopError


class StopError(Exception):
    """Raised by a caller who wants no more."""


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> ModelResolver:
    return ModelResolver(cache_dir=tmp_path_factory.mktemp("models"), aliases={"whisper-1": MODEL})


def an_engine(resolver: ModelResolver, **options: Any) -> WhisperEngine:
    pool = ModelPool(resolver, device="cpu", cpu_threads=1, num_workers=2)
    return WhisperEngine(pool, calls=2, **options)


@pytest.fixture(scope="module")
def engine(resolver: ModelResolver) -> Iterator[WhisperEngine]:
    engine = an_engine(resolver)
    engine.preload([MODEL])
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def in_chapters(resolver: ModelResolver) -> Iterator[WhisperEngine]:
    """Chapters of half a minute; nothing is sampled."""
    cutting = Cutting(first_chapter_s=32, chapter_s=25.6, boundary_s=9.6)
    engine = an_engine(resolver, tuning=Tuning(cutting=cutting, guard=Guard(ladder=())))
    engine.preload([MODEL])
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def direct(resolver: ModelResolver) -> WhisperModel:
    """faster-whisper itself, with nothing of ours around it."""
    path = str(resolver.resolve(MODEL))
    return WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture(scope="module")
def clips() -> dict[str, Samples]:
    return {name: decode_audio(str(bundled(name).media)) for name in CLIPS}


@pytest.fixture(scope="module")
def talk(clips: dict[str, Samples]) -> Samples:
    """About 20 s: each clip twice, with short and long pauses."""
    fox, counting, hello = (clips[name] for name in CLIPS)
    return joined(fox, 0.6, counting, 2.5, hello, 0.6, fox, 3.0, counting, 1.0, hello, 0.6)


@pytest.fixture(scope="module")
def long_talk(clips: dict[str, Samples]) -> Samples:
    """Eight windows of about ten seconds, all of them different."""
    fox, counting, hello = (clips[name] for name in CLIPS)
    turns = [
        joined(one, 0.6, other, 0.3 + n / 10, fox, 3.0)
        for n, (one, other) in enumerate([(fox, hello), (counting, hello), (hello, counting)] * 3)
    ]
    return np.concatenate(turns[:8])


def joined(*pieces: Samples | float) -> Samples:
    """Recordings one after the other; a number is a pause of so many seconds."""
    return np.concatenate(
        [
            np.zeros(round(piece * RATE), np.float32) if isinstance(piece, float) else piece
            for piece in pieces
        ]
    )


def ignore(_: Progress) -> None:
    """No interest in progress."""


def run(
    engine: WhisperEngine,
    audio: Samples | Stream,
    *,
    model: str = MODEL,
    on_progress: OnProgress = ignore,
    checkpoints: Checkpoints | None = None,
    **options: Any,
) -> EngineResult:
    return engine.transcribe(
        audio if isinstance(audio, Stream) else Stream(audio),
        job_id="job",
        model=model,
        options=TranscribeOptions.model_validate(options),
        on_progress=on_progress,
        checkpoints=checkpoints,
    )


def wer(expected: str, found: str) -> float:
    return jiwer.wer(" ".join(words_of(expected)), " ".join(words_of(found)))


def words_of(text: str) -> list[str]:
    """Words without case and punctuation; the model writes a number as it likes."""
    return [DIGITS.get(word, word) for word in re.findall(r"\w+", text.lower())]


def brief(segments: tuple[Segment, ...]) -> list[tuple[float, float, str]]:
    """What a reader sees of segments."""
    return [(one.start, one.end, one.text) for one in segments]


# --- The text.


def test_the_words_are_right(engine: WhisperEngine, clips: dict[str, Samples]) -> None:
    result = run(engine, clips["quick_brown_fox"])

    assert FOX in result.transcript.text.lower()
    assert result.transcript.language == "en"
    assert result.transcript.duration == len(clips["quick_brown_fox"]) / RATE
    assert result.engine_s > 0


@pytest.mark.parametrize(
    "options",
    [
        {"language": "en"},
        {"vad_filter": False, "beam_size": 1},
        {"word_timestamps": True},
        {"prompt": "A test of typewriters.", "hotwords": "lazy dog"},
    ],
    ids=["defaults", "greedy", "words", "prompted"],
)
def test_the_text_is_that_of_faster_whisper(
    engine: WhisperEngine, direct: WhisperModel, talk: Samples, options: dict[str, Any]
) -> None:
    segments, _ = direct.transcribe(
        talk,
        language="en",
        beam_size=options.get("beam_size", 5),
        vad_filter=options.get("vad_filter", True),
        initial_prompt=options.get("prompt"),
        hotwords=options.get("hotwords"),
    )
    expected = "".join(segment.text for segment in segments)

    found = run(engine, talk, **options).transcript.text

    assert wer(expected, found) <= 0.05, (expected, found)


def test_speech_after_a_minute_of_silence_is_complete(
    engine: WhisperEngine, clips: dict[str, Samples]
) -> None:
    fox = clips["quick_brown_fox"]

    transcript = run(engine, joined(60.0, fox)).transcript

    assert wer(f"the {FOX}", transcript.text) == 0
    assert transcript.segments[0].start >= 59.5
    assert transcript.duration_after_vad < len(fox) / RATE + 1
    assert transcript.duration == 60 + len(fox) / RATE


def noise(kind: str, seconds: float) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(7)
    kinds: dict[str, Callable[[], Any]] = {
        "digital silence": lambda: np.zeros(len(at)),
        "a quiet room": lambda: rng.normal(0, 1e-4, len(at)),
        "hiss": lambda: rng.normal(0, 0.05, len(at)),
        "a 50 Hz hum": lambda: 0.2 * np.sin(2 * np.pi * 50 * at),
    }
    samples: Samples = kinds[kind]().astype(np.float32)
    return samples


@pytest.mark.parametrize("kind", ["digital silence", "a quiet room", "hiss", "a 50 Hz hum"])
def test_there_is_no_text_where_nobody_speaks(engine: WhisperEngine, kind: str) -> None:
    transcript = run(engine, noise(kind, 25.0)).transcript

    assert transcript.segments == ()
    assert transcript.text == ""
    assert transcript.duration == 25
    assert transcript.language == "en"


def test_silence_is_not_shown_to_the_model(engine: WhisperEngine) -> None:
    result = run(engine, noise("digital silence", 25.0))

    assert result.transcript.duration_after_vad == 0
    assert result.engine_s == 0


def test_without_the_filter_the_model_sees_all_of_it(engine: WhisperEngine, talk: Samples) -> None:
    transcript = run(engine, talk, vad_filter=False).transcript

    assert transcript.duration_after_vad == pytest.approx(transcript.duration, abs=0.001)
    assert transcript.text.lower().count(FOX) == 2


@pytest.mark.parametrize("count", [1, 400, 4000])
@pytest.mark.parametrize("vad_filter", [True, False])
def test_a_very_short_recording_is_transcribed(
    engine: WhisperEngine, clips: dict[str, Samples], count: int, vad_filter: bool
) -> None:
    transcript = run(engine, clips["counting"][:count], vad_filter=vad_filter).transcript

    assert transcript.duration == count / RATE
    assert all(one.end <= transcript.duration + 0.01 for one in transcript.segments)


# --- The times.


@pytest.mark.parametrize("words", [True, False])
def test_times_are_ordered_and_inside_the_recording(
    engine: WhisperEngine, talk: Samples, words: bool
) -> None:
    transcript = run(engine, talk, word_timestamps=words).transcript

    segments = transcript.segments
    assert [one.id for one in segments] == list(range(len(segments)))
    assert all(0 <= one.start <= one.end <= transcript.duration + 0.01 for one in segments)
    assert all(one.start <= other.start for one, other in pairwise(segments))
    for one in segments:
        assert (one.words is not None) is words
        for word in one.words or ():
            assert one.start - 0.01 <= word.start <= word.end <= one.end + 0.01


def test_words_are_where_faster_whisper_finds_them(
    engine: WhisperEngine, direct: WhisperModel, talk: Samples
) -> None:
    segments, _ = direct.transcribe(talk, language="en", word_timestamps=True)
    expected = [
        Word(word=word.word, start=word.start, end=word.end, probability=word.probability)
        for segment in segments
        for word in segment.words or ()
    ]

    transcript = run(engine, talk, word_timestamps=True).transcript

    found = [word for segment in transcript.segments for word in segment.words or ()]
    assert "".join(word.word for word in found) == "".join(one.text for one in transcript.segments)
    pairs = alike(expected, found)
    assert len(pairs) >= 0.9 * len(expected)
    assert statistics.median(abs(one.start - other.start) for one, other in pairs) <= 0.1
    assert statistics.median(abs(one.end - other.end) for one, other in pairs) <= 0.1


def alike(ones: list[Word], others: list[Word]) -> list[tuple[Word, Word]]:
    """Words of the one that the other has too, in order."""
    one, other = (["".join(words_of(word.word)) for word in words] for words in (ones, others))
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return [(ones[b.a + n], others[b.b + n]) for b in blocks for n in range(b.size)]


# --- The options.


def test_a_named_temperature_is_the_one_that_is_used(
    engine: WhisperEngine, clips: dict[str, Samples]
) -> None:
    transcript = run(engine, clips["quick_brown_fox"], temperature=0.2).transcript

    assert {one.temperature for one in transcript.segments} == {0.2}


def test_an_english_model_refuses_what_it_would_get_silently_wrong(engine: WhisperEngine) -> None:
    streams = [Stream(np.zeros(RATE, np.float32)) for _ in range(2)]

    with pytest.raises(InvalidValueError, match="cannot translate"):
        run(engine, streams[0], task="translate")
    with pytest.raises(InvalidValueError, match="only knows English"):
        run(engine, streams[1], language="de")
    assert [one.closed for one in streams] == [True, True]


def test_a_default_language_does_not_concern_an_english_model(resolver: ModelResolver) -> None:
    engine = an_engine(resolver, defaults=EngineDefaults(language="de"))
    try:
        assert run(engine, np.zeros(RATE, np.float32)).transcript.language == "en"
    finally:
        engine.close()


def test_an_alias_shares_the_model_in_memory(
    engine: WhisperEngine, clips: dict[str, Samples]
) -> None:
    result = run(engine, clips["hello_world"], model="whisper-1")

    assert result.load_s < 0.2
    assert result.transcript.model == "whisper-1"
    assert engine.loaded() == (MODEL, "whisper-1")


def test_a_model_that_cannot_be_loaded_is_a_clear_error(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes(b"{}")
    resolver = ModelResolver(cache_dir=tmp_path, aliases={"broken": str(tmp_path)})
    engine = an_engine(resolver)
    try:
        with pytest.raises(ModelUnavailableError, match="'broken' cannot be loaded") as caught:
            engine.preload(["broken"])
        assert str(tmp_path) not in caught.value.message
    finally:
        engine.close()


# --- Many at once, in pieces, and in two halves.


def test_calls_in_flight_together_give_the_same_texts(
    engine: WhisperEngine, clips: dict[str, Samples]
) -> None:
    audios = [*clips.values(), *clips.values()]
    alone = [brief(run(engine, audio, beam_size=1).transcript.segments) for audio in audios]

    with ThreadPoolExecutor(len(audios)) as pool:
        together = list(
            pool.map(lambda a: brief(run(engine, a, beam_size=1).transcript.segments), audios)
        )

    assert together == alone


@pytest.mark.parametrize("block", [1_000, 7_777, 10**9])
def test_the_size_of_the_blocks_does_not_matter(
    engine: WhisperEngine, talk: Samples, block: int
) -> None:
    expected = run(engine, talk, beam_size=1).transcript

    found = run(engine, Stream(talk, block), beam_size=1).transcript

    assert found.text == expected.text
    assert found.duration_after_vad == expected.duration_after_vad


def test_chapters_by_themselves_are_transcribed_as_the_whole_is(
    in_chapters: WhisperEngine, long_talk: Samples
) -> None:
    options = TranscribeOptions(beam_size=1)
    whole = run(in_chapters, long_talk, beam_size=1).transcript

    heard = in_chapters.hear(Stream(long_talk), model=MODEL, options=options, on_progress=ignore)
    grid = in_chapters.grid
    count = grid.count(len(long_talk))
    pieces = [
        in_chapters.transcribe_chapters(
            Stream(long_talk[grid.needed(first) : None if end is None else grid.decided(end)]),
            first=first,
            end=end,
            model=MODEL,
            options=options,
            language=heard.language,
            on_progress=ignore,
        )
        for first, end in ((0, 1), (1, count), (count, None))
    ]

    assert count >= 3
    assert sum(piece.window_s for piece in pieces) == pytest.approx(whole.duration_after_vad)
    found = tuple(segment for piece in pieces for segment in piece.segments)
    assert all(piece.segments for piece in pieces[:-1])
    assert pieces[-1].segments == (), "the recording has no such chapter"
    assert brief(found) == brief(whole.segments)


def test_an_attempt_goes_on_where_the_last_one_was_killed(
    engine: WhisperEngine, long_talk: Samples
) -> None:
    undisturbed = run(engine, long_talk, beam_size=1).transcript
    checkpoints = InMemory(dies_after=1)
    with pytest.raises(StopError):
        run(engine, long_talk, beam_size=1, checkpoints=checkpoints)
    saved = checkpoints.parts[:1]
    checkpoints.dies_after = None
    seen: list[Progress] = []

    resumed = run(
        engine, long_talk, beam_size=1, checkpoints=checkpoints, on_progress=seen.append
    ).transcript

    assert brief(resumed.segments) == brief(undisturbed.segments)
    assert [one.id for one in resumed.segments] == list(range(len(resumed.segments)))
    assert resumed.duration_after_vad == undisturbed.duration_after_vad
    assert checkpoints.parts[:1] == saved
    working = [one for one in seen if one.stage == "transcribing"]
    assert working[0].done_s >= saved[-1].end_s - 0.001


# --- Progress, and stopping.


def test_progress_goes_through_all_stages_and_only_forward(
    engine: WhisperEngine, talk: Samples
) -> None:
    seen: list[Progress] = []

    run(engine, talk, on_progress=seen.append)

    assert list(dict.fromkeys(one.stage for one in seen)) == ["loading", "decoding", "transcribing"]
    assert all(one.done_s <= other.done_s for one, other in pairwise(seen))
    assert seen[-1].done_s == seen[-1].total_s == len(talk) / RATE


@pytest.mark.parametrize("stage", ["loading", "decoding", "transcribing"])
def test_what_on_progress_raises_ends_the_work_before_the_next_call(
    engine: WhisperEngine, long_talk: Samples, stage: str
) -> None:
    stream = Stream(long_talk)
    stopped_at: list[float] = []

    def stop(progress: Progress) -> None:
        if progress.stage == stage:
            stopped_at.append(time.monotonic())
            raise StopError

    with pytest.raises(StopError):
        run(engine, stream, on_progress=stop)

    assert time.monotonic() - stopped_at[0] < 1
    assert len(stopped_at) == 1
    assert stream.closed
    assert stream.read < len(long_talk)
    assert run(engine, long_talk[: 3 * RATE]).transcript.text  # and the model is free again


def test_an_error_of_the_decoder_comes_out_as_it_is(engine: WhisperEngine) -> None:
    class Failing(Stream):
        def __next__(self) -> Samples:
            if self.read:
                raise EmptyMediaError("as it is")
            return super().__next__()

    stream = Failing(np.zeros(2 * RATE, np.float32))

    with pytest.raises(EmptyMediaError, match="as it is"):
        run(engine, stream)
    assert stream.closed


@pytest.mark.parametrize("vad_filter", [True, False])
def test_no_samples_are_an_empty_recording(engine: WhisperEngine, vad_filter: bool) -> None:
    with pytest.raises(EmptyMediaError):
        run(engine, np.zeros(0, np.float32), vad_filter=vad_filter)


def test_a_closed_engine_has_no_model_and_takes_no_work(
    resolver: ModelResolver, clips: dict[str, Samples]
) -> None:
    before = set(threading.enumerate())
    engine = an_engine(resolver)
    assert run(engine, clips["hello_world"]).transcript.text
    assert engine.loaded() == (MODEL,)
    callers = set(threading.enumerate()) - before

    engine.close()

    assert engine.loaded() == ()
    assert callers
    assert not any(one.is_alive() for one in callers)
    with pytest.raises(ModelUnavailableError):
        run(engine, clips["hello_world"])


# --- Several languages.


@pytest.fixture(scope="module")
def polyglot(resolver: ModelResolver) -> Iterator[WhisperEngine]:
    engine = an_engine(resolver)
    yield engine
    engine.close()


def spoken(language: str) -> Samples:
    """A sentence and some numbers, with a short pause."""
    sentence, numbers = (decode_audio(str(bundled(n, language).media)) for n in SPOKEN[language])
    return joined(sentence, 0.5, numbers)


def in_base(engine: WhisperEngine, audio: Samples, **options: Any) -> Transcript:
    return run(engine, audio, model="base", **options).transcript


@pytest.mark.parametrize("language", SPOKEN)
def test_the_language_is_heard(polyglot: WhisperEngine, language: str) -> None:
    transcript = in_base(polyglot, spoken(language), beam_size=1)

    assert transcript.language == language
    assert 0.3 < transcript.language_probability <= 1
    assert transcript.text


def test_a_sentence_in_another_language_is_written_in_it(polyglot: WhisperEngine) -> None:
    spanish, english = spoken("es"), spoken("en")
    audio = joined(spanish, 3.0, spanish, 3.0, english, 3.0, spanish)

    transcript = in_base(polyglot, audio)

    assert transcript.language == "es"
    middle = [one for one in transcript.segments if one.start > 2 * (len(spanish) / RATE + 2.5)]
    assert FOX in transcript.text.lower()
    assert FOX in "".join(one.text for one in middle).lower()
    assert transcript.text.lower().count("feliz cardillo") == 3


def test_the_language_even_of_a_single_window_can_be_heard(polyglot: WhisperEngine) -> None:
    heard = polyglot.hear(
        Stream(spoken("es")), model="base", options=TranscribeOptions(), on_progress=ignore
    )

    assert heard.language == "es"
    assert heard.probability > 0.5


def test_a_multilingual_model_translates(polyglot: WhisperEngine) -> None:
    transcript = in_base(polyglot, spoken("fr"), task="translate", language="fr")

    assert (transcript.task, transcript.language) == ("translate", "fr")
    assert re.search(r"\b(five|5)\b", transcript.text)


def test_a_language_that_the_model_does_not_know_is_refused(polyglot: WhisperEngine) -> None:
    with pytest.raises(InvalidValueError, match="does not know"):
        in_base(polyglot, np.zeros(RATE, np.float32), language="yue")
