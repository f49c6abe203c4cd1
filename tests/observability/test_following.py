"""One request, followed by its correlation id and by its trace through every process."""

import pytest

from tests.observability.collector import SeenSpan
from tests.observability.conftest import TRACE, Watched

pytestmark = [pytest.mark.emulator, pytest.mark.speech]


def test_one_correlation_id_is_in_the_logs_of_api_worker_and_notifier(watched: Watched) -> None:
    walk = watched.walk
    said = {
        child: [
            line["message"]
            for line in watched.stack.log(child)
            if line.get("correlation_id") == walk.correlation_id
        ]
        for child in ("api", "worker", "notifier")
    }
    assert "request" in said["api"]
    assert said["worker"] == ["job_started", "job_ended"]
    assert said["notifier"] == ["delivery"]


def test_every_line_of_a_job_carries_the_id_of_its_request(watched: Watched) -> None:
    lines = watched.stack.log("worker")
    of_jobs = [line for line in lines if line.get("job_id")]
    assert of_jobs
    assert [line for line in of_jobs if not line.get("correlation_id")] == []
    of_the_walk = [line for line in of_jobs if line["job_id"] == watched.walk.job_id]
    assert {line["correlation_id"] for line in of_the_walk} == {watched.walk.correlation_id}
    assert {line["trace_id"] for line in of_the_walk} == {TRACE}


def test_the_id_travels_in_the_metadata_of_the_object(watched: Watched) -> None:
    stack, walk = watched.stack, watched.walk
    [key] = stack.keys(f"uploads/default/{walk.job_id}/")
    found = stack.store.head(key)
    assert found is not None
    assert found.metadata["correlation-id"] == walk.correlation_id
    assert found.metadata["traceparent"].startswith(f"00-{TRACE}-")
    for name in ("request", "outcome"):
        document = stack.document(f"jobs/default/{walk.job_id}/{name}.json")
        assert document["correlation_id"] == walk.correlation_id


def test_the_webhook_says_whose_request_it_answers(watched: Watched) -> None:
    first = watched.receiver.wait_for(1)[0]
    assert first.headers["x-correlation-id"] == watched.walk.correlation_id
    assert first.headers["traceparent"].split("-")[1] == TRACE


def test_one_trace_spans_api_worker_and_notifier(watched: Watched) -> None:
    wanted = {
        ("whisperdrop-api", "POST /v1/jobs"),
        ("whisperdrop-worker", "job"),
        ("whisperdrop-worker", "wait"),
        ("whisperdrop-worker", "fetch"),
        ("whisperdrop-worker", "decode"),
        ("whisperdrop-worker", "transcribe"),
        ("whisperdrop-worker", "settle"),
        ("whisperdrop-notifier", "webhook"),
    }

    def ours(spans: list[SeenSpan]) -> dict[str, SeenSpan]:
        return {span.name: span for span in spans if span.trace_id == TRACE}

    def complete(spans: list[SeenSpan]) -> bool:
        return {(span.service, span.name) for span in ours(spans).values()} >= wanted

    spans = ours(watched.collector.wait_for(complete))
    created = spans["POST /v1/jobs"]
    assert created.parent_id == "00f067aa0ba902b7"
    assert created.attributes["http.response.status_code"] == 201
    assert spans["job"].parent_id == created.span_id
    assert spans["webhook"].parent_id == created.span_id
    for name in ("wait", "transcribe", "settle"):
        assert spans[name].parent_id == spans["job"].span_id
    for name in ("fetch", "decode"):
        assert spans[name].parent_id == spans["transcribe"].span_id
    assert spans["job"].attributes["whisperdrop.correlation_id"] == watched.walk.correlation_id
    assert 0 < spans["transcribe"].seconds <= spans["job"].seconds
