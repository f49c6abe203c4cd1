"""Spans by OpenTelemetry, sent as OTLP over HTTP. Imported only where tracing is on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whisperdrop import __version__
from whisperdrop.observability.tracing import Kind, Span, Value

_KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "consumer": trace.SpanKind.CONSUMER,
}
_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"


class OtelTracer:
    """See ``Tracer``. The exporter reads OTEL_EXPORTER_OTLP_* from the environment by itself."""

    def __init__(self, service: str, processor: SpanProcessor | None = None) -> None:
        """``processor`` takes finished spans; by default they are sent."""
        resource = Resource.create(
            {SERVICE_NAME: f"whisperdrop-{service}", SERVICE_VERSION: __version__}
        )
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor or _processor())
        self._tracer = self._provider.get_tracer("whisperdrop", __version__)

    @contextmanager
    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: dict[str, Value]
    ) -> Iterator[Span]:
        """See ``tracing.span``."""
        around: Context | None = None
        if parent is not None:
            around = _PROPAGATOR.extract({_HEADER: parent})
        with self._tracer.start_as_current_span(
            name, around, kind=_KINDS[kind], attributes=_named(attributes)
        ) as found:
            yield _Span(found)

    def begin(self, name: str, attributes: dict[str, Value]) -> Span:
        """See ``tracing.begin``."""
        return _Span(self._tracer.start_span(name, attributes=_named(attributes)))

    def past(
        self, name: str, began: datetime, ended: datetime, attributes: dict[str, Value]
    ) -> None:
        """See ``tracing.past``."""
        found = self._tracer.start_span(
            name, attributes=_named(attributes), start_time=_nanoseconds(began)
        )
        found.end(_nanoseconds(max(began, ended)))

    def traceparent(self) -> str | None:
        """See ``tracing.traceparent``."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(_HEADER)

    def trace_id(self) -> str | None:
        """See ``tracing.trace_id``."""
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        self._span.set_status(trace.Status(trace.StatusCode.ERROR, reason))

    def end(self) -> None:
        self._span.end()


def _processor() -> SpanProcessor:
    # A variable that is there and empty, as compose sets it, names no address.
    for name in [name for name in os.environ if name.startswith("OTEL_") and not os.environ[name]]:
        del os.environ[name]
    exporter = OTLPSpanExporter()
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        # What waits in a batch when the function is frozen may never leave.
        return SimpleSpanProcessor(exporter)
    return BatchSpanProcessor(exporter)


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    """Ours are ``whisperdrop.job_id``; names of the conventions are written with ``__``."""
    return {
        name.replace("__", ".") if "__" in name else f"whisperdrop.{name}": value
        for name, value in attributes.items()
    }


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
