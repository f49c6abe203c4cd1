"""Leases: at most one worker transcribes a job, or a span of it, and a dead one loses it."""

import secrets
from datetime import timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Lease, Progress
from whisperdrop.errors import LostRaceError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import DamagedDocumentError, dump, read_with_etag

_DIED = "the worker died without a word, most likely killed for its memory"


class LeaseBusyError(Exception):
    """Somebody else holds the job; ``lease`` says until when."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(f"held by {lease.owner} until {lease.expires_at.isoformat()}")
        self.lease = lease


class LeaseLostError(Exception):
    """The lease was taken over, or ran out: stop working, write nothing."""


class HeldLease:
    """A lease that this process holds. Not thread-safe: one thread renews it."""

    def __init__(
        self,
        store: ObjectStore,
        ref: JobRef,
        key: str,
        lease: Lease,
        etag: str,
        ttl_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._key = key
        self._etag = etag
        self._ttl = timedelta(seconds=ttl_s)
        self._clock = clock
        self._tried: set[str] = set()
        self.ref = ref
        self.lease = lease

    @property
    def attempt(self) -> int:
        """Which attempt at the job this is, from 1."""
        return self.lease.attempt

    def renew(self, progress: Progress) -> None:
        """Hold it for another term and publish ``progress``. Raises LeaseLostError."""
        now = self._clock()
        if not self.lease.live(now):
            raise LeaseLostError("the lease ran out before it was renewed")
        self._swap({"expires_at": now + self._ttl, "progress": progress})

    def hand_back(self, reason: str) -> None:
        """Let the next worker begin at once; this attempt does not count as a failure."""
        self._swap({"expires_at": self._clock(), "released": True, "last_error": reason})

    def fail(self, reason: str) -> None:
        """Let the next worker begin at once, and count this attempt as failed."""
        failures = self.lease.failures + 1
        update = {"expires_at": self._clock(), "released": True, "last_error": reason}
        self._swap(update | {"failures": failures})

    def _swap(self, update: dict[str, object]) -> None:
        lease = self.lease.model_copy(update=update | {"rev": secrets.token_hex(8)})
        self._tried.add(lease.rev)
        try:
            self._etag = self._write(lease)
        except LostRaceError as error:
            raise LeaseLostError("another worker took the job over") from error
        self._tried.clear()
        self.lease = lease

    def _write(self, lease: Lease) -> str:
        try:
            return self._store.replace(self._key, dump(lease), self._etag)
        except LostRaceError:
            # The store may have taken a write of ours and lost the answer: this one, and its retry
            # then lost to it, or an earlier one that seemed to have failed.
            found = _read(self._store, self._key)
            if found is None or found[0] is None or found[0].rev not in self._tried:
                raise
            if found[0].rev == lease.rev:
                return found[1]
            return self._store.replace(self._key, dump(lease), found[1])


def acquire(
    store: ObjectStore,
    ref: JobRef,
    *,
    owner: str,
    ttl_s: float,
    clock: Clock,
    key: str | None = None,
) -> HeldLease:
    """Take the job for ``ttl_s`` seconds, or raise LeaseBusyError; ``key`` is that of a lease on
    less than the job.

    A first attempt creates the document; a later one swaps an expired lease for its own. Clocks of
    workers must agree to well within ``ttl_s``.
    """
    key = key or keys.lease(ref)
    now = clock()
    lease = Lease(
        owner=owner,
        attempt=1,
        acquired_at=now,
        expires_at=now + timedelta(seconds=ttl_s),
        rev=secrets.token_hex(8),
    )
    try:
        etag = store.create(key, dump(lease))
        return HeldLease(store, ref, key, lease, etag, ttl_s, clock)
    except LostRaceError:
        found = _read(store, key)
    if found is None:
        raise LeaseBusyError(lease)  # created and deleted in between: let the message come again
    current, etag = found
    if current is not None:
        if current.rev == lease.rev:
            return HeldLease(store, ref, key, lease, etag, ttl_s, clock)
        if current.live(now):
            raise LeaseBusyError(current)
        died = not current.released
        lease = lease.model_copy(
            update={
                "attempt": current.attempt + 1,
                "failures": current.failures + died,
                "last_error": _DIED if died else current.last_error,
            }
        )
    try:
        etag = store.replace(key, dump(lease), etag)
        return HeldLease(store, ref, key, lease, etag, ttl_s, clock)
    except LostRaceError:
        found = _read(store, key)
        if found is not None and found[0] is not None and found[0].rev == lease.rev:
            return HeldLease(store, ref, key, lease, found[1], ttl_s, clock)
        raise LeaseBusyError((found and found[0]) or lease) from None


def _read(store: ObjectStore, key: str) -> tuple[Lease | None, str] | None:
    """The lease and its ETag; the lease is None where the document is damaged."""
    try:
        return read_with_etag(store, Lease, key)
    except DamagedDocumentError as damaged:
        return None, damaged.etag
