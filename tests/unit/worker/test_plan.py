import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_part, a_request, a_segment
from whisperdrop.domain.part import Part
from whisperdrop_worker.engine import Grid, Heard
from whisperdrop_worker.plan import Plan, span_ends

REQUEST = a_request()
CHAPTER_S = 60
GRID = Grid(
    first=2 * CHAPTER_S * 16_000, chapter=CHAPTER_S * 16_000, boundary=160_000, warm_up=16_000
)


def a_plan(*ends: int, duration: float) -> Plan:
    return Plan.of(Heard("en", 1.0), GRID, duration, ends)


def test_a_plan_is_read_back_from_its_json() -> None:
    plan = a_plan(2, 3, duration=200.5)
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert again.span(1) == plan.span(1)


@pytest.mark.parametrize(
    ("chapters", "most", "workers", "ends"),
    [
        (1, 5, None, (1,)),
        (4, 2, None, (1, 3, 4)),
        (5, 2, None, (1, 3, 5)),
        (6, 3, None, (1, 4, 6)),
        (4, 9, None, (1, 4)),
        (4, 9, 2, (1, 2, 3, 4)),
        (12, 9, 2, (1, 3, 5, 6, 7, 8, 9, 10, 11, 12)),
        (12, 2, 1, (1, 3, 5, 7, 9, 10, 11, 12)),
    ],
)
def test_spans_are_as_long_as_asked_and_shorter_towards_the_end(
    chapters: int, most: int, workers: int | None, ends: tuple[int, ...]
) -> None:
    assert span_ends(chapters, most, workers) == ends


@given(st.integers(1, 500), st.integers(1, 20), st.none() | st.integers(1, 100))
def test_spans_are_all_chapters_once_and_all_time(
    chapters: int, most: int, workers: int | None
) -> None:
    duration = CHAPTER_S * (chapters + 1) + 5.0
    plan = a_plan(*span_ends(chapters, most, workers), duration=duration)
    spans = [plan.span(n) for n in range(len(plan.ends))]
    assert [span.first for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert [span.until for span in spans] == [*(span.end for span in spans[:-1]), None]
    assert spans[-1].end == chapters
    assert [span.begin_s for span in spans] == [0.0, *(span.end_s for span in spans[:-1])]
    assert sum(plan.length_s(n) for n in range(len(spans))) == duration == spans[-1].end_s
    lengths = [span.end - span.first for span in spans]
    assert all(length <= most for length in lengths[:-1])
    assert lengths[-1] < 1.5 * most or lengths == [1]


def test_no_span_is_shorter_than_nothing_where_the_length_was_guessed() -> None:
    plan = a_plan(1, 2, 3, duration=160.0)
    assert [plan.length_s(n) for n in range(3)] == [120, 60, 0]


def test_a_part_is_held_to_its_span() -> None:
    plan = a_plan(2, 4, duration=240)
    part = a_part(1, " text", first_window=2, end_window=4)
    assert plan.holds(part, 1)
    assert not plan.holds(part, 0)
    for change in ({"n": 0}, {"first_window": 1}, {"end_window": 3}):
        assert not plan.holds(part.model_copy(update=change), 1)


def test_parts_become_one_transcript() -> None:
    plan = a_plan(2, 4, duration=240)
    parts: list[Part] = [a_part(0, " one", " two"), a_part(1, " three")]
    transcript = plan.transcript(REQUEST, parts)
    assert transcript.segments == (
        a_segment(0, " one"),
        a_segment(1, " two"),
        a_segment(0, " three").model_copy(update={"id": 2}),
    )
    assert transcript.job_id == REQUEST.job_id
    assert transcript.duration == 240
    assert transcript.duration_after_vad == 40.0


def test_the_length_that_was_found_counts_and_not_the_one_that_was_planned() -> None:
    parts = [a_part(0, " one"), a_part(1, " two").model_copy(update={"duration": 61.5})]
    assert a_plan(1, 2, duration=240).transcript(REQUEST, parts).duration == 61.5
