"""One key, one job: a request that is sent twice makes what it made the first time.

The record of a key is written before its job and holds the job's id. Two requests at once agree on
it, and whoever finds a record without a job makes the job of that id; so does the second request
when the first one died. A record lives as long as its job: once that is deleted, the key is free.
"""

import hashlib
import secrets
from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop.errors import IdempotencyError, LostRaceError, TryAgainError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import DamagedDocumentError, dump, read_intact, read_with_etag

_TRIES = 5


class Record(BaseModel):
    """``idempotency/{tenant}/{digest}.json``: the job that a key has made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    job_id: str
    created_at: AwareDatetime
    request_sha256: str
    deduplicated: bool = False
    """The job was there before, of the same content."""
    rev: str
    """Random, so that equal contents never share an ETag."""


class RepeatKey(BaseModel):
    """A key that a caller has chosen, and what was sent with it; both as SHA-256 in hex."""

    model_config = ConfigDict(frozen=True)

    digest: str
    request_sha256: str

    @classmethod
    def of(cls, key: str, request: bytes) -> Self:
        """``request`` in a form that is the same for equal requests."""
        digest = hashlib.sha256(b"key\n" + key.encode()).hexdigest()
        return cls(digest=digest, request_sha256=hashlib.sha256(request).hexdigest())


def find(store: ObjectStore, tenant: str, key: RepeatKey) -> Record | None:
    """What the key has made before. Raises IdempotencyError when that was another request."""
    return _counting(store, tenant, key)[0]


def claim(
    store: ObjectStore,
    ref: JobRef,
    key: RepeatKey,
    now: datetime,
    *,
    deduplicated: bool = False,
) -> Record:
    """The record that counts from now on: of ``ref``, or one that was there before.

    Raises IdempotencyError when that one is of another request, TryAgainError.
    """
    ours = Record(
        job_id=ref.job_id,
        created_at=now,
        request_sha256=key.request_sha256,
        deduplicated=deduplicated,
        rev=secrets.token_hex(8),
    )
    place = keys.idempotency(ref.tenant, key.digest)
    for _ in range(_TRIES):
        found, etag = _counting(store, ref.tenant, key)
        if found is not None:
            return found
        try:
            if etag is None:
                store.create(place, dump(ours))
            else:
                store.replace(place, dump(ours), etag)
        except LostRaceError:
            continue  # to somebody else, or to a write of ours whose answer was lost
        return ours
    raise TryAgainError("this Idempotency-Key is in use by many requests at once; try again")


def forget(store: ObjectStore, ref: JobRef, digest: str) -> None:
    """Free the key of a job that is deleted, unless it has made another since."""
    place = keys.idempotency(ref.tenant, digest)
    found = store.get(place)
    # Both kinds of document under this prefix say it in the same words.
    if found is not None and f'"job_id":"{ref.job_id}"'.encode() in found.body:
        store.delete(place)


def _counting(store: ObjectStore, tenant: str, key: RepeatKey) -> tuple[Record | None, str | None]:
    """The record, if it counts, and the ETag of whatever is there."""
    try:
        found = read_with_etag(store, Record, keys.idempotency(tenant, key.digest))
    except DamagedDocumentError as damaged:
        return None, damaged.etag
    if found is None:
        return None, None
    record, etag = found
    outcome = read_intact(store, Outcome, keys.outcome(JobRef(tenant, record.job_id)))
    if outcome is not None and outcome.deleted_at is not None:
        return None, etag
    if record.request_sha256 != key.request_sha256:
        raise IdempotencyError(
            "this Idempotency-Key was used with another request; use a new key for a new job"
        )
    return record, etag
