"""What a job has finished, kept in the store, so that its next attempt goes on from there."""

from collections import deque

from whisperdrop.domain import keys
from whisperdrop.domain.part import Part
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.observability.catalogue import CHECKPOINT_RESUMES
from whisperdrop.observability.metrics import record
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import write_once
from whisperdrop.service.leases import HeldLease, LeaseLostError
from whisperdrop.service.parts import delete_all, read_parts

logger = Logger(service="worker")


class StoreCheckpoints:
    """``Checkpoints`` under the job's ``parts/``, for the attempt that holds its lease."""

    def __init__(self, store: ObjectStore, held: HeldLease, clock: Clock) -> None:
        self._store = store
        self._held = held
        self._clock = clock
        self._unwritten: deque[Part] = deque()
        self.count = 0
        """Parts that are in the store, or may be."""

    def load(self) -> list[Part]:
        """See ``Checkpoints``. A first attempt asks nobody. Raises StoreError.

        What comes after a gap or a damaged part is deleted: nobody can go on from it, and it would
        stand where this attempt writes.
        """
        ref = self._held.ref
        if self._held.attempt == 1:
            return []
        stored = [info.key for info in self._store.list(keys.parts(ref))]
        if not stored:
            return []
        parts = read_parts(self._store, ref)
        record(CHECKPOINT_RESUMES)
        self.count = len(parts)
        usable = {keys.part(ref, part.n) for part in parts}
        delete_all(self._store, (key for key in stored if key not in usable))
        logger.info(
            "job_resumed",
            extra={
                "tenant": ref.tenant,
                "job_id": ref.job_id,
                "parts": len(parts),
                "done_s": parts[-1].end_s if parts else 0.0,
            },
        )
        return parts

    def save(self, part: Part) -> None:
        """See ``Checkpoints``. A store that fails ends no job: the next call tries again, in order.

        Raises LeaseLostError when another worker has gone on with the job.
        """
        self._unwritten.append(part)
        self.count += 1
        try:
            while self._unwritten:
                self._write(self._unwritten[0])
                self._unwritten.popleft()
        except StoreError as error:
            fields = {"job_id": self._held.ref.job_id, "unwritten": len(self._unwritten)}
            logger.warning("checkpoint_failed", extra=fields | {"error": str(error)})

    def _write(self, part: Part) -> None:
        if not self._held.lease.live(self._clock()):
            raise LeaseLostError("the lease ran out before a checkpoint was written")
        if write_once(self._store, keys.part(self._held.ref, part.n), part) != part:
            raise LeaseLostError("another worker has gone on with the job")
