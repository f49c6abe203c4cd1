import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Metrics

from whisperdrop.observability import metrics
from whisperdrop.observability.catalogue import (
    BATCH_SIZE,
    BY_SERVICE,
    FLEET_WORKERS,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    JOB_FAILURES,
    JOBS,
    JOBS_IN_PROGRESS,
    QUEUE_WAIT,
    SWEEP_PENDING,
    WEBHOOK_ATTEMPTS,
)
from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import Kind, Metric, record, use, watch
from whisperdrop.observability.prometheus import PrometheusSink
from whisperdrop_local.document_metrics import tables

ALL = [metric for group in BY_SERVICE.values() for metric in group]
SAMPLES = {
    HTTP_REQUESTS: [{"status": status} for status in ("200", "304", "404", "503")],
    JOBS: [{"status": status} for status in ("succeeded", "failed", "cancelled")],
    WEBHOOK_ATTEMPTS: [{"result": result} for result in ("delivered", "refused", "unreachable")],
    FLEET_WORKERS: [{"state": state} for state in ("wanted", "starting", "running")],
}


@pytest.fixture(autouse=True)
def _nobody_listens_afterwards() -> Iterator[None]:
    yield
    use()


@pytest.fixture
def worker() -> PrometheusSink:
    sink = PrometheusSink(BY_SERVICE["worker"])
    use(sink)
    return sink


@pytest.fixture
def emf() -> EmfSink:
    provider = Metrics(namespace=NAMESPACE, service="worker")
    provider.clear_metrics()
    sink = EmfSink(provider)
    use(sink)
    return sink


def lines(sink: PrometheusSink) -> list[str]:
    return sink.exposition().decode().splitlines()


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_where_nobody_listens_nothing_happens() -> None:
    record(JOBS, status="succeeded", model="tiny.en", source="sync")
    watch(JOBS_IN_PROGRESS, lambda: {("bulk",): 1})
    assert metrics._sinks == ()


def test_a_counter_grows_a_gauge_is_set_and_a_histogram_counts(worker: PrometheusSink) -> None:
    for _ in range(2):
        record(JOBS, status="succeeded", model="tiny.en", source="sync")
        record(QUEUE_WAIT, 0.2, queue="bulk")
        record(BATCH_SIZE, 8)
    found = lines(worker)
    assert 'whisperdrop_jobs_total{model="tiny.en",source="sync",status="succeeded"} 2.0' in found
    assert 'whisperdrop_queue_wait_seconds_bucket{le="0.1",queue="bulk"} 0.0' in found
    assert 'whisperdrop_queue_wait_seconds_bucket{le="0.25",queue="bulk"} 2.0' in found
    assert 'whisperdrop_queue_wait_seconds_count{queue="interactive"} 0.0' in found
    assert "whisperdrop_batch_size_sum 16.0" in found
    assert [line for line in found if "_created" in line] == []
    assert [line for line in found if line.startswith("process_resident_memory_bytes")]


def test_a_process_shows_its_own_metrics_alone(worker: PrometheusSink) -> None:
    record(SWEEP_PENDING, 7)
    assert [line for line in lines(worker) if "sweep" in line] == []


def test_what_is_watched_is_read_when_somebody_looks(worker: PrometheusSink) -> None:
    assert "# TYPE whisperdrop_jobs_in_progress gauge" not in lines(worker)
    held: dict[tuple[str, ...], float] = {("bulk",): 1.0}
    watch(JOBS_IN_PROGRESS, lambda: held)
    assert 'whisperdrop_jobs_in_progress{queue="bulk"} 1.0' in lines(worker)
    held[("bulk",)] = 3.0
    assert 'whisperdrop_jobs_in_progress{queue="bulk"} 3.0' in lines(worker)


def test_what_cannot_be_read_is_missing_and_the_rest_is_there(
    worker: PrometheusSink, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> dict[tuple[str, ...], float]:
        raise OSError("no driver")

    watch(JOBS_IN_PROGRESS, fail)
    with caplog.at_level(logging.ERROR):
        found = lines(worker)
    assert [line for line in found if line.startswith("whisperdrop_jobs_in_progress")] == []
    assert "whisperdrop_checkpoint_resumes_total 0.0" in found
    assert "metric_not_read" in caplog.text


def test_cloudwatch_gets_the_names_and_units_of_its_own(
    emf: EmfSink, capsys: pytest.CaptureFixture[str]
) -> None:
    record(JOBS, status="succeeded", model="tiny.en", source="sync")
    record(HTTP_REQUESTS, method="GET", route="/health", status="503")
    record(QUEUE_WAIT, 0.2, queue="bulk")
    record(HTTP_SECONDS, 0.2, method="GET", route="/health")  # has none
    record(WEBHOOK_ATTEMPTS, result="refused")
    record(FLEET_WORKERS, 2, state="running")
    emf.flush()
    emf.flush()
    [line] = printed(capsys)
    [declared] = line["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Whisperdrop"
    assert declared["Dimensions"] == [["service"]]
    assert line["service"] == "worker"
    assert {one["Name"]: one["Unit"] for one in declared["Metrics"]} == {
        "JobsSucceeded": "Count",
        "Http5xx": "Count",
        "QueueWaitSeconds": "Seconds",
        "WebhooksFailed": "Count",
        "WorkersRunning": "Count",
    }
    assert (line["QueueWaitSeconds"], line["WorkersRunning"]) == ([0.2], [2.0])


def test_each_failure_has_a_line_with_its_code(
    emf: EmfSink, capsys: pytest.CaptureFixture[str]
) -> None:
    record(JOB_FAILURES, code="gave_up")
    record(JOB_FAILURES, code="undecodable_media")
    found = printed(capsys)
    assert [(line["JobFailures"], line["code"]) for line in found] == [
        ([1.0], "gave_up"),
        ([1.0], "undecodable_media"),
    ]
    assert found[0]["service"] == "worker"
    assert "code" not in found[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: str(metric.name))
def test_every_metric_is_declared_as_prometheus_has_it(metric: Metric) -> None:
    assert metric.name.startswith("whisperdrop_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.help
    assert not metric.help.endswith(".")
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert {"tenant", "job_id", "path", "name"}.isdisjoint(metric.labels)
    assert all(len(values) == len(metric.labels) for values in metric.known)
    if metric.unit in {"seconds", "bytes"}:
        assert metric.unit in metric.name


def test_every_name_is_declared_once() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)


def test_cloudwatchs_names_are_all_known() -> None:
    for metric in ALL:
        there = metric.cloudwatch
        if there is not None and not isinstance(there.name, str):
            assert {there.named(sample) for sample in SAMPLES[metric]} == set(there.names)


def test_the_page_has_every_metric(project_root: Path) -> None:
    page = (project_root / "docs" / "observability.md").read_text(encoding="utf-8")
    assert tables() in page, "run `python -m whisperdrop_local.document_metrics`"
