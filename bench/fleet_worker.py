"""A simulated worker: the real drain rule, leases and outcomes around made-up work."""

from contextlib import suppress
from dataclasses import dataclass

import simpy

from bench.fleet_world import Process, World
from whisperdrop.domain import keys
from whisperdrop.domain.draining import Drain
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import (
    JobRequest,
    JobStatus,
    Outcome,
    Progress,
    Usage,
    WorkerReport,
)
from whisperdrop.ports import Message
from whisperdrop.service.documents import dump, read, read_intact
from whisperdrop.service.leases import HeldLease, LeaseBusyError, LeaseLostError, acquire
from whisperdrop.service.settlement import follow_up, settle

BUCKET = "day"
_TICK_S = 5.0
_REPORT_S = 20.0


@dataclass
class _Job:
    ref: JobRef
    message: Message
    held: HeldLease
    done_s: float
    renewed_at: float


class Workers:
    """All workers of the day; each lives on a machine of its own."""

    def __init__(self, world: World, audio_s: dict[JobRef, float]) -> None:
        self._world = world
        self._audio_s = audio_s
        self._parts: dict[JobRef, float] = {}
        """Checkpoints: seconds of audio that need not be done again."""

    def live(self, task: str) -> Process:
        """From its first look at the queue until it has drained, or was taken away."""
        yield from _Worker(self._world, self._audio_s, self._parts, task).live()


class _Worker:
    def __init__(
        self,
        world: World,
        audio_s: dict[JobRef, float],
        parts: dict[JobRef, float],
        task: str,
    ) -> None:
        self._world = world
        self._env = world.env
        self._audio_s = audio_s
        self._parts = parts
        self._task = task
        self._jobs: list[_Job] = []
        self._drain = Drain(world.day.policy.idle_exit_s, ("bulk",), self._env.now)
        self._reported_at = -_REPORT_S
        self._step = _TICK_S

    def live(self) -> Process:
        try:
            while True:
                yield self._env.timeout(self._until_next())
                self._work()
                self._receive()
                self._report()
                gone = yield from self._drained()
                if gone:
                    return
        except simpy.Interrupt as taken:
            if taken.cause:  # SIGTERM: everything goes back at once
                for job in self._jobs:
                    self._hand_back(job)
                yield self._env.timeout(2)

    def _until_next(self) -> float:
        """The next end of a job, if that is sooner than the next look at the queue."""
        if not self._jobs:
            return _TICK_S
        share = self._world.day.machines.speed / len(self._jobs)
        shortest = min(self._audio_s[job.ref] - job.done_s for job in self._jobs) / share
        self._step = max(0.05, min(_TICK_S, shortest))
        return self._step

    def _work(self) -> None:
        """Jobs share the worker's speed; who has ended leaves."""
        policy, now = self._world.day.policy, self._env.now
        if not self._jobs:
            return
        each_s = self._step * self._world.day.machines.speed / len(self._jobs)
        for job in list(self._jobs):
            job.done_s += each_s
            self._world.work_s += each_s
            try:
                if now - job.renewed_at >= policy.lease_s / 3:
                    job.held.renew(Progress(stage="transcribing", done_s=job.done_s))
                    self._world.queue.extend(job.message, round(policy.lease_s))
                    self._parts[job.ref] = max(self._parts.get(job.ref, 0.0), job.done_s)
                    job.renewed_at = now
                if job.done_s >= self._audio_s[job.ref] - 1e-6:
                    self._finish(job)
            except LeaseLostError:
                self._jobs.remove(job)

    def _finish(self, job: _Job) -> None:
        self._jobs.remove(job)
        self._drain.touch(self._env.now)
        if not job.held.lease.live(self._world.clock()):
            return
        store = self._world.store
        request = read(store, JobRequest, keys.request(job.ref))
        assert request is not None
        usage = Usage(audio_s=self._audio_s[job.ref], engine_s=0, model=request.model)
        outcome = Outcome.of(
            request,
            JobStatus.SUCCEEDED,
            self._world.clock(),
            usage=usage,
            lease=job.held.lease,
        )
        settle(store, outcome)
        store.delete(request.media_key)
        self._world.queue.delete(job.message)

    def _hand_back(self, job: _Job) -> None:
        self._parts[job.ref] = job.done_s
        self._world.queue.extend(job.message, 0)
        with suppress(LeaseLostError):
            job.held.hand_back("the worker was stopped")

    def _receive(self) -> None:
        queue, policy = self._world.queue, self._world.day.policy
        while len(self._jobs) < policy.slots:
            look = self._drain.look()
            message = queue.receive(wait_s=0, visibility_s=round(policy.lease_s))
            if message is None:
                self._drain.saw_nothing("bulk", look)
                return
            self._drain.touch(self._env.now)
            self._take(message)

    def _take(self, message: Message) -> None:
        """As the poller and the processor do."""
        world, policy = self._world, self._world.day.policy
        for work in parse_event(message.body, bucket=BUCKET):
            assert isinstance(work, JobRef)
            if outcome := read_intact(world.store, Outcome, keys.outcome(work)):
                follow_up(world.store, outcome)
                world.queue.delete(message)
                return
            try:
                held = acquire(
                    world.store, work, owner=self._task, ttl_s=policy.lease_s, clock=world.clock
                )
            except LeaseBusyError as busy:
                if message.receives == 1:
                    world.queue.delete(message)
                else:
                    left = busy.lease.expires_at - world.clock()
                    world.queue.extend(message, max(1, int(left.total_seconds()) + 1))
                return
            done_s = self._parts.get(work, 0.0)
            self._jobs.append(_Job(work, message, held, done_s, self._env.now))

    def _report(self, *, now: bool = False) -> None:
        if not now and self._env.now - self._reported_at < _REPORT_S:
            return
        self._reported_at = self._env.now
        report = WorkerReport(
            worker_id=self._task,
            models=("day",),
            jobs=len(self._jobs),
            seen_at=self._world.clock(),
            done_s=sum(job.done_s for job in self._jobs),
            draining=self._drain.draining,
            task=self._task,
        )
        self._world.store.put(keys.worker(self._task), dump(report))

    def _drained(self) -> Process:
        """Whether it may go: by the rule, with time between the word and the last look."""
        if self._jobs or self._env.now < self._drain.idle_at():
            return False
        if not self._drain.say(self._env.now):
            return False
        self._report(now=True)
        yield self._env.timeout(self._world.chance.uniform(1, 6))
        self._receive()
        if self._drain.done:
            return True
        self._report(now=True)
        return False
