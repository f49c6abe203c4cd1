"""How many workers to start: a decision of numbers alone. Times are seconds."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Backlog:
    """What is to be done."""

    audio_s: float = 0.0
    """Of audio that nobody has transcribed yet: what waits, and what is left of what goes on."""
    jobs: int = 0
    """That have their media and have not ended."""
    unknown: int = 0
    """Messages beyond those of these jobs: drops that are no jobs yet, spans of shared ones."""

    @property
    def parts(self) -> int:
        """So many workers at most find something to do."""
        return self.jobs + self.unknown


@dataclass(frozen=True)
class Workers:
    """Who is there to do it."""

    running: int = 0
    starting: int = 0
    draining: int = 0
    """About to go: they take nothing new, but hold their places below the limit."""
    late: int = 0
    """Started so long ago that nobody waits for them any more; they may come all the same."""

    @property
    def counted(self) -> int:
        """Those that will work."""
        return self.running + self.starting

    @property
    def places(self) -> int:
        """Those that count against the limit."""
        return self.counted + self.draining + self.late


@dataclass(frozen=True)
class FleetPolicy:
    """What the operator wants."""

    limit: int
    """Workers at a time, at most."""
    speed: float
    """Seconds of audio that one worker transcribes in a second."""
    target_s: float
    """So soon a backlog should be done."""
    start_s: float
    """So long it takes from asking for a worker until it works."""

    @property
    def useful_s(self) -> float:
        """What a worker that is asked for now can do of a backlog; it should at least work for as
        long as it takes to start."""
        return max(self.target_s - self.start_s, self.start_s)


@dataclass(frozen=True)
class Decision:
    """How many workers there should be, how many to start now, and why, in one line."""

    wanted: int
    start: int
    reason: str


def decide(backlog: Backlog, workers: Workers, policy: FleetPolicy, *, warm: bool) -> Decision:
    """As many workers as the backlog needs to be done in time, and the limit lets.

    Who is there works for the whole of the target time; who is started now, for what is left of it
    then. Nobody is stopped: workers go by themselves when nothing comes.
    """
    work_s = backlog.audio_s / policy.speed
    if backlog.parts == 0:
        needed, why = 0, "nothing waits"
    else:
        late_s = work_s - workers.counted * policy.target_s
        if late_s > 0:
            needed = workers.counted + math.ceil(late_s / policy.useful_s)
        else:
            needed = math.ceil(work_s / policy.target_s)
        needed = max(1, min(needed, backlog.parts))
        why = f"{backlog.audio_s:.0f} s of audio in {backlog.parts} jobs"
    if warm and needed == 0:
        needed, why = 1, "kept warm"
    wanted = min(needed, policy.limit)
    room = max(0, policy.limit - workers.places)
    missing = max(0, wanted - workers.counted)
    start = min(missing, room)
    if needed > policy.limit:
        why += f"; would need {needed}, the limit is {policy.limit}"
    if start < missing:
        why += f"; {workers.places} of {policy.limit} places are taken"
    there = f"{workers.running} running, {workers.starting} starting"
    return Decision(wanted, start, f"{why}; wanted {wanted}; {there}; starting {start} more")
