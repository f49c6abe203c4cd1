"""Finished windows in any order are one transcript, and parts of it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperdrop.domain.transcript import Segment
from whisperdrop_worker.engine.attempts import Finished
from whisperdrop_worker.engine.stitch import Stitcher

WINDOW_S = 9.6
"""Exactly 300 frames of the voice detector."""


def finished(index: int, segments: int = 2) -> Finished:
    """The window ``index`` of a recording in which somebody speaks all the time."""
    start = index * WINDOW_S
    return Finished(
        index=index,
        end_s=start + WINDOW_S,
        duration_s=WINDOW_S,
        language="en",
        language_probability=1.0,
        segments=tuple(
            Segment(id=0, seek=0, start=start + n, end=start + n + 1, text=f" w{index}s{n}")
            for n in range(segments)
        ),
    )


def stitched(*indices: int, saved: Stitcher | None = None) -> Stitcher:
    stitcher = saved or Stitcher()
    for index in indices:
        stitcher.add(finished(index))
    return stitcher


def texts(stitcher: Stitcher) -> str:
    return "".join(segment.text for segment in stitcher.segments()).strip()


@given(st.permutations(range(6)))
def test_the_order_in_which_windows_end_does_not_matter(order: list[int]) -> None:
    stitcher = stitched(*order)

    assert stitcher.segments() == stitched(*range(6)).segments()
    assert [segment.id for segment in stitcher.segments()] == list(range(12))
    assert stitcher.done_s == stitcher.finished_s == pytest.approx(6 * WINDOW_S)
    assert stitcher.window_s == pytest.approx(6 * WINDOW_S)


@given(st.permutations(range(6)))
def test_what_is_finished_grows_with_every_window_whatever_comes_first(order: list[int]) -> None:
    stitcher = Stitcher()
    for count, index in enumerate(order, start=1):
        stitcher.add(finished(index))

        assert stitcher.finished_s == pytest.approx(count * WINDOW_S)


def test_nothing_is_done_yet() -> None:
    stitcher = Stitcher()

    assert (stitcher.next_window, stitcher.done_s, stitcher.window_s) == (0, 0, 0)
    assert stitcher.segments() == ()


def test_what_comes_early_waits_for_what_is_before_it() -> None:
    stitcher = stitched(0, 2, 3)

    assert stitcher.next_window == 1
    assert stitcher.done_s == pytest.approx(WINDOW_S)
    assert texts(stitcher) == "w0s0 w0s1"
    stitcher.add(finished(1))
    assert stitcher.next_window == 4


@given(st.permutations(range(8)), st.integers(1, 3))
def test_parts_follow_each_other_without_gaps(order: list[int], windows: int) -> None:
    stitcher = Stitcher()
    parts = []
    for index in order:
        stitcher.add(finished(index))
        if stitcher.unsaved_s >= windows * WINDOW_S - 0.001:
            parts.append(stitcher.part("en", 0.9))

    assert parts[0].follows(None)
    assert all(after.follows(before) for before, after in pairwise(parts))
    assert sum(part.window_s for part in parts) + stitcher.unsaved_s == pytest.approx(8 * WINDOW_S)
    assert stitcher.segments() == stitched(*range(8)).segments()


def test_a_part_is_a_document_of_its_own() -> None:
    stitcher = stitched(0, 1)
    stitcher.part("es", 0.75)
    stitcher.add(finished(2))

    part = stitcher.part("es", 0.75)

    assert (part.n, part.first_window, part.end_window) == (1, 2, 3)
    assert (part.language, part.language_probability) == ("es", 0.75)
    assert part.end_s == pytest.approx(3 * WINDOW_S)
    assert part.window_s == pytest.approx(WINDOW_S)
    assert [(segment.id, segment.text) for segment in part.segments] == [(0, " w2s0"), (1, " w2s1")]
    assert stitcher.unsaved_s == 0
    assert stitcher.done_s == part.end_s


def test_what_was_saved_is_gone_on_from() -> None:
    before = stitched(0, 1)
    saved = [before.part("en", 1.0)]
    before.add(finished(2))
    saved.append(before.part("en", 1.0))

    stitcher = Stitcher(saved)

    assert stitcher.next_window == 3
    assert stitcher.done_s == pytest.approx(3 * WINDOW_S)
    assert stitcher.unsaved_s == 0
    stitched(4, 3, saved=stitcher)
    assert stitcher.segments() == stitched(*range(5)).segments()
    assert stitcher.window_s == pytest.approx(5 * WINDOW_S)
    assert stitcher.part("en", 1.0).follows(saved[-1])


def test_a_part_says_where_its_last_window_s_chapter_begins() -> None:
    stitcher = stitched(0, 1)

    part = stitcher.part("en", 1.0, (3, 1))

    assert (part.chapter, part.chapter_window) == (3, 1)
    assert Stitcher([part]).chapter == (3, 1)
    assert Stitcher().chapter == (0, 0)
