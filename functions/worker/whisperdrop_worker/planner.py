"""Whether a recording is shared, its plan, and who is told of it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef, span_message
from whisperdrop.domain.job import JobRequest
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.documents import read_intact, write_once
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.leases import HeldLease, LeaseLostError
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import Engine, OnProgress
from whisperdrop_worker.fanout_spans import Spans
from whisperdrop_worker.plan import PLAN_VERSION, Plan

logger = Logger(service="worker")

_INVITATIONS = 3
"""For each other worker: messages reach workers at random, and some one that has come already."""

_AT_ONCE = 8  # messages


@dataclass(frozen=True)
class FanOutPolicy:
    """When recordings are shared, and how. Seconds and bytes."""

    min_s: float | None
    """None shares nothing; a plan that is there is worked by all the same."""
    span_s: float
    always: bool
    """Without looking for other workers, which do not report everywhere."""
    poll_s: float
    lease_s: float
    cancel_poll_s: float
    max_failures: int
    max_media_bytes: int


class Planner:
    """Plans held jobs. Safe to call from several threads."""

    def __init__(
        self,
        store: ObjectStore,
        bulk: JobQueue,
        decoder: Decoder,
        engine: Engine,
        *,
        policy: FanOutPolicy,
        owner: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._bulk = bulk
        self._decoder = decoder
        self._engine = engine
        self._policy = policy
        self._owner = owner
        self._clock = clock
        self._fleet = Fleet(store, clock=clock)

    def plan(
        self, request: JobRequest, held: HeldLease, media: Path, report: OnProgress
    ) -> Plan | None:
        """How ``request`` is shared; None where one worker does it alone.

        Raises what decoding ``media`` raises, and LeaseLostError.
        """
        ref = request.ref
        if held.attempt > 1:
            if stored := read_intact(self._store, Plan, keys.plan(ref)):
                return stored if stored.version == PLAN_VERSION else None
            # Checkpoints of a worker that was alone: a part means another run of windows there.
            if next(self._store.list(keys.parts(ref)), None) is not None:
                return None
        if not self._wanted(request, media):
            return None
        survey = self._engine.survey(
            self._decoder.decode(media),
            model=request.model,
            options=request.options,
            on_progress=report,
        )
        plan = Plan.of(survey, self._policy.span_s)
        if len(plan.ends) < 2 or plan.duration < (self._policy.min_s or 0):
            return None
        if not held.lease.live(self._clock()):
            raise LeaseLostError("the lease ran out before the plan was written")
        return write_once(self._store, keys.plan(ref), plan)

    def _wanted(self, request: JobRequest, media: Path) -> bool:
        least_s = self._policy.min_s
        if least_s is None or request.source == "sync" or not (self._policy.always or self._others):
            return False
        with closing(self._decoder.decode(media)) as stream:
            next(stream, None)
            return (stream.expected_s or 0) >= least_s

    @property
    def _others(self) -> int:
        return sum(worker.worker_id != self._owner for worker in self._fleet.workers())

    def invite(self, spans: Spans) -> None:
        """Tell other workers of the spans that are missing."""
        missing = spans.missing
        count = max(len(missing), _INVITATIONS * self._others)
        fields = {"job_id": spans.ref.job_id, "spans": len(spans.plan.ends)}
        logger.info("job_shared", extra=fields | {"missing": len(missing), "invitations": count})
        bodies = (span_message(SpanRef(spans.ref, missing[i % len(missing)])) for i in range(count))
        if missing:
            with ThreadPoolExecutor(_AT_ONCE) as beside:
                list(beside.map(self._bulk.send, bodies))
