"""Spans of a request on its way through the processes, where ``ENABLE_TRACING`` asks for them.

Switched off, which is the default, nothing of OpenTelemetry is imported and a span is a ``with``
block that does nothing. What carries the trace from process to process is the W3C ``traceparent``,
a string that travels beside the correlation id.
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Literal, Protocol

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int | float | bool


class Span(Protocol):
    """Something that is being done."""

    def note(self, **attributes: Value) -> None:
        """Say more about it."""
        ...

    def name(self, name: str) -> None:
        """Call it otherwise than when it began."""
        ...

    def fail(self, reason: str) -> None:
        """It went wrong."""
        ...

    def end(self) -> None:
        """It is over; only for spans of ``begin``."""
        ...


class Tracer(Protocol):
    """What makes spans; ``otel.py`` has the real one."""

    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: dict[str, Value]
    ) -> AbstractContextManager[Span]: ...

    def begin(self, name: str, attributes: dict[str, Value]) -> Span: ...

    def past(
        self, name: str, began: datetime, ended: datetime, attributes: dict[str, Value]
    ) -> None: ...

    def traceparent(self) -> str | None: ...

    def trace_id(self) -> str | None: ...


class _NoSpan:
    def note(self, **attributes: Value) -> None:
        pass

    def name(self, name: str) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass

    def end(self) -> None:
        pass


_NO_SPAN = _NoSpan()
_tracer: Tracer | None = None


def configure(service: str) -> None:
    """From now on, spans of this process go to ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
    global _tracer  # noqa: PLW0603 - like logging: one of it in a process
    if _tracer is None:
        from whisperdrop.observability.otel import OtelTracer  # noqa: PLC0415 - costs 0.2 s

        _tracer = OtelTracer(service)


def span(
    name: str, *, kind: Kind = "internal", parent: str | None = None, **attributes: Value
) -> AbstractContextManager[Span]:
    """A span around a ``with`` block; of the trace of ``parent``, else of the span around it."""
    if _tracer is None:
        return nullcontext(_NO_SPAN)
    return _tracer.span(name, kind, parent, attributes)


def begin(name: str, **attributes: Value) -> Span:
    """A span within the present one, for what begins and ends in different places."""
    return _NO_SPAN if _tracer is None else _tracer.begin(name, attributes)


def past(name: str, began: datetime | None, ended: datetime, **attributes: Value) -> None:
    """A span within the present one, for what was over before anybody could see it."""
    if _tracer is not None and began is not None:
        _tracer.past(name, began, ended, attributes)


def traceparent() -> str | None:
    """What a process must know to go on with the present trace; None without one."""
    return None if _tracer is None else _tracer.traceparent()


def trace_id() -> str | None:
    """The present trace, for logs."""
    return None if _tracer is None else _tracer.trace_id()
