"""What the fleet remembers between two wake-ups, and what it makes of what it sees."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from whisperdrop.domain.scaling import Workers

REPEAT_AFTER = timedelta(seconds=60)
"""A start that nobody has told the end of is asked for again: who asked has died, or its time was
over. More than a wake-up may last."""

SETTLED_AFTER = timedelta(seconds=60)
"""Until then, a task that was started may be missing in what ECS tells; later it is gone."""

FORGET_AFTER = timedelta(minutes=10)
"""A start that could be neither made nor told for so long is given up, for a new one."""

DRY_FOR = timedelta(minutes=10)
"""So long a provider that had no machine is passed over, if there is another."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Start(_Document):
    """Workers that were asked for in one decision."""

    id: str
    """Tokens are made of it: asked again, nothing more is started."""
    count: int
    asked_at: AwareDatetime
    tasks: tuple[str, ...] | None = None
    """What came of it; None until that is known."""


class FleetState(_Document):
    """``fleet/state.json``: compare and swap, so that of two wake-ups one starts who is missing."""

    version: int = 1
    rev: str
    looked_at: AwareDatetime | None = None
    counted: int = 0
    """Workers at that look, those just asked for included."""
    starts: tuple[Start, ...] = ()
    dry: dict[str, AwareDatetime] = Field(default_factory=dict)
    """Providers that had no machines, and until when they are passed over."""

    def answered(self, start: str, tasks: tuple[str, ...]) -> Self:
        """The same, with what came of a start."""
        starts = tuple(
            known.model_copy(update={"tasks": tasks}) if known.id == start else known
            for known in self.starts
        )
        return self.model_copy(update={"starts": starts})


@dataclass(frozen=True)
class Seen:
    """A task as it is now; the port's, as far as a decision needs it."""

    id: str
    state: str
    asked_at: datetime
    provider: str | None
    group: str | None
    never_ran: bool


@dataclass(frozen=True)
class Count:
    """What a look found."""

    workers: Workers
    starts: tuple[Start, ...]
    """Those that are still of interest."""
    unanswered: tuple[Start, ...]
    """Of these, what to ask for again."""
    dry: frozenset[str]
    """Providers that turned out to have no machine."""


def count(
    state: FleetState,
    tasks: Iterable[Seen],
    *,
    draining: Collection[str],
    now: datetime,
    patience: timedelta,
) -> Count:
    """Every worker once: one that runs, that starts, or that was asked for and is not seen yet.

    ``draining`` are tasks that said they go. A task that has not come for ``patience`` is late.
    """
    seen = {task.id: task for task in tasks}
    late = [
        task
        for task in seen.values()
        if task.state == "starting" and now - task.asked_at > patience
    ]
    never_ran = [task for task in seen.values() if task.state == "stopped" and task.never_ran]
    running = [task for task in seen.values() if task.state == "running"]
    starting = sum(task.state == "starting" for task in seen.values()) - len(late)
    kept = tuple(start for start in state.starts if _of_interest(start, seen, now))
    going = sum(task.id in draining for task in running)
    unseen = sum(_unseen(start, seen, now) for start in kept)
    return Count(
        Workers(len(running) - going, starting + unseen, going, len(late)),
        kept,
        tuple(s for s in kept if s.tasks is None and now - s.asked_at > REPEAT_AFTER),
        frozenset(task.provider for task in (*late, *never_ran) if task.provider),
    )


def _of_interest(start: Start, seen: Mapping[str, Seen], now: datetime) -> bool:
    """Whether there is anything to learn from it yet."""
    age = now - start.asked_at
    if start.tasks is None:
        return age <= FORGET_AFTER
    waiting = (seen[task].state == "starting" for task in start.tasks if task in seen)
    return age <= SETTLED_AFTER or any(waiting)


def _unseen(start: Start, seen: Mapping[str, Seen], now: datetime) -> int:
    """Workers that were asked for and may yet be seen."""
    if start.tasks is None:
        return max(0, start.count - sum(task.group == start.id for task in seen.values()))
    if now - start.asked_at > SETTLED_AFTER:
        return 0
    return sum(task not in seen for task in start.tasks)


def may_probe(dry: Mapping[str, datetime], providers: Collection[str], now: datetime) -> int | None:
    """How many workers may be asked for where every provider is dry; None for as many as wanted.

    One, and a minute after the last one failed: what cannot be started must not be started over and
    over, by each event that says so.
    """
    if any(dry.get(provider, now) <= now for provider in providers):
        return None
    return int(all(dry[provider] - now <= DRY_FOR - SETTLED_AFTER for provider in providers))
