"""Subtitles of real speech, as other people's parsers read them."""

import html
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest
import srt
import webvtt
from faster_whisper import decode_audio

from tests.engines import WavStream
from tests.recordings import bundled, english_recording, manifest
from whisperdrop.domain.formats import CueRules, Format, render
from whisperdrop.domain.formats.scripts import columns
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.domain.transcript import Transcript
from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.whisper import Tuning, WhisperEngine
from whisperdrop_worker.model_pool import ModelPool
from whisperdrop_worker.models import ModelResolver

pytestmark = pytest.mark.speech

MODEL = "tiny.en"
RULES = CueRules()
Row = tuple[int, int, str]
"""Start and end in milliseconds, and the words."""


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WhisperEngine]:
    resolver = ModelResolver(cache_dir=tmp_path_factory.mktemp("models"), aliases={})
    pool = ModelPool(resolver, device="cpu", cpu_threads=1, num_workers=2)
    # What it hears need not be right, so nothing is decoded twice.
    tuning = Tuning(guard=Guard(min_avg_logprob=None, min_words_per_s=None, ladder=()))
    engine = WhisperEngine(pool, calls=2, tuning=tuning)
    engine.preload([MODEL])
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def transcripts(
    engine: WhisperEngine, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Transcript]:
    """Every recording of the package and a minute more; the English ones without word times too.

    tiny.en hears English in every language: odd words, and all the better for it.
    """
    folder = bundled().media.parent.parent
    minute = english_recording(tmp_path_factory.mktemp("speech") / "minute.wav", 60)
    with ThreadPoolExecutor(4) as side_by_side:
        found = {
            f"{media.parent.name}/{media.stem} {words=}": side_by_side.submit(
                _transcribed, engine, media, words=words
            )
            for media in (*sorted(folder.glob("*/*.wav")), minute)
            for words in ((False, True) if media.parent.name == "en" else (True,))
        }
    return {name: future.result() for name, future in found.items()}


def _transcribed(engine: WhisperEngine, media: Path, *, words: bool) -> Transcript:
    result = engine.transcribe(
        WavStream(decode_audio(str(media))),
        job_id="job",
        model=MODEL,
        options=TranscribeOptions(word_timestamps=words, beam_size=1),
        on_progress=lambda _: None,
    )
    return result.transcript


def body(transcript: Transcript, name: Format) -> str:
    return render(transcript, name).body.decode()


def words(text: str) -> str:
    return " ".join(text.split())


def srt_by_srt(text: str) -> list[Row]:
    return [
        (
            round(sub.start.total_seconds() * 1000),
            round(sub.end.total_seconds() * 1000),
            words(sub.content),
        )
        for sub in srt.parse(text)
    ]


def by_pysubs2(text: str, name: str) -> list[Row]:
    found = pysubs2.SSAFile.from_string(text, format_=name, keep_html_tags=True)
    return [
        (event.start, event.end, words(html.unescape(event.text.replace("\\N", "\n"))))
        for event in found
    ]


def vtt_by_webvtt(text: str) -> list[Row]:
    return [
        (
            _millis(caption.start_time),
            _millis(caption.end_time),
            words(html.unescape(caption.raw_text)),
        )
        for caption in webvtt.from_string(text).captions
    ]


def _millis(time: webvtt.models.Timestamp) -> int:
    return ((time.hours * 60 + time.minutes) * 60 + time.seconds) * 1000 + time.milliseconds


def test_there_are_twenty_recordings_and_more_with_and_without_words(
    transcripts: dict[str, Transcript],
) -> None:
    spoken = [name for name, found in transcripts.items() if found.segments]
    assert len({name.split()[0] for name in spoken}) >= 20
    timed = [found for name, found in transcripts.items() if name.endswith("True")]
    assert sum(bool(found.segments and found.segments[0].words) for found in timed) >= 20


def test_two_libraries_read_the_same_cues_with_all_of_the_text(
    transcripts: dict[str, Transcript],
) -> None:
    for name, transcript in transcripts.items():
        rows = srt_by_srt(body(transcript, "srt"))
        assert rows == by_pysubs2(body(transcript, "srt"), "srt"), name
        assert rows == vtt_by_webvtt(body(transcript, "vtt")), name
        assert rows == by_pysubs2(body(transcript, "vtt"), "vtt"), name
        assert words(" ".join(row[2] for row in rows)) == words(transcript.text), name


def check_rules(name: str, transcript: Transcript) -> None:
    subs = list(srt.parse(body(transcript, "srt")))
    for sub in subs:
        lines = sub.content.split("\n")
        assert len(lines) <= RULES.max_lines, name
        for line in lines:
            assert columns(line) <= 42 or " " not in line, (name, line)
        seconds = (sub.end - sub.start).total_seconds()
        assert 0 < seconds <= RULES.max_cue_seconds, name
    for sub, following in pairwise(subs):
        assert (following.start - sub.end).total_seconds() >= RULES.min_gap_seconds, name
        room = (following.start - sub.start).total_seconds() - RULES.min_gap_seconds
        wanted = max(RULES.min_cue_seconds, len(sub.content) / 20)
        assert (sub.end - sub.start).total_seconds() >= min(wanted, room, 7) - 0.001, name


def test_cues_of_real_speech_keep_the_rules(transcripts: dict[str, Transcript]) -> None:
    for name, transcript in transcripts.items():
        check_rules(name, transcript)


def test_with_word_times_a_cue_begins_when_it_is_spoken(
    transcripts: dict[str, Transcript],
) -> None:
    for name, transcript in transcripts.items():
        spoken = [word.start for one in transcript.segments for word in one.words or ()]
        if not spoken:
            continue
        for start, _, _ in srt_by_srt(body(transcript, "srt")):
            # A cue may come 0.3 s late, so that the one before can be read.
            late = min(abs(start / 1000 - word) for word in spoken)
            assert late <= 0.301, name


@pytest.mark.shared
def test_a_long_recording_of_real_talk_keeps_the_rules(
    engine: WhisperEngine, project_root: Path
) -> None:
    talks = [one for one in manifest(project_root) if one.text and 25 <= one.duration_s <= 40]
    for one in talks[:2]:
        transcript = _transcribed(engine, one.path, words=True)
        rows = srt_by_srt(body(transcript, "srt"))
        assert rows == by_pysubs2(body(transcript, "srt"), "srt")
        assert rows == vtt_by_webvtt(body(transcript, "vtt"))
        assert words(" ".join(row[2] for row in rows)) == words(transcript.text)
        check_rules(one.path.name, transcript)
