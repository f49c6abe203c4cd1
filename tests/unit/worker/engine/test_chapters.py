"""Where chapters begin, and that it does not matter who cuts which. Samples say what they are."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.engine.scripted import samples_of
from tests.unit.worker.engine.test_windows import inside, track, tracks
from whisperdrop_worker.engine.chapters import Chapters, grid_of
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech
from whisperdrop_worker.engine.windows import FRAMES_A_SECOND, Cutting, Window

pytestmark = pytest.mark.usefixtures("speech_is_told")

CUTTING = replace(Cutting(), first_chapter_s=32.0, chapter_s=24.0, boundary_s=8.0, warm_up_s=3.2)
GRID = grid_of(CUTTING)
few = settings(max_examples=60)

Place = tuple[int, int]


def cut(
    audio: Samples,
    sizes: Iterable[int] = (),
    *,
    cutting: Cutting = CUTTING,
    skip_silence: bool = True,
) -> tuple[list[Window], Chapters]:
    """All of it by one; blocks of ``sizes``, then of 1 s."""
    chapters = Chapters(cutting, skip_silence=skip_silence)
    found = [window for block in blocks(audio, sizes) for window in chapters.feed(block)]
    return found + chapters.finish(), chapters


def blocks(audio: Samples, sizes: Iterable[int] = ()) -> Iterable[Samples]:
    sizes = iter(sizes)
    at = 0
    while at < len(audio):
        size = next(sizes, 16_000)
        yield audio[at : at + size]
        at += size


def span(audio: Samples, first: int, end: int | None, *, skip_silence: bool = True) -> list[Window]:
    """Some chapters by somebody who has no more than their samples."""
    begin = GRID.needed(first)
    chapters = Chapters(CUTTING, skip_silence=skip_silence, first=first, end=end, at=begin)
    mine = audio[begin : None if end is None else GRID.decided(end)]
    found = [window for block in blocks(mine) for window in chapters.feed(block)]
    return found + chapters.finish()


def places(windows: list[Window]) -> list[Place]:
    return [(one.start, len(one.audio)) for one in windows]


def same(some: list[Window], others: list[Window]) -> bool:
    return places(some) == places(others) and all(
        np.array_equal(one.audio, other.audio) and np.array_equal(one.speech, other.speech)
        for one, other in zip(some, others, strict=True)
    )


@few
@given(tracks(), st.lists(st.integers(1, 700_000), max_size=20), st.booleans())
def test_it_is_cut_alike_however_it_arrives(
    speech: Speech, sizes: list[int], skip_silence: bool
) -> None:
    audio = samples_of(speech)[:-77]
    at_once, _ = cut(audio, [len(audio)], skip_silence=skip_silence)
    in_blocks, _ = cut(audio, sizes, skip_silence=skip_silence)
    assert same(at_once, in_blocks)


@few
@given(tracks(), st.lists(st.integers(1, 12), max_size=4), st.booleans(), st.integers(0, 3))
def test_whoever_cuts_which_chapters_they_are_the_same(
    speech: Speech, ends: list[int], skip_silence: bool, wrong: int
) -> None:
    audio = samples_of(speech)[:-77]
    alone, _ = cut(audio, skip_silence=skip_silence)
    # Also where the recording has fewer chapters than was planned.
    ends = sorted({end for end in ends if end <= GRID.count(len(audio)) + wrong})
    together = [
        window
        for first, end in zip([0, *ends], [*ends, None], strict=True)
        for window in span(audio, first, end, skip_silence=skip_silence)
    ]
    assert same(alone, together)


@few
@given(tracks(), st.integers(0, 40))
def test_who_goes_on_at_a_chapter_cuts_what_is_left(speech: Speech, done: int) -> None:
    audio = samples_of(speech)
    alone, chapters = cut(audio)
    if not alone:
        return
    last = min(done, len(alone) - 1)
    chapter, index = chapters.begin_of(last)
    assert index <= last
    again = Chapters(CUTTING, first=chapter, index=index)
    found = [window for block in blocks(audio) for window in again.feed(block)] + again.finish()
    assert again.seconds == chapters.seconds == len(audio) / 16_000
    assert [one.index for one in found] == list(range(index, len(alone)))
    assert same(found, alone[index:])


@few
@given(tracks(), st.booleans())
def test_windows_are_numbered_in_order_and_no_speech_is_lost(
    speech: Speech, skip_silence: bool
) -> None:
    audio = samples_of(speech)[:-100]
    windows, chapters = cut(audio, skip_silence=skip_silence)
    assert [one.index for one in windows] == list(range(len(windows)))
    assert all(one.start + len(one.audio) <= two.start for one, two in pairwise(windows))
    covered = inside(windows, len(speech))
    assert covered[speech >= CUTTING.on].all()
    assert skip_silence or sum(len(one.audio) for one in windows) == len(audio)
    assert chapters.seconds == len(audio) / 16_000


@few
@given(tracks())
def test_no_more_is_kept_than_a_window_and_a_boundary_need(speech: Speech) -> None:
    chapters = Chapters(CUTTING)
    most = 0
    for block in blocks(samples_of(speech)):
        chapters.feed(block)
        most = max(most, chapters.kept)
    held_s = CUTTING.boundary_s + 2
    assert most <= (CUTTING.max_s + 2 * CUTTING.join_gap_s + held_s) * 16_000


def pauses(speech: Speech, begin: int, end: int) -> list[Place]:
    """Frames of the pauses within ``begin`` and ``end`` that are worth the name."""
    quiet = np.pad(speech[begin:end] < CUTTING.off, 1).astype(np.int8)
    edges = np.flatnonzero(np.diff(quiet))
    return [
        (a + begin, b + begin) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 6
    ]


@few
@given(tracks())
def test_no_chapter_begins_in_speech_where_there_is_a_pause(speech: Speech) -> None:
    audio = samples_of(speech)
    # Without skipping there are no gaps: a chapter begins where its first window does.
    windows, chapters = cut(audio, skip_silence=False)
    firsts = {chapters.begin_of(one.index): one for one in reversed(windows)}
    for (chapter, _), window in firsts.items():
        earliest, latest = (
            at // FRAME_SAMPLES for at in (GRID.earliest(chapter), GRID.decided(chapter))
        )
        frame = window.start // FRAME_SAMPLES
        assert earliest <= frame <= latest
        found = pauses(speech, earliest, latest)
        if chapter and found:
            begin, end = max(found, key=lambda place: place[1] - place[0])
            assert begin <= frame < end or any(
                a <= frame < b and b - a == end - begin for a, b in found
            )
    assert len(firsts) == GRID.count(len(audio))


def test_a_chapter_begins_in_the_middle_of_the_longest_pause() -> None:
    speech = track((33, 255), (0.5, 0), (2, 255), (1.0, 0), (1, 255), (0.4, 0), (40, 255))
    windows, _ = cut(samples_of(speech), skip_silence=False)
    assert any(one.end_s == pytest.approx(36.0, abs=0.1) for one in windows)
    assert any(one.start_s == pytest.approx(36.0, abs=0.1) for one in windows)


def test_speech_without_a_pause_is_parted_at_its_quietest_moment() -> None:
    speech = track((35, 255), (0.4, 130), (40, 255))
    windows, _ = cut(samples_of(speech))
    assert any(one.start_s == pytest.approx(35.2, abs=0.2) for one in windows)


@pytest.mark.parametrize("more", [-1, 0])
def test_a_recording_has_a_chapter_where_it_has_all_that_decides_on_its_beginning(
    more: int,
) -> None:
    audio = samples_of(track((50, 255)))[: GRID.decided(1) + more]
    windows, chapters = cut(audio, skip_silence=False)
    assert GRID.count(len(audio)) == 2 + more
    assert chapters.begin_of(windows[-1].index)[0] == 1 + more


def test_a_recording_of_one_chapter_is_cut_as_if_there_were_none() -> None:
    audio = samples_of(track((5, 0), (20, 255), (1, 0), (10, 255)))
    longer = replace(CUTTING, first_chapter_s=3600.0)
    assert same(cut(audio)[0], cut(audio, cutting=longer)[0])


def test_chapters_that_nobody_asked_for_cost_nothing() -> None:
    chapters = Chapters(CUTTING, first=3)
    for block in blocks(samples_of(track((75, 255)))):
        assert chapters.feed(block) == []
        assert chapters.kept == 0
    assert chapters.seconds == pytest.approx(75, abs=1 / FRAMES_A_SECOND)


def test_who_has_cut_his_chapters_wants_no_more() -> None:
    audio = samples_of(track((80, 255)))
    chapters = Chapters(CUTTING, end=1)
    chapters.feed(audio[: GRID.decided(1) - 1])
    assert not chapters.done
    assert chapters.feed(audio[GRID.decided(1) - 1 :]) != []
    assert chapters.done
    assert chapters.finish() == []
