"""A day of a fleet: what comes, what goes wrong, and what machines are assumed to do."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

HOUR_S = 3600.0


@dataclass(frozen=True)
class Machines:
    """Assumptions: none of these was measured on a GPU. Seconds and dollars."""

    speed: float = 35.0
    """Times real time, of one worker; what the cost model assumes of an L4."""
    start_s: tuple[float, float] = (120.0, 300.0)
    """From the wish to a worker that works: machine, image, model."""
    spot_hour: float = 0.66
    demand_hour: float = 0.90
    """A g6.xlarge with the fee of Managed Instances."""
    left_over_s: float = 60.0
    """A machine is paid for so long after its task has ended."""


@dataclass(frozen=True)
class Troubles:
    """What goes wrong, as chances and times."""

    spot_life_h: float = 1.0
    """Mean time until a Spot machine is taken back."""
    sudden: float = 0.2
    """Of these, without a word, as when a machine breaks."""
    none_left: tuple[tuple[float, float], ...] = ((13.2, 14.2),)
    """Hours of the day in which nobody has a Spot machine."""
    few_on_demand: int = 2
    """Machines on demand in these hours."""
    throttled: tuple[tuple[float, float], ...] = ((9.0, 9.05), (17.0, 17.03))
    """Hours of the day in which ECS starts nothing."""
    never_comes: float = 0.02
    """Of the tasks: ten minutes later ECS gives them up."""
    lost_wakes: float = 0.05
    doubled_wakes: float = 0.10
    lost_messages: float = 0.005
    doubled_messages: float = 0.03
    dead_dispatchers: float = 0.02
    """Wake-ups that die between what they wrote down and the start of anybody."""


NO_TROUBLE = Troubles(
    spot_life_h=1e6,
    sudden=0,
    none_left=(),
    throttled=(),
    never_comes=0,
    lost_wakes=0,
    doubled_wakes=0,
    lost_messages=0,
    doubled_messages=0,
    dead_dispatchers=0,
)


@dataclass(frozen=True)
class Policy:
    """How the fleet is set: the dispatcher's settings, and the workers'."""

    limit: int = 12
    target_s: float = 600.0
    start_s: float = 240.0
    idle_exit_s: float = 300.0
    slots: int = 8
    lease_s: float = 120.0
    requeue_after_s: float = 600.0


@dataclass(frozen=True)
class Arrival:
    """A file: when its upload ends, how long it is, and what one takes it for by its size."""

    at_s: float
    audio_s: float
    bytes: int


@dataclass(frozen=True)
class Day:
    """All of it."""

    seed: int = 1
    jobs_an_hour: float = 12.0
    """In office hours; a tenth of it otherwise, none at night."""
    bursts: tuple[tuple[float, int], ...] = ((9.0, 150), (13.5, 250), (17.0, 80))
    """Hours of the day at which so many files come within two minutes."""
    machines: Machines = field(default_factory=Machines)
    troubles: Troubles = field(default_factory=Troubles)
    policy: Policy = field(default_factory=Policy)

    def arrivals(self) -> list[Arrival]:
        """The files of the day, in order of time."""
        chance = random.Random(self.seed)  # noqa: S311 - a day that can be repeated
        times = [*self._alone(chance), *self._together(chance)]
        return [_file(at_s, chance) for at_s in sorted(times)]

    def _alone(self, chance: random.Random) -> Iterator[float]:
        for hour in range(24):
            if hour < 5:
                continue
            rate = self.jobs_an_hour * (1.0 if 8 <= hour < 18 else 0.1)
            at = chance.expovariate(rate) if rate else 1.0
            while at < 1:
                yield (hour + at) * HOUR_S
                at += chance.expovariate(rate)

    def _together(self, chance: random.Random) -> Iterator[float]:
        for hour, count in self.bursts:
            for _ in range(count):
                yield hour * HOUR_S + chance.uniform(0, 120)


def _file(at_s: float, chance: random.Random) -> Arrival:
    """Minutes mostly, hours at times; an estimate from its size is off by half or double."""
    audio_s = min(4 * HOUR_S, max(5.0, chance.lognormvariate(6.2, 1.2)))
    seen_as_s = audio_s * chance.lognormvariate(0, 0.35)
    return Arrival(at_s, audio_s, int(seen_as_s * 12_000))
