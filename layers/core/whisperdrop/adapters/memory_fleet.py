"""The fleet in memory: for tests and simulations, held to the same contract as the real one."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whisperdrop.ports import Clock, FleetTask, Started


@dataclass
class Provider:
    """A provider that behaves as it is told."""

    capacity: int | None = None
    """So many tasks at a time; None for as many as are asked for."""
    throttled: bool = False


class MemoryTaskRunner:
    """Tasks in a dictionary; whoever plays the machines moves them on."""

    def __init__(self, clock: Clock, **providers: Provider) -> None:
        self._clock = clock
        self.providers = providers
        self._tasks: dict[str, FleetTask] = {}
        self._answered: dict[str, Started] = {}
        self._lock = threading.Lock()

    def start(self, count: int, *, provider: str, group: str, token: str) -> Started:
        with self._lock:
            if token in self._answered:
                return self._answered[token]
            of = self.providers.setdefault(provider, Provider())
            if of.throttled:
                return Started((), ("ThrottlingException: Rate exceeded",), throttled=True)
            room = count
            if of.capacity is not None:
                used = sum(
                    task.provider == provider and task.state != "stopped"
                    for task in self._tasks.values()
                )
                room = max(0, min(count, of.capacity - used))
            made = tuple(f"task-{len(self._tasks) + n + 1}" for n in range(room))
            for name in made:
                self._tasks[name] = FleetTask(name, "starting", self._clock(), provider, group)
            lacking = ("Capacity is unavailable at this time",) * (count - room)
            answer = Started(made, lacking)
            if made:
                self._answered[token] = answer
            return answer

    def tasks(self, ids: Sequence[str] = ()) -> tuple[FleetTask, ...]:
        with self._lock:
            return tuple(
                task for task in self._tasks.values() if task.state != "stopped" or task.id in ids
            )

    def runs(self, task: str) -> None:
        """Its machine is there, and its worker works."""
        with self._lock:
            self._tasks[task] = replace(self._tasks[task], state="running")

    def stops(self, task: str, why: str | None = None) -> None:
        """It is over: its worker went, or its machine was taken away, or never came."""
        with self._lock:
            before = self._tasks[task]
            self._tasks[task] = replace(
                before, state="stopped", never_ran=before.state == "starting", why=why
            )
