"""One long recording, many workers: who holds the job plans it, shares it out, puts it together.

Messages are invitations and leases are claims: whoever comes takes the next free span, and goes on
until none is free. So nothing is lost when a message is, or a worker; the holder of the job stays
until all is done and takes over what has died.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, Progress
from whisperdrop.errors import JobError, RequestError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.cancellation import cancel_requested
from whisperdrop.service.documents import read, read_intact
from whisperdrop.service.leases import HeldLease, LeaseBusyError
from whisperdrop.service.parts import delete_parts
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import Engine, EngineResult, OnProgress, Stretch
from whisperdrop_worker.fanout_audio import Recording, SpanAudio
from whisperdrop_worker.fanout_spans import Spans
from whisperdrop_worker.fanout_work import Circumstances, work_on
from whisperdrop_worker.heartbeat import JobCancelledError
from whisperdrop_worker.observing import helping
from whisperdrop_worker.plan import PLAN_VERSION, Plan, Span
from whisperdrop_worker.planner import FanOutPolicy, Planner

logger = Logger(service="worker")

_MEDIA = "media"


class FanOut:
    """Shares a held job, and helps with those that others hold. Safe to call from many threads."""

    def __init__(
        self,
        store: ObjectStore,
        bulk: JobQueue,
        decoder: Decoder,
        engine: Engine,
        *,
        policy: FanOutPolicy,
        owner: str,
        scratch: Path,
        clock: Clock,
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._engine = engine
        self._policy = policy
        self._owner = owner
        self._scratch = scratch
        self._clock = clock
        self._planner = Planner(store, bulk, engine, policy=policy, owner=owner, clock=clock)
        self._at_work: Counter[JobRef] = Counter()
        self._lock = threading.Lock()

    def plan(
        self, request: JobRequest, held: HeldLease, recording: Recording, report: OnProgress
    ) -> Plan | None:
        """How ``request`` is shared; see ``Planner``."""
        return self._planner.plan(request, held, recording, report)

    def run(
        self,
        request: JobRequest,
        plan: Plan,
        audio: SpanAudio,
        *,
        report: OnProgress,
        stop: threading.Event,
    ) -> EngineResult:
        """Do a job by its plan, whoever helps; for the worker that holds its lease.

        Raises what ``report`` raises, GaveUpError, and what decoding and the engine raise.
        """
        spans = self._spans(request.ref, plan)
        spans.look()
        load_s = 0.0
        with self._noted(request.ref), self._planner.inviting(spans):
            while True:
                report(_progress(spans))
                if not spans.missing:
                    if parts := spans.parts():
                        transcript = plan.transcript(request, parts)
                        return EngineResult(transcript, sum(p.engine_s for p in parts), load_s)
                elif claim := spans.claim():
                    around = Circumstances(
                        self._with_others(spans, claim[0], report),
                        keep_message=lambda: None,
                        unwanted=lambda: False,
                        stop=threading.Event(),  # the job's own heartbeat knows both
                    )
                    if stretch := self._work(claim, spans, request, audio, around):
                        load_s += stretch.load_s
                else:
                    stop.wait(self._policy.poll_s)
                spans.look()

    def help(
        self, invitation: SpanRef, *, keep_message: Callable[[], None], stop: threading.Event
    ) -> None:
        """Work on the spans of another worker's job until none is free.

        Raises LeaseBusyError when there was none, InterruptedJobError when ``stop`` was set,
        StoreError and others when the message should come again.
        """
        ref = invitation.job
        with self._noted(ref) as alone:
            if not alone or self._over(ref):  # who is at it takes this span as well
                return
            plan = read_intact(self._store, Plan, keys.plan(ref))
            request = read(self._store, JobRequest, keys.request(ref))
            if plan is None or request is None or plan.version != PLAN_VERSION:
                return
            try:
                with helping(request, invitation.n):
                    self._help(self._spans(ref, plan), request, invitation.n, keep_message, stop)
            except (JobCancelledError, JobError, RequestError) as error:
                # Who holds the job meets the same and says so in its outcome.
                logger.info("help_ended", extra={"job_id": ref.job_id, "error": str(error)})
            if self._store.head(keys.outcome(ref)) is not None:
                delete_parts(self._store, ref)  # what we wrote after it had ended

    def _help(
        self,
        spans: Spans,
        request: JobRequest,
        n: int,
        keep_message: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        around = Circumstances(
            lambda _: None, keep_message, unwanted=lambda: self._over(spans.ref), stop=stop
        )
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="span-") as private:
            recording = Recording(
                self._store,
                self._decoder,
                request.media_key,
                Path(private) / _MEDIA,
                max_bytes=self._policy.max_media_bytes,
            )
            with closing(recording) as audio:
                spans.look()
                claim = _invited(spans, n)
                while claim:
                    self._work(claim, spans, request, audio, around)
                    spans.look()
                    if spans.over:  # its parts are gone, and look as if never made
                        return
                    claim = spans.claim(claim[0].n + 1)

    def _work(
        self,
        claim: tuple[Span, HeldLease],
        spans: Spans,
        request: JobRequest,
        audio: SpanAudio,
        around: Circumstances,
    ) -> Stretch | None:
        return work_on(
            claim,
            spans,
            request,
            audio,
            self._engine,
            around,
            lease_s=self._policy.lease_s,
            cancel_poll_s=self._policy.cancel_poll_s,
        )

    def _with_others(self, spans: Spans, span: Span, report: OnProgress) -> OnProgress:
        """Reports the job's progress, where a span says its own."""
        looked_at = time.monotonic()

        def on_progress(progress: Progress) -> None:
            nonlocal looked_at
            if time.monotonic() - looked_at >= self._policy.poll_s:
                spans.look()
                looked_at = time.monotonic()
            done_s = min(progress.done_s, span.end_s) - span.begin_s
            report(_progress(spans, max(0.0, done_s)))

        return on_progress

    def _spans(self, ref: JobRef, plan: Plan) -> Spans:
        return Spans(
            self._store,
            ref,
            plan,
            owner=self._owner,
            lease_s=self._policy.lease_s,
            max_failures=self._policy.max_failures,
            clock=self._clock,
        )

    def _over(self, ref: JobRef) -> bool:
        return self._store.head(keys.outcome(ref)) is not None or cancel_requested(self._store, ref)

    @contextmanager
    def _noted(self, ref: JobRef) -> Iterator[bool]:
        """Notes that a thread of this process is at the job; whether it is the only one."""
        with self._lock:
            self._at_work[ref] += 1
            alone = self._at_work[ref] == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._at_work[ref] -= 1
                if not self._at_work[ref]:
                    del self._at_work[ref]


def _invited(spans: Spans, n: int) -> tuple[Span, HeldLease] | None:
    """The span that the message names if it is free, else another. Raises LeaseBusyError."""
    busy: LeaseBusyError | None = None
    if n in spans.missing:
        try:
            if claim := spans.take(n):
                return claim
        except LeaseBusyError as error:
            busy = error
    if claim := spans.claim(n):
        return claim
    if busy is not None:
        raise busy
    return None


def _progress(spans: Spans, more_s: float = 0.0) -> Progress:
    return Progress(stage="transcribing", done_s=spans.done_s + more_s, total_s=spans.plan.duration)
