import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_part, a_request, a_segment
from whisperdrop.domain.part import Part
from whisperdrop_worker.engine import Cut, Survey
from whisperdrop_worker.plan import Plan

REQUEST = a_request()


def a_survey(*lengths_s: float, gap_s: float = 1.0) -> Survey:
    """Windows of these lengths, each after a pause."""
    cuts, at = [], 0.0
    for n, length_s in enumerate(lengths_s):
        at += gap_s
        cuts.append(Cut(round(at * 16_000), round(length_s * 16_000), bytes([n % 256, 255])))
        at += length_s
    return Survey(tuple(cuts), "en", 1.0, at + gap_s)


def test_a_plan_is_read_back_from_its_json() -> None:
    plan = Plan.of(a_survey(10, 20, 5), span_s=15)
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert [cut for n in range(len(plan.ends)) for cut in again.span(n).cuts] == list(
        a_survey(10, 20, 5).cuts
    )


@pytest.mark.parametrize(
    ("lengths", "span_s", "ends"),
    [
        ((9,), 100, (1,)),
        ((9, 9, 9, 9), 20, (2, 4)),
        ((9, 9, 9, 9, 8), 20, (2, 5)),
        ((9, 9, 9, 9, 10), 20, (2, 4, 5)),
        ((9, 9, 9, 9, 9, 9), 20, (2, 4, 6)),
        ((50, 50), 10, (1, 2)),
        ((9, 1), 10, (2,)),
        ((), 10, ()),
    ],
)
def test_spans_are_about_as_long_as_asked(
    lengths: tuple[float, ...], span_s: float, ends: tuple[int, ...]
) -> None:
    assert Plan.of(a_survey(*lengths), span_s).ends == ends


@given(st.lists(st.floats(0.1, 26), min_size=1, max_size=60), st.floats(1, 200))
def test_spans_are_all_windows_once_and_all_time_up_to_the_last(
    lengths: list[float], span_s: float
) -> None:
    survey = a_survey(*lengths)
    plan = Plan.of(survey, span_s)
    spans = [plan.span(n) for n in range(len(plan.ends))]
    assert [cut for span in spans for cut in span.cuts] == list(survey.cuts)
    assert [span.first_window for span in spans] == [0, *(span.end_window for span in spans[:-1])]
    assert [span.begin_s for span in spans] == [0.0, *(span.end_s for span in spans[:-1])]
    assert sum(plan.length_s(n) for n in range(len(spans))) == pytest.approx(spans[-1].end_s)
    assert all(span.end_s - span.begin_s >= span_s for span in spans[:-1])


def test_a_part_is_held_to_its_span() -> None:
    plan = Plan.of(a_survey(9, 9, 9, 9), span_s=20)
    part = a_part(1, " text", first_window=2, end_window=4)
    assert plan.holds(part, 1)
    assert not plan.holds(part, 0)
    for change in ({"n": 0}, {"first_window": 1}, {"end_window": 3}):
        assert not plan.holds(part.model_copy(update=change), 1)


def test_parts_become_one_transcript() -> None:
    plan = Plan.of(a_survey(9, 9, 9, 9), span_s=20)
    parts: list[Part] = [a_part(0, " one", " two"), a_part(1, " three")]
    transcript = plan.transcript(REQUEST, parts)
    assert transcript.segments == (
        a_segment(0, " one"),
        a_segment(1, " two"),
        a_segment(0, " three").model_copy(update={"id": 2}),
    )
    assert transcript.job_id == REQUEST.job_id
    assert transcript.duration == plan.duration
    assert transcript.duration_after_vad == 40.0
