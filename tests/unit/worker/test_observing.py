from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.builders import a_lease, a_request
from tests.clock import NOON
from whisperdrop.domain.job import JobFailure, JobStatus, Outcome, Usage
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.metrics import use
from whisperdrop.observability.prometheus import PrometheusSink
from whisperdrop_worker import observing
from whisperdrop_worker.heartbeat import InterruptedJobError

LATER = NOON + timedelta(minutes=2)


@pytest.fixture
def sink() -> Iterator[PrometheusSink]:
    sink = PrometheusSink(BY_SERVICE["worker"])
    use(sink)
    yield sink
    use()


def counted(sink: PrometheusSink, name: str) -> dict[str, float]:
    """Values above 0 by their labels."""
    lines = sink.exposition().decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith(f"whisperdrop_{name}"))
    values = {
        labels.removeprefix(f"whisperdrop_{name}"): float(value) for labels, _, value in found
    }
    return {labels: value for labels, value in values.items() if value}


def test_a_first_attempt_has_waited_since_its_message_was_queued(sink: PrometheusSink) -> None:
    for source, waited_s in (("sync", 2), ("upload", 30), ("drop", 10)):
        lease = a_lease(LATER, acquired_at=NOON)
        sent_at = NOON - timedelta(seconds=waited_s)
        with observing.at_work(a_request(source=source), lease, sent_at):
            pass
    assert counted(sink, "queue_wait_seconds_sum") == {
        '{queue="interactive"}': 2,
        '{queue="bulk"}': 40,
    }


def test_a_later_attempt_has_waited_for_no_worker(sink: PrometheusSink) -> None:
    lease = a_lease(LATER, attempt=2, acquired_at=NOON)
    with observing.at_work(a_request(), lease, NOON - timedelta(seconds=300)):
        pass
    with observing.at_work(a_request(), a_lease(LATER), None):  # no message led here
        pass
    assert counted(sink, "queue_wait_seconds_count") == {}


def test_clocks_that_differ_make_no_wait_negative(sink: PrometheusSink) -> None:
    lease = a_lease(LATER, acquired_at=NOON)
    with observing.at_work(a_request(), lease, NOON + timedelta(seconds=1)):
        pass
    assert counted(sink, "queue_wait_seconds_sum") == {}
    assert sum(counted(sink, "queue_wait_seconds_count").values()) == 1


def test_an_end_is_counted_with_what_it_cost(sink: PrometheusSink) -> None:
    request = a_request(source="sync")
    lease = a_lease(LATER, acquired_at=NOON)
    usage = Usage(audio_s=60, engine_s=2, model=request.model)
    ended_at = NOON + timedelta(seconds=3)
    observing.ended(
        request,
        Outcome.of(request, JobStatus.SUCCEEDED, ended_at, usage=usage, lease=lease),
    )
    model = f'{{model="{request.model}"}}'
    assert list(counted(sink, "jobs_total").values()) == [1]
    assert counted(sink, "audio_seconds_total") == {model: 60}
    assert counted(sink, "engine_seconds_total") == {model: 2}
    assert counted(sink, "job_seconds_sum") == {'{queue="interactive"}': 3}
    assert counted(sink, "job_failures_total") == {}


def test_a_failure_is_counted_by_its_code(sink: PrometheusSink) -> None:
    request = a_request()
    error = JobFailure(code="undecodable_media", message="no audio")
    observing.ended(request, Outcome.of(request, JobStatus.FAILED, NOON, error=error))
    assert counted(sink, "job_failures_total") == {'{code="undecodable_media"}': 1}
    assert counted(sink, "audio_seconds_total") == {}


def test_what_interrupts_a_job_comes_out(sink: PrometheusSink) -> None:
    with pytest.raises(InterruptedJobError), observing.at_work(a_request(), a_lease(LATER), None):
        raise InterruptedJobError
