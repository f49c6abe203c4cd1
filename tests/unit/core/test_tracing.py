import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from whisperdrop.domain.ids import is_traceparent
from whisperdrop.observability import tracing
from whisperdrop.observability.otel import OtelTracer

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("test", SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", tracer)
    yield exporter
    tracer.close()


def test_switched_off_a_span_is_nothing() -> None:
    with tracing.span("job", parent=PARENT, job_id="j") as span:
        span.note(status="succeeded")
        span.name("other")
        span.fail("because")
        assert tracing.traceparent() is None
        assert tracing.trace_id() is None
    tracing.begin("decode").end()
    tracing.past("wait", NOW, NOW)


@pytest.mark.parametrize(
    "modules",
    [
        ("whisperdrop_api.handler", "whisperdrop_api.__main__"),
        ("whisperdrop_worker.lambda_handler", "whisperdrop_worker.__main__"),
        ("whisperdrop_notifier.handler", "whisperdrop_notifier.__main__"),
        ("whisperdrop_dispatcher.handler", "whisperdrop_dispatcher.__main__"),
    ],
    ids=["api", "worker", "notifier", "dispatcher"],
)
def test_functions_import_neither_tracing_nor_prometheus(modules: tuple[str, str]) -> None:
    handler, main = modules
    script = f"""
import sys, {handler}
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "google.protobuf")
assert [name for name in heavy if name in sys.modules] == [], "{handler}"
import {main}
assert [name for name in heavy if name in sys.modules and name != "prometheus_client"] == []
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_span_goes_on_with_the_trace_of_its_parent(exporter: InMemorySpanExporter) -> None:
    with tracing.span("job", kind="consumer", parent=PARENT, job_id="j"):
        assert tracing.trace_id() == "4bf92f3577b34da6a3ce929d0e0e4736"
        here = tracing.traceparent()
    assert here is not None
    assert is_traceparent(here)
    [span] = exporter.get_finished_spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert here.split("-")[2] == f"{span.context.span_id:016x}"
    assert dict(span.attributes or {}) == {"whisperdrop.job_id": "j"}
    assert span.resource.attributes["service.name"] == "whisperdrop-test"


def test_without_a_parent_a_trace_begins(exporter: InMemorySpanExporter) -> None:
    with tracing.span("job", parent=None):
        pass
    [span] = exporter.get_finished_spans()
    assert span.parent is None


def test_what_is_over_and_what_ends_elsewhere_lie_within_the_span(
    exporter: InMemorySpanExporter,
) -> None:
    with tracing.span("job"):
        tracing.past("wait", NOW - timedelta(seconds=3), NOW, queue="bulk")
        tracing.past("unknown", None, NOW)
        decode = tracing.begin("decode")
    decode.end()
    wait, job, decoded = exporter.get_finished_spans()
    assert (wait.name, job.name, decoded.name) == ("wait", "job", "decode")
    for span in (wait, decoded):
        assert span.parent is not None
        assert span.parent.span_id == job.context.span_id
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert wait.end_time - wait.start_time == 3_000_000_000


def test_names_of_the_conventions_are_theirs_and_ours_are_ours(
    exporter: InMemorySpanExporter,
) -> None:
    with tracing.span("POST", http__request__method="POST") as span:
        span.name("POST /v1/jobs")
        span.note(http__response__status_code=500, model="tiny.en")
        span.fail("answered 500")
    [found] = exporter.get_finished_spans()
    assert found.name == "POST /v1/jobs"
    assert dict(found.attributes or {}) == {
        "http.request.method": "POST",
        "http.response.status_code": 500,
        "whisperdrop.model": "tiny.en",
    }
    assert found.status.description == "answered 500"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        f"{PARENT}\n",
        PARENT.upper(),
    ],
)
def test_what_is_no_traceparent_is_known(value: str) -> None:
    assert is_traceparent(PARENT)
    assert not is_traceparent(value)
