"""What waits, from one listing of the jobs that have not ended.

A pass costs one request for each thousand of them, and 50 more at most: it looks whether the upload
has come of that many jobs of which nobody has said so. Which ones is left to chance, so that each
has its turn although others never come.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, estimate_s, load_of
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import WorkerReport
from whisperdrop.domain.scaling import Backlog
from whisperdrop.ports import ObjectStore, QueueDepth, QueueMeter
from whisperdrop.service.requests import mark_arrived

QueueName = Literal["interactive", "bulk"]

_LOOKS = 50
_USUAL_S = 300.0
"""Of a message of which nothing is known, while nothing is known of any job."""


@dataclass(frozen=True)
class Waiting:
    """What one listing says; ``jobs`` counts those that somebody works on too."""

    jobs: int = 0
    audio_s: float = 0.0
    awaiting: int = 0
    """Jobs whose upload has not come, as far as is known."""
    arrived: int = 0
    """Of these, so many had come without a word; they are among ``jobs`` now."""
    depths: Mapping[str, QueueDepth] = field(default_factory=dict)


class BacklogMeter:
    """Counts the jobs of the queues that it is given."""

    def __init__(
        self,
        store: ObjectStore,
        queues: Mapping[QueueName, QueueMeter],
        *,
        chance: random.Random | None = None,
    ) -> None:
        self._store = store
        self._queues = dict(queues)
        self._chance = chance or random.SystemRandom()

    def look(self) -> Waiting:
        """Raises StoreError."""
        jobs, audio_s = 0, 0.0
        unknown: list[JobRef] = []
        for info in self._store.list(keys.PENDING):
            load = load_of(info.size)
            if load is not None:
                if self._counts(load):
                    jobs, audio_s = jobs + 1, audio_s + load.audio_s
            elif ref := keys.parse_pending_key(info.key):
                unknown.append(ref)
        found = [load for ref in self._some(unknown) if (load := self._arrived(ref))]
        for load in found:
            if self._counts(load):
                jobs, audio_s = jobs + 1, audio_s + load.audio_s
        depths: dict[str, QueueDepth] = {}
        for name, queue in self._queues.items():
            depths[name] = queue.depth()
        return Waiting(jobs, audio_s, len(unknown) - len(found), len(found), depths)

    def _counts(self, load: Load) -> bool:
        return ("interactive" if load.interactive else "bulk") in self._queues

    def _some(self, refs: list[JobRef]) -> list[JobRef]:
        return refs if len(refs) <= _LOOKS else self._chance.sample(refs, _LOOKS)

    def _arrived(self, ref: JobRef) -> Load | None:
        for info in self._store.list(keys.uploads_of(ref)):
            load = Load(estimate_s(info.key, info.size))
            mark_arrived(self._store, ref, load)
            return load
        return None


def backlog_of(waiting: Waiting, workers: Sequence[WorkerReport], *, arriving: int = 0) -> Backlog:
    """What is left to do, given how far the workers are.

    Messages that can be seen, beyond those of the jobs that nobody works on, are of jobs that are
    not known yet, and so are ``arriving`` drops: each counts as a usual job.
    """
    busy = sum(worker.jobs for worker in workers)
    idle_jobs = max(0, waiting.jobs - busy)
    visible = sum(depth.visible for depth in waiting.depths.values())
    unknown = max(arriving, visible - idle_jobs, 0)
    usual_s = waiting.audio_s / waiting.jobs if waiting.jobs else _USUAL_S
    done_s = sum(worker.done_s for worker in workers)
    left_s = max(0.0, waiting.audio_s - done_s) + unknown * usual_s
    return Backlog(left_s, waiting.jobs, unknown)
