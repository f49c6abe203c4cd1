"""The world around a simulated fleet: a bucket, a queue, events, and machines that come and go."""

import random
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import simpy

from bench.fleet_plan import HOUR_S, Day
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.adapters.memory_fleet import MemoryTaskRunner, Provider
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectInfo, Started

Process = Generator[simpy.Event, Any, Any]
_MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class VirtualClock:
    """The port ``Clock``, as late as the simulation is."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env

    def __call__(self) -> datetime:
        return _MIDNIGHT + timedelta(seconds=self._env.now)


class DayStore(MemoryObjectStore):
    """The store in memory, with an index: a day lists some thousand times."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self._tops: dict[str, set[str]] = {}
        self.writes: dict[str, int] = {}
        """Of outcomes, by key: one each."""

    def _write(self, key: str, *rest: Any, **named: Any) -> str:
        self._tops.setdefault(key.partition("/")[0], set()).add(key)
        if key.endswith("/outcome.json"):
            self.writes[key] = self.writes.get(key, 0) + 1
        return super()._write(key, *rest, **named)

    def delete(self, key: str) -> None:
        self._tops.get(key.partition("/")[0], set()).discard(key)
        super().delete(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        top = self._tops.get(prefix.partition("/")[0], set())
        for key in sorted(key for key in top if key.startswith(prefix)):
            if info := self.head(key):
                yield info

    def put_sized(self, key: str, size: int) -> None:
        """An object that says it has so many bytes."""
        self.put(key, b"")
        info = self._objects[key].info
        sized = ObjectInfo(key, size, info.etag, info.modified)
        self._objects[key] = type(self._objects[key])(b"", sized)


class Machine(Protocol):
    """What runs on a machine once it is there."""

    def live(self, task: str) -> Process:
        """From its first moment to its last; interrupted with ``True`` where it has two minutes."""
        ...


class DayRunner(MemoryTaskRunner):
    """ECS with the troubles of the day: tasks become machines, and machines end."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.clock, spot=Provider(), demand=Provider())
        self._world = world
        self._known: set[str] = set()
        self.asked_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}
        self.provider: dict[str, str] = {}
        self.refused = 0

    def start(self, count: int, *, provider: str, group: str, token: str) -> Started:
        world, now_h = self._world, self._world.env.now / HOUR_S
        troubles = world.day.troubles
        if world.chance.random() < troubles.dead_dispatchers:
            world.deaths += 1
            raise StoreError("the dispatcher died")
        scarce = _within(now_h, troubles.none_left)
        self.providers["spot"].capacity = 0 if scarce else None
        self.providers["demand"].capacity = troubles.few_on_demand if scarce else None
        for of in self.providers.values():
            of.throttled = _within(now_h, troubles.throttled)
        answer = super().start(count, provider=provider, group=group, token=token)
        self.refused += len(answer.failures)
        for task in answer.tasks:
            if task not in self._known:
                self._known.add(task)
                self.asked_at[task] = world.env.now
                self.provider[task] = provider
                world.env.process(self._machine(task, provider))
        return answer

    def _machine(self, task: str, provider: str) -> Process:
        world, troubles = self._world, self._world.day.troubles
        if world.chance.random() < troubles.never_comes:
            yield world.env.timeout(600)
            yield from self._end(task, "Timeout waiting for capacity")
            return
        yield world.env.timeout(world.chance.uniform(*world.day.machines.start_s))
        self.runs(task)
        life = world.env.process(world.machine.live(task))
        if provider == "spot":
            taken = world.env.timeout(world.chance.expovariate(1 / troubles.spot_life_h) * HOUR_S)
            yield life | taken
            if life.is_alive:
                world.spot_losses += 1
                life.interrupt(world.chance.random() >= troubles.sudden)
        yield life
        yield from self._end(task, "exited")

    def _end(self, task: str, why: str) -> Process:
        world = self._world
        yield world.env.timeout(world.chance.uniform(1, 15))  # ECS sees it a moment later
        self.stops(task, why)
        self.ended_at[task] = world.env.now
        world.wake_soon("stopped")


class World:
    """What all have in common."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.env = simpy.Environment()
        self.clock = VirtualClock(self.env)
        self.chance = random.Random(day.seed + 1)  # noqa: S311 - a day that can be repeated
        self.store = DayStore(self.clock)
        self.queue = MemoryJobQueue(self.clock)
        self.runner = DayRunner(self)
        self.machine: Machine
        self.wakes: simpy.Store = simpy.Store(self.env)
        self.deaths = self.spot_losses = self.lost_wakes = self.lost_messages = 0
        self.work_s = 0.0
        """Seconds of audio that were computed, in vain or not."""

    def wake_soon(self, reason: object) -> None:
        """An event on its way to the dispatcher; some never come, some twice."""
        troubles = self.day.troubles
        if self.chance.random() < troubles.lost_wakes:
            self.lost_wakes += 1
            return
        for _ in range(2 if self.chance.random() < troubles.doubled_wakes else 1):
            self.env.process(self._late(reason))

    def _late(self, reason: object) -> Process:
        yield self.env.timeout(self.chance.uniform(0.5, 4))
        self.wakes.put(reason)

    def send_soon(self, body: str) -> None:
        """The bucket's message on its way to the queue."""
        troubles = self.day.troubles
        if self.chance.random() < troubles.lost_messages:
            self.lost_messages += 1
            return
        for _ in range(2 if self.chance.random() < troubles.doubled_messages else 1):
            self.env.process(self._sent(body))

    def _sent(self, body: str) -> Process:
        yield self.env.timeout(self.chance.uniform(0.5, 3))
        self.queue.send(body)


def _within(hour: float, spans: tuple[tuple[float, float], ...]) -> bool:
    return any(first <= hour < last for first, last in spans)
