"""The dispatcher of workers: looks what waits and who is there, and starts who is missing.

It may be woken by anything, several times for the same reason, and by several at once: a wake-up
says only that it is worth looking. What was decided is written to ``fleet/state.json`` by compare
and swap before anybody is asked for workers. So of two wake-ups one starts them, and the other
looks again; and if that one dies before it has asked, a later one asks with the same token.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, estimate_s
from whisperdrop.domain.fleet import DRY_FOR, Count, FleetState, Seen, Start, count, may_probe
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import WorkerReport
from whisperdrop.domain.scaling import Backlog, Decision, FleetPolicy, Workers, decide
from whisperdrop.errors import LostRaceError
from whisperdrop.ports import Clock, FleetTask, ObjectStore, QueueDepth, TaskRunner
from whisperdrop.service.backlog import BacklogMeter, Waiting, backlog_of
from whisperdrop.service.documents import DamagedDocumentError, dump, read_with_etag
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.requests import mark_arrived
from whisperdrop.service.warmth import warm_until

_TRIES = 5
_PAUSE = timedelta(seconds=5)
"""While workers are there, so long a look counts for the wake-ups that come after it."""
_PATIENCE = 3
"""A worker that has not come after so many times its usual time is late."""
_LEAST_PATIENCE = timedelta(minutes=5)


@dataclass
class DispatchReport:
    """What one wake-up found and did."""

    skipped: bool = False
    """Somebody has just looked, and workers are there."""
    backlog: Backlog = field(default_factory=Backlog)
    waiting: Waiting = field(default_factory=Waiting)
    workers: Workers = field(default_factory=Workers)
    wanted: int = 0
    started: int = 0
    failures: list[str] = field(default_factory=list)
    """Why so many fewer were started; the next wake-up tries again."""
    reason: str = ""

    @property
    def depths(self) -> dict[str, QueueDepth]:
        """Of each queue."""
        return dict(self.waiting.depths)


class Dispatcher:
    """Starts workers. Several may be woken at once; each wake-up may die anywhere."""

    def __init__(
        self,
        store: ObjectStore,
        meter: BacklogMeter,
        runner: TaskRunner,
        *,
        providers: Sequence[str],
        policy: FleetPolicy,
        clock: Clock,
    ) -> None:
        """``providers`` come best first."""
        self._store = store
        self._meter = meter
        self._runner = runner
        self._providers = tuple(providers)
        self._policy = policy
        self._clock = clock
        self._patience = max(_LEAST_PATIENCE, timedelta(seconds=_PATIENCE * policy.start_s))

    def arrived(self, ref: JobRef, key: str, size: int) -> None:
        """The upload of a job came, under ``key``. What came through the API is noted already.

        Raises StoreError; a look notices it too, sooner or later.
        """
        mark_arrived(self._store, ref, Load(estimate_s(key, size)))

    def wake(self, *, arriving: int = 0, always: bool = True) -> DispatchReport:
        """Look, and start what is missing. Raises StoreError; then the next wake-up does it.

        ``arriving`` drops are known to come, which are no jobs yet. Unless ``always``, a look that
        somebody else took a moment ago is enough where there are workers.
        """
        report = DispatchReport()
        for _ in range(_TRIES):
            now = self._clock()
            state, etag = self._read()
            if not always and _fresh(state, now):
                report.skipped = True
                return report
            if self._pass(state, etag, now, arriving, report):
                return report
        report.failures.append("many wake-ups at once: left to the next one")
        return report

    def _pass(
        self,
        state: FleetState,
        etag: str | None,
        now: datetime,
        arriving: int,
        report: DispatchReport,
    ) -> bool:
        """False when somebody else decided meanwhile."""
        # What waits comes first: a worker that drains after this look will still find it.
        report.waiting = self._meter.look()
        reports = Fleet(self._store, clock=lambda: now).workers()
        known = [task for start in state.starts for task in start.tasks or ()]
        tasks = self._runner.tasks(known)
        report.failures += [f"{t.provider}: {t.why or 'never ran'}" for t in tasks if t.never_ran]
        found = self._count(state, tasks, _draining(reports), now)
        report.backlog = backlog_of(report.waiting, reports, arriving=arriving)
        report.workers = found.workers
        warm = warm_until(self._store, now) is not None
        decision = decide(report.backlog, found.workers, self._policy, warm=warm)
        report.wanted, report.reason = decision.wanted, decision.reason
        return self._act(state, etag, found, decision, now, report)

    def _count(
        self, state: FleetState, tasks: Sequence[FleetTask], draining: set[str], now: datetime
    ) -> Count:
        seen = [
            Seen(task.id, task.state, task.asked_at, task.provider, task.group, task.never_ran)
            for task in tasks
        ]
        return count(state, seen, draining=draining, now=now, patience=self._patience)

    def _act(
        self,
        state: FleetState,
        etag: str | None,
        found: Count,
        decision: Decision,
        now: datetime,
        report: DispatchReport,
    ) -> bool:
        dry = {name: until for name, until in state.dry.items() if until > now}
        dry |= dict.fromkeys(found.dry, now + DRY_FOR)
        most = may_probe(dry, self._providers, now)
        new = Start(
            id=secrets.token_hex(16),
            count=decision.start if most is None else min(most, decision.start),
            asked_at=now,
        )
        # Whoever waits for nothing any more need not be asked for again.
        again = found.unanswered if decision.wanted else ()
        given_up = {start.id for start in found.unanswered} - {start.id for start in again}
        kept = tuple(start for start in found.starts if start.id not in given_up)
        after = FleetState(
            rev=secrets.token_hex(8),
            looked_at=now,
            counted=found.workers.counted + new.count,
            starts=(*kept, new) if new.count else kept,
            dry=dry,
        )
        try:
            self._write(after, etag)
        except LostRaceError:
            return not new.count and not again  # who came first has seen the same
        for start in (*again, *([new] if new.count else [])):
            self._start(start, dry, report)
        return True

    def _start(
        self,
        start: Start,
        dry: dict[str, datetime],
        report: DispatchReport,
    ) -> None:
        """Ask each provider for what the ones before it have not; then tell what came of it."""
        tasks: list[str] = []
        for n, provider in _by_hope(self._providers, dry):
            missing = start.count - len(tasks)
            if missing <= 0:
                break
            answer = self._runner.start(
                missing, provider=provider, group=start.id, token=f"{start.id}-{n}"
            )
            tasks += answer.tasks
            report.failures += [f"{provider}: {failure}" for failure in answer.failures]
            if answer.unsure:
                report.started += len(tasks)
                return  # it is asked for again, with the same token
            if answer.throttled:
                break
        report.started += len(tasks)
        self._answer(start.id, tuple(tasks))

    def _answer(self, start: str, tasks: tuple[str, ...]) -> None:
        """Should nobody write it down, the start is asked for again, and answers the same."""
        for _ in range(_TRIES):
            state, etag = self._read()
            told = state.answered(start, tasks).model_copy(update={"rev": secrets.token_hex(8)})
            try:
                self._write(told, etag)
            except LostRaceError:
                continue
            return

    def _read(self) -> tuple[FleetState, str | None]:
        nothing = FleetState(rev="")
        try:
            found = read_with_etag(self._store, FleetState, keys.FLEET_STATE)
        except DamagedDocumentError as damaged:
            return nothing, damaged.etag
        return found or (nothing, None)

    def _write(self, state: FleetState, etag: str | None) -> None:
        if etag is None:
            self._store.create(keys.FLEET_STATE, dump(state))
        else:
            self._store.replace(keys.FLEET_STATE, dump(state), etag)


def _draining(reports: Sequence[WorkerReport]) -> set[str]:
    return {worker.task for worker in reports if worker.draining and worker.task}


def _fresh(state: FleetState, now: datetime) -> bool:
    return bool(state.counted and state.looked_at and now - state.looked_at < _PAUSE)


def _by_hope(providers: Sequence[str], dry: dict[str, datetime]) -> list[tuple[int, str]]:
    """Best first; after all others those that had no machine, the one longest ago in front."""
    long_ago = datetime.min.replace(tzinfo=UTC)
    return sorted(enumerate(providers), key=lambda named: dry.get(named[1], long_ago))
