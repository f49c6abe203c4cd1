import json
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import decode_audio

from bench import synthesis
from bench.recordings import RATE, Recording
from bench.synthesis import from_plan, joined, write_flac


@pytest.fixture
def tone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A second of a quiet tone; what is made of it goes to a folder of its own."""
    monkeypatch.setattr(synthesis, "AUDIO", tmp_path / "made")
    samples = (0.1 * np.sin(np.arange(RATE) / 10)).astype(np.float32)
    write_flac([samples], tmp_path / "tone.flac")
    return Recording(tmp_path / "tone.flac", "la", 1.0, "en")


def test_a_flac_has_the_samples_that_were_written(tone: Recording) -> None:
    samples = np.asarray(decode_audio(str(tone.path)))

    assert len(samples) == RATE
    assert np.abs(samples).max() == pytest.approx(0.1, abs=0.001)
    assert list(tone.path.parent.glob("*.partial")) == []


def test_a_long_recording_is_a_short_one_many_times_and_made_once(tone: Recording) -> None:
    made = joined([tone], 4)
    written = made.path.stat().st_mtime_ns

    assert made.text == "la la la"
    assert made.duration_s == 4.5  # each with half a second of pause
    assert len(decode_audio(str(made.path))) == 4.5 * RATE
    assert joined([tone], 4).path.stat().st_mtime_ns == written


def test_in_several_languages_there_is_no_text_to_compare_with(tone: Recording) -> None:
    german = Recording(tone.path, "la", 1.0, "de")

    assert joined([tone, german], 3).text == ""


def test_a_plan_is_carried_out_at_one_level(tone: Recording, tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    parts = [{"part": "tone.flac", "gap_after_s": 0.5}] * 2
    plan = {"sample_rate": RATE, "rms": 0.2, "parts": parts}
    (tmp_path / "long" / "long30.plan.json").write_text(json.dumps(plan))

    made = from_plan(tmp_path, "long30", {"tone.flac": "la"})

    assert made is not None
    assert (made.text, made.duration_s) == ("la la", 3.0)
    samples = np.asarray(decode_audio(str(made.path)))
    assert np.sqrt(np.mean(samples[:RATE] ** 2)) == pytest.approx(0.2, abs=0.001)
    assert np.abs(samples[RATE + 1 : RATE + RATE // 2]).max() < 0.002


def test_without_a_plan_or_all_its_parts_there_is_nothing(tone: Recording, tmp_path: Path) -> None:
    assert from_plan(tmp_path, "long30", {}) is None
    (tmp_path / "long").mkdir()
    plan = {"sample_rate": RATE, "rms": 0.2, "parts": [{"part": "other", "gap_after_s": 0}]}
    (tmp_path / "long" / "long30.plan.json").write_text(json.dumps(plan))
    assert from_plan(tmp_path, "long30", {tone.name: "la"}) is None
