"""One claimed span, from its lease to its part."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from whisperdrop.domain.job import JobRequest, Progress
from whisperdrop.errors import StoreError, TryAgainError, WhisperdropError
from whisperdrop.observability import Logger
from whisperdrop.service.leases import HeldLease, LeaseLostError
from whisperdrop_worker.engine import Engine, OnProgress, Stretch
from whisperdrop_worker.fanout_audio import SpanAudio, SpanStream
from whisperdrop_worker.fanout_spans import Spans
from whisperdrop_worker.heartbeat import Heartbeat, InterruptedJobError, JobCancelledError
from whisperdrop_worker.plan import Span

logger = Logger(service="worker")


class _SpanLostError(Exception):
    """Somebody has taken the span over; the job may be ours all the same."""


@dataclass(frozen=True)
class Circumstances:
    """What goes on around a span.

    ``report`` raises what stops the work. Where ``unwanted`` says so or ``stop`` is set, it ends
    with JobCancelledError or InterruptedJobError. ``keep_message`` is called with every renewal.
    """

    report: OnProgress
    keep_message: Callable[[], None]
    unwanted: Callable[[], bool]
    stop: threading.Event


def work_on(
    claim: tuple[Span, HeldLease],
    spans: Spans,
    request: JobRequest,
    audio: SpanAudio,
    engine: Engine,
    around: Circumstances,
    *,
    lease_s: float,
    cancel_poll_s: float,
) -> Stretch | None:
    """Transcribe a claimed span and write its part; None when another worker took it over.

    Raises what ends or interrupts the work; the claim is given back then.
    """
    span, held = claim
    fields = {"tenant": spans.ref.tenant, "job_id": spans.ref.job_id, "span": span.n}
    logger.info("span_started", extra=fields | {"attempt": held.attempt})
    try:
        with (
            _given_back(held),
            Heartbeat(
                held,
                keep_message=around.keep_message,
                cancel_requested=around.unwanted,
                stop=around.stop,
                lease_s=lease_s,
                progress_s=lease_s,  # nobody reads how far a span is
                cancel_poll_s=cancel_poll_s,
            ) as heartbeat,
        ):

            def on_progress(progress: Progress) -> None:
                around.report(progress)
                try:
                    heartbeat.report(progress)
                except LeaseLostError as error:
                    raise _SpanLostError from error

            grid = engine.grid
            blocks = audio.blocks(
                grid.needed(span.first),
                None if span.last else grid.decided(span.end),
                lambda: on_progress(Progress(stage="decoding")),
            )
            stretch = engine.transcribe_chapters(
                SpanStream(blocks),
                first=span.first,
                end=span.until,
                model=request.model,
                options=request.options,
                language=spans.plan.language,
                on_progress=on_progress,
            )
    except _SpanLostError:
        logger.warning("span_lost", extra=fields)
        return None
    if heartbeat.cancelled:
        raise JobCancelledError
    spans.finish(span, stretch, audio.samples)
    logger.info("span_ended", extra=fields | {"engine_s": round(stretch.engine_s, 3)})
    return stretch


@contextmanager
def _given_back(held: HeldLease) -> Iterator[None]:
    """Let the next worker begin at once when this one does not finish; else its lease runs out."""
    try:
        yield
    except _SpanLostError:
        raise
    except (InterruptedJobError, JobCancelledError, LeaseLostError, TryAgainError, StoreError):
        with suppress(LeaseLostError, StoreError):
            held.hand_back("the worker was stopped")
        raise
    except Exception as error:
        known = isinstance(error, WhisperdropError)
        reason = str(error) if known else f"{type(error).__name__} in the worker"
        with suppress(LeaseLostError, StoreError):
            held.fail(reason)
        raise
