"""Whether a recording is shared, its plan, and who is told of it."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from whisperdrop.domain import keys
from whisperdrop.domain.events import SpanRef, span_message
from whisperdrop.domain.job import JobRequest
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.documents import read_intact, write_once
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.leases import HeldLease, LeaseLostError
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Engine, OnProgress
from whisperdrop_worker.fanout_audio import Recording, SpanStream
from whisperdrop_worker.fanout_spans import Spans
from whisperdrop_worker.plan import PLAN_VERSION, Plan, span_ends

logger = Logger(service="worker")

_INVITATIONS = 5
"""For each other worker: messages reach workers at random, and some one that has come already."""

_AT_ONCE = 32  # messages


@dataclass(frozen=True)
class FanOutPolicy:
    """When recordings are shared, and how. Seconds and bytes."""

    min_s: float | None
    """None shares nothing; a plan that is there is worked by all the same."""
    span_s: float
    """The longest span; they are shorter where many workers share little."""
    always: bool
    """Without looking for other workers, which do not report everywhere."""
    poll_s: float
    lease_s: float
    cancel_poll_s: float
    max_failures: int
    max_media_bytes: int
    max_audio_s: float = math.inf


class Planner:
    """Plans held jobs. Safe to call from several threads."""

    def __init__(
        self,
        store: ObjectStore,
        bulk: JobQueue,
        engine: Engine,
        *,
        policy: FanOutPolicy,
        owner: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._bulk = bulk
        self._engine = engine
        self._policy = policy
        self._owner = owner
        self._clock = clock
        self._fleet = Fleet(store, clock=clock)

    def plan(
        self, request: JobRequest, held: HeldLease, recording: Recording, report: OnProgress
    ) -> Plan | None:
        """How ``request`` is shared; None where one worker does it alone.

        Raises what reading ``recording`` raises, and LeaseLostError.
        """
        ref = request.ref
        if held.attempt > 1:
            if stored := read_intact(self._store, Plan, keys.plan(ref)):
                return stored if stored.version == PLAN_VERSION else None
            # Checkpoints of a worker that was alone: a part means another run of windows there.
            if next(self._store.list(keys.parts(ref)), None) is not None:
                return None
        others = self._others
        least_s = self._policy.min_s
        if least_s is None or request.source == "sync" or not (self._policy.always or others):
            return None
        expected_s = recording.expected_s or 0.0
        # What is too long is refused by who decodes it.
        if not least_s <= expected_s <= self._policy.max_audio_s:
            return None
        if expected_s <= self._policy.span_s:
            return None
        grid = self._engine.grid
        ends = span_ends(
            grid.count(round(expected_s * SAMPLE_RATE)),
            max(1, round(self._policy.span_s * SAMPLE_RATE / grid.chapter)),
            others + 1 if others else None,
        )
        if len(ends) < 2:
            return None
        heard = self._engine.hear(
            SpanStream(recording.blocks(0, None, lambda: None), expected_s),
            model=request.model,
            options=request.options,
            on_progress=report,
        )
        plan = Plan.of(heard, grid, expected_s, ends)
        if not held.lease.live(self._clock()):
            raise LeaseLostError("the lease ran out before the plan was written")
        return write_once(self._store, keys.plan(ref), plan)

    @property
    def _others(self) -> int:
        return sum(
            worker.worker_id != self._owner and not worker.draining
            for worker in self._fleet.workers()
        )

    @contextmanager
    def inviting(self, spans: Spans) -> Iterator[None]:
        """Tell other workers of the spans that are missing, beside what is done meanwhile."""
        missing = spans.missing
        count = max(len(missing), _INVITATIONS * self._others) if missing else 0
        fields = {"job_id": spans.ref.job_id, "spans": len(spans.plan.ends)}
        logger.info("job_shared", extra=fields | {"missing": len(missing), "invitations": count})
        bodies = (span_message(SpanRef(spans.ref, missing[i % len(missing)])) for i in range(count))
        with ThreadPoolExecutor(_AT_ONCE) as beside:
            sent = beside.map(self._bulk.send, bodies)
            yield
            try:
                list(sent)
            except StoreError as error:  # they are hints: what they were for is done
                logger.warning("invitations_failed", extra=fields | {"error": str(error)})
