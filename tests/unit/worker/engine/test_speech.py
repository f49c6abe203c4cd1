"""The voice detector: what arrives in blocks is heard as if it came at once."""

import numpy as np
import pytest
from faster_whisper import decode_audio
from faster_whisper.vad import get_vad_model

from tests.recordings import bundled
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech, SpeechDetector


@pytest.fixture(scope="module")
def audio() -> Samples:
    """Speech, a pause and speech, that does not end with a frame."""
    names = ("quick_brown_fox", "counting")
    fox, counting = (decode_audio(str(bundled(name).media)) for name in names)
    joined = np.concatenate([fox, np.zeros(20_000, np.float32), counting])
    assert len(joined) % FRAME_SAMPLES
    return joined


def heard(audio: Samples, block: int) -> Speech:
    detector = SpeechDetector()
    pieces = [detector.feed(audio[at : at + block]) for at in range(0, len(audio), block)]
    return np.concatenate([*pieces, detector.finish()])


def all_at_once(audio: Samples) -> Samples:
    """faster-whisper's own probabilities."""
    padded = np.pad(audio, (0, -len(audio) % FRAME_SAMPLES))
    found: Samples = get_vad_model()(padded).reshape(-1)
    return found


@pytest.mark.parametrize("block", [100, 511, 512, 513, 7_777, 16_000, 10**6])
def test_blocks_of_any_size_are_heard_as_faster_whisper_hears_the_whole(
    audio: Samples, block: int
) -> None:
    found = heard(audio, block) / 255

    expected = all_at_once(audio)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1 / 255


def test_speech_is_told_from_a_pause(audio: Samples) -> None:
    found = heard(audio, 16_000)

    assert found.max() > 240
    assert found[100:125].max() < 30


def test_a_frame_is_judged_when_it_is_complete(audio: Samples) -> None:
    detector = SpeechDetector()

    assert len(detector.feed(audio[:511])) == 0
    assert len(detector.feed(audio[511:512])) == 1
    assert len(detector.feed(audio[512:600])) == 0
    assert len(detector.finish()) == 1
    assert len(detector.finish()) == 0


def test_no_samples_have_no_probabilities() -> None:
    detector = SpeechDetector()

    assert len(detector.feed(np.zeros(0, np.float32))) == 0
    assert len(detector.finish()) == 0
