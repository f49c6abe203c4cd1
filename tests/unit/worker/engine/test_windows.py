"""Where a recording is cut. The samples say themselves how likely they are speech."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.engine.scripted import a_window, samples_of
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech
from whisperdrop_worker.engine.windows import FRAMES_A_SECOND, Cutting, Window, Windower

pytestmark = pytest.mark.usefixtures("speech_is_told")

CUTTING = Cutting()
FRAME_S = 1 / FRAMES_A_SECOND
ON = round(CUTTING.threshold * 255)

few = settings(max_examples=60)


def track(*stretches: tuple[float, int]) -> Speech:
    """Probabilities of stretches: seconds, and a level from 0 to 255."""
    return np.concatenate(
        [np.full(round(seconds * FRAMES_A_SECOND), level, np.uint8) for seconds, level in stretches]
    )


@st.composite
def tracks(draw: st.DrawFn) -> Speech:
    """Talks and pauses of all lengths, sure and unsure, with some noise on top."""
    lengths = st.sampled_from([0.04, 0.2, 0.45, 0.55, 1.0, 1.9, 2.5, 5.0, 12.0, 17.0, 24.0, 40.0])
    levels = st.sampled_from([0, 5, 40, 60, ON - 1, ON, 120, 200, 255])
    stretches = draw(st.lists(st.tuples(lengths, levels), min_size=1, max_size=12))
    found = track(*stretches)
    spread = draw(st.sampled_from([0, 0, 15, 60]))
    seed = draw(st.integers(0, 2**16))
    noise = np.random.default_rng(seed).normal(0, 1, len(found)) * spread
    return np.clip(found + noise, 0, 255).astype(np.uint8)


def cut(
    audio: Samples, sizes: Iterable[int] = (), *, skip_silence: bool = True
) -> tuple[list[Window], int]:
    """The windows, and the most samples that were kept; blocks of ``sizes``, then of 1 s."""
    windower = Windower(CUTTING, skip_silence=skip_silence)
    found: list[Window] = []
    most = at = 0
    sizes = iter(sizes)
    while at < len(audio):
        size = next(sizes, 16_000)
        found += windower.feed(audio[at : at + size])
        most = max(most, windower.kept)
        at += size
    found += windower.finish()
    return found, most


def inside(windows: list[Window], frames: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which frames of the recording are in some window."""
    covered = np.zeros(frames, bool)
    for one in windows:
        first = one.start // FRAME_SAMPLES
        covered[first : first + len(one.speech)] = True
    return covered


@few
@given(tracks(), st.booleans(), st.integers(0, FRAME_SAMPLES - 1))
def test_windows_are_numbered_in_order_and_do_not_overlap(
    speech: Speech, skip_silence: bool, missing: int
) -> None:
    audio = samples_of(speech)
    windows, _ = cut(audio[: len(audio) - missing], skip_silence=skip_silence)

    assert [one.index for one in windows] == list(range(len(windows)))
    for before, after in pairwise(windows):
        assert before.start + len(before.audio) <= after.start
    for one in windows:
        assert len(one.audio) > 0
        assert one.start + len(one.audio) <= len(audio) - missing


@few
@given(tracks(), st.booleans())
def test_no_window_is_longer_than_allowed(speech: Speech, skip_silence: bool) -> None:
    windows, _ = cut(samples_of(speech), skip_silence=skip_silence)

    # One frame more only where the recording ends with it.
    assert all(one.duration_s <= CUTTING.max_s for one in windows[:-1])
    assert all(one.duration_s <= CUTTING.max_s + FRAME_S for one in windows)


@few
@given(tracks())
def test_all_that_may_be_speech_is_in_a_window(speech: Speech) -> None:
    windows, _ = cut(samples_of(speech))

    assert inside(windows, len(speech))[speech >= ON].all()


@few
@given(tracks())
def test_a_window_has_the_samples_and_the_probabilities_of_its_place(speech: Speech) -> None:
    audio = samples_of(speech)
    for one in cut(audio)[0]:
        first = one.start // FRAME_SAMPLES
        assert one.start % FRAME_SAMPLES == 0
        assert np.array_equal(one.audio, audio[one.start : one.start + len(one.audio)])
        assert np.array_equal(one.speech, speech[first : first + len(one.speech)])


@few
@given(tracks(), st.lists(st.integers(1, 50_000), max_size=40), st.booleans())
def test_it_is_cut_alike_however_it_arrives(
    speech: Speech, sizes: list[int], skip_silence: bool
) -> None:
    audio = samples_of(speech)

    one_way, _ = cut(audio, [len(audio)], skip_silence=skip_silence)
    other_way, _ = cut(audio, sizes, skip_silence=skip_silence)

    assert [(one.start, len(one.audio)) for one in one_way] == [
        (one.start, len(one.audio)) for one in other_way
    ]


@few
@given(tracks())
def test_everything_is_in_a_window_where_silence_is_not_skipped(speech: Speech) -> None:
    audio = samples_of(speech)[:-100]

    windows, _ = cut(audio, skip_silence=False)

    assert sum(len(one.audio) for one in windows) == len(audio)
    assert inside(windows, len(speech)).all()


@pytest.mark.parametrize("level", [0, ON - 1, 255], ids=["silence", "murmur", "speech"])
@pytest.mark.parametrize("skip_silence", [True, False])
def test_memory_does_not_grow_with_the_recording(level: int, skip_silence: bool) -> None:
    audio = samples_of(track((300, level)))

    _, most = cut(audio, skip_silence=skip_silence)

    assert most <= (CUTTING.max_s + 2 + CUTTING.pad_s) * 16_000


@few
@given(tracks())
def test_no_more_is_kept_than_a_window_needs(speech: Speech) -> None:
    _, most = cut(samples_of(speech))

    # An open window, the pause behind it, speech that may be too long to join; and a block.
    assert most <= (CUTTING.max_s + 2 * CUTTING.join_gap_s + 2) * 16_000


def test_silence_has_no_window() -> None:
    assert cut(samples_of(track((60, 0))))[0] == []
    assert cut(np.zeros(0, np.float32))[0] == []


def test_speech_is_widened_on_both_sides() -> None:
    [only] = cut(samples_of(track((5, 0), (4, 255), (5, 0))))[0]

    assert only.start_s == pytest.approx(5 - CUTTING.pad_s, abs=FRAME_S)
    assert only.end_s == pytest.approx(9 + CUTTING.pad_s, abs=FRAME_S)
    assert only.speech_s() == pytest.approx(4, abs=FRAME_S)


def test_sentences_with_a_short_pause_share_a_window() -> None:
    [only] = cut(samples_of(track((1, 0), (4, 255), (1.5, 0), (4, 255), (1, 0))))[0]

    assert only.speech_s() == pytest.approx(8, abs=2 * FRAME_S)


def test_a_long_pause_parts_windows() -> None:
    first, second = cut(samples_of(track((4, 255), (3, 0), (4, 255))))[0]

    assert first.end_s == pytest.approx(4 + CUTTING.pad_s, abs=FRAME_S)
    assert second.start_s == pytest.approx(7 - CUTTING.pad_s, abs=FRAME_S)


def test_sentences_that_are_too_long_together_are_parted_in_the_pause() -> None:
    first, second = cut(samples_of(track((12, 255), (0.7, 0), (12, 255))))[0]

    assert first.end_s == second.start_s == pytest.approx(12.35, abs=FRAME_S)


def test_speech_without_a_pause_is_cut_at_its_quietest_moment() -> None:
    windows, _ = cut(samples_of(track((20, 255), (0.3, 130), (20, 255))))

    assert windows[0].end_s == windows[1].start_s == pytest.approx(20.15, abs=0.15)


def test_a_window_waits_no_longer_than_the_pause_that_ends_it() -> None:
    windower = Windower(CUTTING)

    assert windower.feed(samples_of(track((4, 255), (CUTTING.join_gap_s, 0)))) == []
    assert len(windower.feed(samples_of(track((0.2, 0))))) == 1


def test_the_rest_of_a_window_knows_its_place_in_the_recording() -> None:
    window = a_window(10, speech_s=6, index=3, start_s=100)

    rest = window.rest(4.0)

    assert rest.index == 3
    assert rest.start_s == 104.0
    assert rest.end_s == window.end_s
    assert rest.speech_s() == pytest.approx(2, abs=FRAME_S)
    assert window.speech_s(after_s=4.0) == rest.speech_s()
