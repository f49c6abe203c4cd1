import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.builders import a_lease, a_ref, a_request, an_outcome
from tests.clock import NOON
from whisperdrop.domain.job import (
    JobRequest,
    JobStatus,
    Outcome,
    Progress,
    Usage,
    derive_status,
)

LIVE = NOON + timedelta(seconds=1)
OVER = NOON


@pytest.mark.parametrize("final", [status for status in JobStatus if status.final])
@pytest.mark.parametrize("lease", [None, OVER, LIVE])
@pytest.mark.parametrize("uploaded", [False, True])
def test_an_outcome_wins_over_everything(final: JobStatus, lease: object, uploaded: bool) -> None:
    held = None if lease is None else a_lease(LIVE if lease is LIVE else OVER)
    outcome = an_outcome(a_ref(), final)
    assert derive_status(outcome=outcome, lease=held, uploaded=uploaded, now=NOON) is final


@pytest.mark.parametrize(
    ("lease", "uploaded", "status"),
    [
        ("live", True, JobStatus.RUNNING),
        ("live", False, JobStatus.RUNNING),
        ("over", True, JobStatus.QUEUED),
        ("over", False, JobStatus.AWAITING_UPLOAD),
        ("none", True, JobStatus.QUEUED),
        ("none", False, JobStatus.AWAITING_UPLOAD),
    ],
)
def test_without_an_outcome_a_live_lease_wins_and_then_the_media(
    lease: str, uploaded: bool, status: JobStatus
) -> None:
    held = {"live": a_lease(LIVE), "over": a_lease(OVER), "none": None}[lease]
    assert derive_status(outcome=None, lease=held, uploaded=uploaded, now=NOON) is status


def test_four_states_are_final() -> None:
    assert {status.value for status in JobStatus if status.final} == {
        "succeeded",
        "failed",
        "cancelled",
        "expired",
    }


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [
        (0, None, None),
        (5, None, None),
        (0, 0, None),
        (0, 60, 0.0),
        (20, 60, 33.3),
        (60, 60, 100.0),
        (61, 60, 100.0),
    ],
)
def test_percent_is_bounded_and_unknown_without_a_length(
    done: float, total: float | None, percent: float | None
) -> None:
    assert Progress(done_s=done, total_s=total).percent == percent


def shown(*reports: Progress) -> list[Progress]:
    """What is shown after each report."""
    states = [Progress()]
    for report in reports:
        states.append(report.after(states[-1]))
    return states


def test_a_corrected_length_takes_no_progress_back() -> None:
    reports = [
        Progress(stage="transcribing", done_s=30, total_s=60),
        Progress(stage="transcribing", done_s=40, total_s=400),
        Progress(stage="transcribing", done_s=300, total_s=400),
        Progress(stage="transcribing", done_s=310, total_s=None),
        Progress(stage="transcribing", done_s=320, total_s=200),
    ]
    states = shown(*reports)[1:]
    assert [state.percent for state in states] == [50.0, 50.0, 75.0, 77.5, 100.0]
    assert [state.total_s for state in states] == [60, 400, 400, 400, 320]


def test_what_is_only_decoded_is_not_done() -> None:
    decoding = [Progress(stage="decoding", done_s=seconds) for seconds in (10.0, 60.0)]
    states = shown(*decoding, Progress(stage="transcribing", done_s=2, total_s=60))
    assert [state.done_s for state in states] == [0, 0, 0, 2]
    assert states[-1].percent == 3.3


_amounts = st.floats(0, 1e5)
_reports = st.builds(
    Progress,
    stage=st.sampled_from(["loading", "decoding", "transcribing"]),
    done_s=_amounts,
    total_s=st.none() | _amounts,
)


@given(st.lists(_reports, max_size=12))
def test_progress_never_goes_back_whatever_is_reported(reports: list[Progress]) -> None:
    order = ["loading", "decoding", "transcribing"]
    for before, state in itertools.pairwise(shown(*reports)):
        assert order.index(state.stage) >= order.index(before.stage)
        assert state.done_s >= before.done_s
        assert state.total_s is None or state.total_s >= state.done_s
        assert (state.percent or 0) >= (before.percent or 0)


def test_a_lease_is_over_at_the_moment_it_names() -> None:
    lease = a_lease(NOON)
    assert lease.live(NOON - timedelta(microseconds=1))
    assert not lease.live(NOON)


def test_documents_survive_storage_and_pass_over_newer_fields() -> None:
    request = a_request(metadata={"title": "日本"}, correlation_id="c-1", size=5)
    assert JobRequest.model_validate(request.model_dump(mode="json") | {"newer": 1}) == request
    outcome = an_outcome(request.ref)
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
    assert outcome.ref == request.ref


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        a_request(created_at=NOON.replace(tzinfo=None))


def test_a_usage_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValidationError):
        Usage(audio_s=float("nan"), engine_s=1, model="tiny.en")
