"""One job, from a reference to its outcome. Every entry of the worker ends here."""

import functools
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef, Work
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobFailure, JobRequest, JobStatus, Lease, Outcome, Usage
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import (
    GaveUpError,
    JobError,
    RequestError,
    StoreError,
    TryAgainError,
    WhisperdropError,
)
from whisperdrop.observability import Logger, logged_with, tracing
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.cancellation import cancel_requested, cancelled
from whisperdrop.service.documents import read, read_intact
from whisperdrop.service.drops import admit_drop
from whisperdrop.service.leases import HeldLease, LeaseBusyError, LeaseLostError, acquire
from whisperdrop.service.settlement import follow_up, settle
from whisperdrop_worker import observing
from whisperdrop_worker.checkpoints import StoreCheckpoints
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import Engine, EngineResult, Priority
from whisperdrop_worker.fanout import FanOut
from whisperdrop_worker.fanout_audio import Recording
from whisperdrop_worker.heartbeat import Heartbeat, InterruptedJobError, JobCancelledError

logger = Logger(service="worker")

_MEDIA = "media"  # a fixed name: the uploader's never reaches a file system


class AttemptFailedError(Exception):
    """This attempt failed for no fault of the media: the job must be tried again."""


@dataclass(frozen=True)
class JobPolicy:
    """How long a job is held, and how often it is tried. Seconds and bytes."""

    lease_s: float
    progress_s: float
    cancel_poll_s: float
    max_failures: int
    max_media_bytes: int


class JobProcessor:
    """Takes a job's lease, decodes, transcribes, settles. Safe to call from several threads."""

    def __init__(
        self,
        store: ObjectStore,
        decoder: Decoder,
        engine: Engine,
        *,
        bucket: str,
        catalog: ModelCatalog,
        policy: JobPolicy,
        owner: str,
        scratch: Path,
        clock: Clock,
        fanout: FanOut | None = None,
    ) -> None:
        """Without ``fanout``, no recording is shared with other workers."""
        self._store = store
        self._decoder = decoder
        self._engine = engine
        self._bucket = bucket
        self._catalog = catalog
        self._policy = policy
        self._owner = owner
        self._scratch = scratch
        self._clock = clock
        self._fanout = fanout
        self._running: dict[JobRef, Heartbeat] = {}

    @property
    def done_s(self) -> float:
        """Seconds of audio that are transcribed of the jobs that it works on."""
        return sum(heartbeat.progress.done_s for heartbeat in list(self._running.values()))

    def process(
        self,
        work: Work,
        *,
        keep_message: Callable[[], None],
        stop: threading.Event,
        sent_at: datetime | None = None,
    ) -> Outcome | None:
        """Do what ``work`` asks for; None when nothing was to be done.

        ``sent_at`` is when its message was queued, if one led here.

        Raises LeaseBusyError when another worker has the job, InterruptedJobError when ``stop`` was
        set, AttemptFailedError and StoreError when the job must be tried again.
        """
        with logged_with():
            if isinstance(work, SpanRef):
                self._help(work, keep_message, stop)
                return None
            ref = self._admit(work) if isinstance(work, Drop) else work
            return self._do(ref, keep_message, stop, sent_at) if ref is not None else None

    def _do(
        self,
        ref: JobRef,
        keep_message: Callable[[], None],
        stop: threading.Event,
        sent_at: datetime | None,
    ) -> Outcome | None:
        # Four requests in the time of one. A lease on a job that has ended harms nobody.
        with ThreadPoolExecutor(3) as beside:
            leased = beside.submit(self._acquire, ref)
            asked = beside.submit(read, self._store, JobRequest, keys.request(ref))
            unwanted = beside.submit(cancel_requested, self._store, ref)
            outcome = self._ended(ref)
        if outcome is not None:
            follow_up(self._store, outcome)
            return outcome
        held, request = leased.result(), asked.result()
        if request is None:
            logger.warning("unknown_job", extra={"tenant": ref.tenant, "job_id": ref.job_id})
            self._store.delete(keys.lease(ref))  # a late event of a job that was deleted
            return None
        # Whoever held it before may have ended it after we looked.
        if held.attempt > 1 and (outcome := self._ended(ref)):
            follow_up(self._store, outcome)
            return outcome
        with observing.at_work(request, held.lease, sent_at):
            if unwanted.result():
                return self._end(request, held, cancel=True)
            if held.lease.failures >= self._policy.max_failures:
                return self._end(request, held, error=_gave_up(held.lease))
            return self._attempt(request, held, keep_message, stop)

    def _help(self, span: SpanRef, keep_message: Callable[[], None], stop: threading.Event) -> None:
        if self._fanout is None:
            return
        try:
            self._fanout.help(span, keep_message=keep_message, stop=stop)
        except (InterruptedJobError, LeaseBusyError, StoreError):
            raise
        except Exception as error:
            fields = {"tenant": span.job.tenant, "job_id": span.job.job_id, "span": span.n}
            logger.exception("span_failed", extra=fields)
            raise AttemptFailedError from error

    def _acquire(self, ref: JobRef) -> HeldLease:
        return acquire(
            self._store, ref, owner=self._owner, ttl_s=self._policy.lease_s, clock=self._clock
        )

    def _ended(self, ref: JobRef) -> Outcome | None:
        return read_intact(self._store, Outcome, keys.outcome(ref))

    def _admit(self, drop: Drop) -> JobRef | None:
        return admit_drop(self._store, self._bucket, drop, catalog=self._catalog, clock=self._clock)

    def _attempt(
        self,
        request: JobRequest,
        held: HeldLease,
        keep_message: Callable[[], None],
        stop: threading.Event,
    ) -> Outcome:
        fields = {"tenant": request.tenant, "job_id": request.job_id, "model": request.model}
        fields |= {"attempt": str(held.attempt), "correlation_id": request.correlation_id or ""}
        began = time.monotonic()
        logger.info("job_started", extra=fields)
        result, parts = None, 0
        failure: WhisperdropError | None = None
        try:
            with Heartbeat(
                held,
                keep_message=keep_message,
                cancel_requested=functools.partial(cancel_requested, self._store, held.ref),
                stop=stop,
                lease_s=self._policy.lease_s,
                progress_s=self._policy.progress_s,
                cancel_poll_s=self._policy.cancel_poll_s,
            ) as heartbeat:
                self._running[held.ref] = heartbeat
                try:
                    with tracing.span("transcribe"):
                        result, parts = self._transcribe(request, held, heartbeat, stop)
                except JobCancelledError:
                    logger.info("job_cancelled", extra=fields)
                except (JobError, RequestError) as error:
                    failure = error
                finally:
                    self._running.pop(held.ref, None)
            # A marker that came too late to stop the work counts all the same: its canceller may
            # have ended the job before it saw our lease.
            cancel = heartbeat.cancelled
            outcome = self._end(
                request,
                held,
                result=result,
                error=failure,
                cancel=cancel,
                parts=parts,
            )
        except InterruptedJobError:
            _let_go(lambda: held.hand_back("the worker was stopped"), fields)
            logger.info("job_handed_back", extra=fields)
            observing.attempt_failed("interrupted")
            raise
        except TryAgainError as error:
            observing.attempt_failed("try_again")
            _let_go(functools.partial(held.hand_back, error.message), fields)
            raise AttemptFailedError from error
        except LeaseLostError as error:
            logger.warning("lease_lost", extra=fields)
            observing.attempt_failed("lease_lost")
            raise AttemptFailedError from error
        except StoreError:
            logger.warning("store_failed", extra=fields, exc_info=True)
            observing.attempt_failed("store")
            raise
        except Exception as error:
            logger.exception("attempt_failed", extra=fields)
            observing.attempt_failed("bug")
            reason = f"{type(error).__name__} in the worker"
            _let_go(lambda: held.fail(reason), fields)
            raise AttemptFailedError from error
        logger.info(
            "job_ended",
            extra=fields
            | {
                "status": outcome.status,
                "error": outcome.error.code if outcome.error else None,
                "audio_s": outcome.usage.audio_s if outcome.usage else None,
                "engine_s": outcome.usage.engine_s if outcome.usage else None,
                "wall_s": round(time.monotonic() - began, 3),
            },
        )
        return outcome

    def _transcribe(
        self, request: JobRequest, held: HeldLease, heartbeat: Heartbeat, stop: threading.Event
    ) -> tuple[EngineResult, int]:
        """The result, and how many parts it leaves in the store."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            private = stack.enter_context(
                tempfile.TemporaryDirectory(dir=self._scratch, prefix="job-")
            )
            recording = stack.enter_context(
                closing(
                    Recording(
                        self._store,
                        self._decoder,
                        request.media_key,
                        Path(private) / _MEDIA,
                        max_bytes=self._policy.max_media_bytes,
                    )
                )
            )
            report = heartbeat.report
            if self._fanout and (plan := self._fanout.plan(request, held, recording, report)):
                result = self._fanout.run(request, plan, recording, report=report, stop=stop)
                return result, len(plan.ends)
            checkpoints = StoreCheckpoints(self._store, held, self._clock)
            result = self._engine.transcribe(
                recording.whole(),
                job_id=request.job_id,
                model=request.model,
                options=request.options,
                on_progress=report,
                priority=_priority(request),
                checkpoints=checkpoints,
            )
            return result, checkpoints.count

    def _end(
        self,
        request: JobRequest,
        held: HeldLease,
        *,
        result: EngineResult | None = None,
        error: WhisperdropError | None = None,
        cancel: bool = False,
        parts: int = 0,
    ) -> Outcome:
        now = self._clock()
        if not held.lease.live(now):
            raise LeaseLostError("the lease ran out before the result was written")
        if cancel:
            return self._settle(request, cancelled(request, now, held.lease))
        outcome = Outcome.of(
            request,
            JobStatus.FAILED if error else JobStatus.SUCCEEDED,
            now,
            error=JobFailure(code=error.code, message=error.message) if error else None,
            usage=_usage(request, result) if result else None,
            lease=held.lease,
            parts=parts,
        )
        return self._settle(request, outcome, result)

    def _settle(
        self, request: JobRequest, outcome: Outcome, result: EngineResult | None = None
    ) -> Outcome:
        with tracing.span("settle", status=outcome.status):
            decided = settle(self._store, outcome, result.transcript if result else None)
        if decided == outcome:  # else somebody was before us, and has counted it
            observing.ended(request, outcome)
        return decided


def _let_go(release: Callable[[], None], fields: dict[str, str]) -> None:
    """Release a lease if that is still possible; otherwise it runs out by itself."""
    try:
        release()
    except (LeaseLostError, StoreError) as error:
        logger.warning("lease_not_released", extra=fields | {"error": str(error)})


def _priority(request: JobRequest) -> Priority:
    """Somebody waits for a synchronous request."""
    return Priority.INTERACTIVE if request.source == "sync" else Priority.BULK


def _usage(request: JobRequest, result: EngineResult) -> Usage:
    return Usage(
        audio_s=round(result.transcript.duration, 3),
        engine_s=round(result.engine_s, 3),
        load_s=round(result.load_s, 3),
        model=request.model,
    )


def _gave_up(lease: Lease) -> GaveUpError:
    return GaveUpError(
        f"gave up after {lease.failures} failed attempts; the last one ended: {lease.last_error}"
    )
