from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from bench.accuracy import CachedContender, Row, score, section
from bench.contenders import Contender
from bench.http import Load, ratio
from bench.latency import Ended, before_the_first_long
from bench.plan import understood
from bench.recordings import Recording
from bench.scoring import Errors
from bench.speed import Comparison, Timing, compare


class Parrot(Contender):
    """Says what it was told, and how often it was asked."""

    def __init__(self, name: str, text: str = "yes") -> None:
        self.name = name
        self.text = text
        self.asked: list[str] = []
        self.loaded = 0

    def __enter__(self) -> Self:
        self.loaded += 1
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def transcribe(self, recordings: Sequence[Recording]) -> list[str]:
        self.asked += [one.name for one in recordings]
        return [self.text for _ in recordings]


@pytest.fixture
def clips(tmp_path: Path) -> list[Recording]:
    """Two files of ten seconds."""
    found = [Recording(tmp_path / name, "yes", 10.0, "en") for name in ("a", "b")]
    for one in found:
        one.path.write_bytes(one.name.encode())
    return found


def test_contenders_take_turns_after_a_warm_up(clips: list[Recording]) -> None:
    one, other = Parrot("one"), Parrot("other")

    found = compare("clips", [one, other], clips, rounds=3, warm_up=clips[0])

    assert one.asked == other.asked == ["a", *["a", "b"] * 3]
    assert [len(timing.walls) for timing in found.timings] == [3, 3]


def test_a_comparison_has_ratios_speed_and_errors(clips: list[Recording]) -> None:
    theirs = Timing("faster-whisper, its default", (4.0, 8.0, 4.0), ("yes", "yes"))
    ours = Timing("whisperdrop", (2.0, 2.0, 1.0), ("yes", "no"))
    found = Comparison("tiny.en, clips", clips, [theirs, ours])

    assert found.ratio(ours, theirs) == 4.0
    assert found.ratio(theirs, theirs) == 1.0
    assert found.wer(ours) == 0.5
    assert found.table().columns == ("", "wall s", "x real time", "x its default", "WER %")
    assert found.table().rows[1] == ("whisperdrop", "2.00", "10.0", "4.00", "50.0")
    assert [bar.value for bar in found.chart().bars] == [1.0, 4.0]


def test_where_nobody_knows_what_was_said_there_is_no_error_rate(clips: list[Recording]) -> None:
    mute = [Recording(one.path, "", one.duration_s, "en") for one in clips]
    timing = Timing("whisperdrop", (1.0,), ("yes", "no"))

    assert Comparison("clips", mute, [timing]).wer(timing) is None


def test_over_http_the_ratio_is_for_each_second_of_audio() -> None:
    direct = Load(0, audio_s=100, walls=[10.0, 20.0])
    load = Load(32, audio_s=200, walls=[10.0, 20.0])

    assert ratio(direct, load) == 2.0


def test_clips_that_passed_every_long_file_are_counted() -> None:
    kinds = ["clip", "clip", "long", "clip"]

    assert before_the_first_long([Ended(kind, 0.0, 0.0) for kind in kinds]) == 2


def test_a_model_for_english_is_asked_for_nothing_else(clips: list[Recording]) -> None:
    german = Recording(Path("de"), "ja", 1.0, "de")

    assert understood([*clips, german], "tiny.en") == clips
    assert understood([*clips, german], "base") == [*clips, german]


def test_a_text_in_the_cache_is_not_made_again(clips: list[Recording], tmp_path: Path) -> None:
    parrot = Parrot("sequential")
    cached = CachedContender(parrot, "tiny.en", tmp_path / "cache")

    assert cached.transcribe(clips[:1]) == ["yes"]
    assert cached.transcribe(clips) == ["yes", "yes"]
    assert cached.transcribe(clips) == ["yes", "yes"]
    assert parrot.asked == ["a", "b"]
    assert parrot.loaded == 2


def test_another_model_language_or_file_is_another_text(clips: list[Recording]) -> None:
    cached = CachedContender(Parrot("sequential"), "tiny.en")
    before = cached.key(clips[0])
    german = Recording(clips[0].path, "", 1.0, "de")

    assert CachedContender(Parrot("sequential"), "base").key(clips[0]) != before
    assert cached.key(german) != before
    clips[0].path.write_bytes(b"other")
    assert cached.key(clips[0]) != before


def test_sets_are_scored_beside_each_other(clips: list[Recording]) -> None:
    chosen = {"core": clips}
    texts = {one.path: one.name for one in clips}
    right = {one.path: one.text for one in clips}
    rows = [
        *score("tiny.en", "faster-whisper, sequential", chosen, right),
        *score("tiny.en", "whisperdrop", chosen, texts),
    ]

    assert rows[1] == Row("tiny.en", "core", "whisperdrop", 2, 20.0, "WER", Errors(2, 0, 0, 2))
    found = section(rows)
    assert found.tables[0].rows == [
        ("core", "2", "20", "WER", "0.0", "0/0/0", "100.0", "2/0/0", "+100.0")
    ]
    assert [(bar.value, bar.ours) for bar in found.charts[0].bars] == [(0.0, False), (100.0, True)]


def test_a_set_that_a_model_does_not_understand_has_no_row() -> None:
    german = Recording(Path("de"), "ja", 1.0, "de")

    assert score("tiny.en", "whisperdrop", {"multilingual de": [german]}, {}) == []
