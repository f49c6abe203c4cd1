"""``python -m bench.fleet``: a day of the fleet, simulated.

Bucket, queue and machines are played; what decides is not: the dispatcher, the drain rule, leases,
outcomes and the sweep are those of the service, over a virtual clock.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from bench.fleet_plan import HOUR_S, NO_TROUBLE, Arrival, Day, Machines
from bench.fleet_worker import BUCKET, Workers
from bench.fleet_world import Process, World
from bench.report import Section, Table
from bench.stats import percentile
from whisperdrop.domain import keys
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.domain.scaling import FleetPolicy
from whisperdrop.errors import StoreError
from whisperdrop.service.backlog import BacklogMeter
from whisperdrop.service.dispatch import Dispatcher
from whisperdrop.service.documents import read
from whisperdrop.service.requests import NewJob, mark_pending, new_request, write_request
from whisperdrop.service.sweep import Sweep, SweepPolicy

_TENANT = "day"
_AFTER_S = 3 * HOUR_S
"""The simulation goes on so long after midnight, for what came late to end."""


@dataclass(frozen=True)
class Result:
    """What came of a day. Seconds, dollars."""

    jobs: int
    transcripts: int
    outcomes_twice: int
    left: int
    """Jobs without an outcome, and messages without a job, at the end."""
    machines_left: int
    waits_s: tuple[float, ...]
    """From the end of an upload to its transcript."""
    cold_waits_s: tuple[float, ...]
    """Of these, where nobody was there when the upload ended: to a first transcript."""
    audio_s: float
    work_s: float
    machine_s: float
    ideal_s: float
    cost: float
    most_machines: int
    starts: int
    refused: int
    spot_losses: int
    lost_wakes: int
    lost_messages: int
    deaths: int
    looks: int


class _Simulation:
    """One day from its first file to its end."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.world = World(day)
        world, policy = self.world, day.policy
        self.audio_s: dict[JobRef, float] = {}
        self.arrived_at: dict[JobRef, float] = {}
        self.cold: list[JobRef] = []
        world.machine = Workers(world, self.audio_s)
        self.looks = 0
        self.most = 0
        self.dispatcher = Dispatcher(
            world.store,
            BacklogMeter(world.store, {"bulk": world.queue}, chance=world.chance),
            world.runner,
            providers=("spot", "demand"),
            policy=FleetPolicy(
                limit=policy.limit,
                speed=day.machines.speed,
                target_s=policy.target_s,
                start_s=policy.start_s,
            ),
            clock=world.clock,
        )
        self.sweep = Sweep(
            world.store,
            world.queue,
            world.queue,
            bucket=BUCKET,
            catalog=ModelCatalog(("day",), {}),
            policy=SweepPolicy(
                requeue_after_s=policy.requeue_after_s, upload_grace_s=3600, drop_window_s=86_400
            ),
            clock=world.clock,
        )

    def run(self) -> Result:
        env = self.world.env
        for arrival in self.day.arrivals():
            env.process(self._client(arrival))
        for process in (self._dispatches(), self._schedule(), self._sweeps()):
            env.process(process)
        env.run(24 * HOUR_S + _AFTER_S)
        return self._result()

    def _client(self, arrival: Arrival) -> Process:
        """Makes a job, uploads for half a minute, and goes."""
        world = self.world
        yield world.env.timeout(max(0.0, arrival.at_s - 30))
        now = world.clock()
        ref = JobRef(_TENANT, new_job_id(now, world.chance.randrange))
        request = new_request(
            NewJob(_TENANT, "day", "talk.mp3"),
            ref.job_id,
            "upload",
            size=arrival.bytes,
            now=now,
            upload_expires_s=3600,
        )
        write_request(world.store, request)
        mark_pending(world.store, ref)
        self.audio_s[ref] = arrival.audio_s
        yield world.env.timeout(30)
        if not world.runner.tasks():
            self.cold.append(ref)
        self.arrived_at[ref] = world.env.now
        world.store.put_sized(request.media_key, arrival.bytes)
        world.send_soon(direct_message(ref))
        world.wake_soon((ref, request.media_key, arrival.bytes))

    def _dispatches(self) -> Process:
        """The dispatcher function, one event after the other."""
        while True:
            reason = yield self.world.wakes.get()
            yield self.world.env.timeout(0.2)
            self.looks += 1
            try:
                if isinstance(reason, tuple):
                    self.dispatcher.arrived(*reason)
                self.dispatcher.wake(always=not isinstance(reason, tuple))
            except StoreError:
                continue
            finally:
                self.most = max(self.most, len(self.world.runner.tasks()))

    def _schedule(self) -> Process:
        while True:
            yield self.world.env.timeout(60)
            self.world.wakes.put("schedule")

    def _sweeps(self) -> Process:
        while True:
            yield self.world.env.timeout(300)
            self.sweep.run()

    def _result(self) -> Result:
        world, runner, machines = self.world, self.world.runner, self.day.machines
        ended: dict[JobRef, float] = {}
        midnight = world.clock() - timedelta(seconds=world.env.now)
        for ref in self.arrived_at:
            outcome = read(world.store, Outcome, keys.outcome(ref))
            if outcome is not None and outcome.status is JobStatus.SUCCEEDED:
                ended[ref] = (outcome.finished_at - midnight).total_seconds()
        waits = {ref: at - self.arrived_at[ref] for ref, at in ended.items()}
        paid = {
            task: runner.ended_at.get(task, world.env.now) - asked + machines.left_over_s
            for task, asked in runner.asked_at.items()
        }
        hour = {"spot": machines.spot_hour, "demand": machines.demand_hour}
        audio_s = sum(self.audio_s.values())
        return Result(
            jobs=len(self.arrived_at),
            transcripts=len(ended),
            outcomes_twice=sum(count > 1 for count in world.store.writes.values()),
            left=len(list(world.store.list(keys.PENDING))) + len(world.queue),
            machines_left=len(runner.tasks()),
            waits_s=tuple(sorted(waits.values())),
            cold_waits_s=tuple(sorted(waits[ref] for ref in self.cold if ref in waits)),
            audio_s=audio_s,
            work_s=world.work_s,
            machine_s=sum(paid.values()),
            ideal_s=audio_s / machines.speed,
            cost=sum(paid[task] / HOUR_S * hour[runner.provider[task]] for task in paid),
            most_machines=self.most,
            starts=len(paid),
            refused=runner.refused,
            spot_losses=world.spot_losses,
            lost_wakes=world.lost_wakes,
            lost_messages=world.lost_messages,
            deaths=world.deaths,
            looks=self.looks,
        )


def simulate(day: Day) -> Result:
    """What comes of a day; the same day always gives the same."""
    return _Simulation(day).run()


def study(day: Day) -> Section:
    """The day, and the same day without troubles."""
    found = {
        "as planned": simulate(day),
        "without troubles": simulate(replace(day, troubles=NO_TROUBLE)),
    }
    rows = [
        (name, *(f"{value(result)}" for result in found.values())) for name, value in _ROWS.items()
    ]
    table = Table("A day of the fleet", ("", *found), rows)
    return Section("fleet", [table], {name: vars(result) for name, result in found.items()})


def _minutes(values: tuple[float, ...], share: float) -> str:
    return f"{percentile(values, 100 * share) / 60:.1f} min" if values else "-"


_ROWS: dict[str, Callable[[Result], object]] = {
    "files": lambda r: r.jobs,
    "hours of audio": lambda r: f"{r.audio_s / HOUR_S:.1f}",
    "transcripts": lambda r: r.transcripts,
    "jobs with two outcomes": lambda r: r.outcomes_twice,
    "jobs or messages left": lambda r: r.left,
    "machines left": lambda r: r.machines_left,
    "upload to transcript, median": lambda r: _minutes(r.waits_s, 0.5),
    "upload to transcript, p95": lambda r: _minutes(r.waits_s, 0.95),
    "the same from zero workers, median": lambda r: _minutes(r.cold_waits_s, 0.5),
    "the same from zero workers, p95": lambda r: _minutes(r.cold_waits_s, 0.95),
    "starts from zero": lambda r: len(r.cold_waits_s),
    "machines started": lambda r: r.starts,
    "machines at a time, at most": lambda r: r.most_machines,
    "machine hours": lambda r: f"{r.machine_s / HOUR_S:.1f}",
    "of these, work": lambda r: f"{r.ideal_s / HOUR_S:.1f}",
    "audio computed, for each second of it": lambda r: f"{r.work_s / r.audio_s:.3f}",
    "dollars": lambda r: f"{r.cost:.2f}",
    "dollars an hour of audio": lambda r: f"{r.cost / (r.audio_s / HOUR_S):.4f}",
    "Spot machines lost": lambda r: r.spot_losses,
    "starts refused": lambda r: r.refused,
    "wake-ups lost": lambda r: r.lost_wakes,
    "messages lost": lambda r: r.lost_messages,
    "dispatchers that died": lambda r: r.deaths,
    "looks of the dispatcher": lambda r: r.looks,
}


def main(arguments: list[str] | None = None) -> int:
    """Simulate and print; 1 when anything was lost, doubled, or left running."""
    parser = argparse.ArgumentParser(prog="bench.fleet", description=__doc__)
    usual = Day()
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--jobs", type=float, default=usual.jobs_an_hour, help="an office hour")
    parser.add_argument("--speed", type=float, default=usual.machines.speed, help="x real time")
    parser.add_argument("--spot", type=float, default=usual.machines.spot_hour, help="$/h")
    parser.add_argument("--demand", type=float, default=usual.machines.demand_hour, help="$/h")
    parser.add_argument("--limit", type=int, default=usual.policy.limit, help="workers")
    parser.add_argument("--target", type=float, default=usual.policy.target_s, help="seconds")
    parser.add_argument("--idle", type=float, default=usual.policy.idle_exit_s, help="seconds")
    options = parser.parse_args(arguments)
    day = replace(
        usual,
        seed=options.seed,
        jobs_an_hour=options.jobs,
        machines=Machines(speed=options.speed, spot_hour=options.spot, demand_hour=options.demand),
        policy=replace(
            usual.policy,
            limit=options.limit,
            target_s=options.target,
            idle_exit_s=options.idle,
        ),
    )
    section = study(day)
    print(section)
    clean = all(
        (r["transcripts"], r["outcomes_twice"], r["left"], r["machines_left"])
        == (r["jobs"], 0, 0, 0)
        for r in section.data.values()
    )
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
