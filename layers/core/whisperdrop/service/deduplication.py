"""The same content with the same options is one job of its tenant, whoever asks for it again.

A claim, compare and swap, says which job counts for a fingerprint. It is written before its job, so
that two callers with one recording never both transcribe it; what is found without a job, or with
one that will give no transcript, is swapped for the next caller's. A finished job counts as long as
its transcript is there, so a retry of hours later is answered at once.

Who declares the hash of content that he did not send harms nobody but his own tenant.
"""

import hashlib
import json
import secrets
from datetime import timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobStatus, Lease, Outcome
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import LostRaceError, TryAgainError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.cancellation import cancel_requested
from whisperdrop.service.documents import DamagedDocumentError, dump, read_intact, read_with_etag

RECORDING_GRACE = timedelta(seconds=10)
"""A claim counts so long before its job is written down; it takes milliseconds."""

SENDING_GRACE = timedelta(seconds=120)
"""A job whose media the API itself stores counts so long before they are there."""

_TRIES = 5  # each one lost means that somebody else has just claimed


class Claim(BaseModel):
    """``idempotency/{tenant}/{fingerprint}.json``: the job that counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    job_id: str
    claimed_at: AwareDatetime
    abandoned: bool = False
    """Its job could not be made."""
    rev: str
    """Random, so that equal contents never share an ETag."""


def fingerprint(content_sha256: str, model: str, options: TranscribeOptions) -> str:
    """What is transcribed and how, in 64 hex digits; ``content_sha256`` is hex too.

    Options at their defaults do not count, so that a version with more of them agrees.
    """
    said = {
        "content": content_sha256.lower(),
        "model": model,
        "options": options.model_dump(mode="json", exclude_defaults=True),
    }
    return hashlib.sha256(b"content\n" + json.dumps(said, sort_keys=True).encode()).hexdigest()


def claim(store: ObjectStore, tenant: str, fingerprint: str, ref: JobRef, clock: Clock) -> JobRef:
    """The job that counts for ``fingerprint`` from now on: ``ref``, or one that was there before.

    Another job counts while it goes on and after it has succeeded, not when it failed, was
    cancelled, expired or deleted, nor while it waits for an upload. Raises TryAgainError.
    """
    key = keys.idempotency(tenant, fingerprint)
    now = clock()
    ours = Claim(job_id=ref.job_id, claimed_at=now, rev=secrets.token_hex(8))
    for _ in range(_TRIES):
        try:
            found = read_with_etag(store, Claim, key)
        except DamagedDocumentError as damaged:
            found, etag = None, damaged.etag
        else:
            etag = found[1] if found else ""
        if found is not None:
            if found[0].job_id == ref.job_id:  # ours; the store had lost its answer
                return ref
            if _counts(store, tenant, found[0], clock):
                return JobRef(tenant, found[0].job_id)
        try:
            if etag:
                store.replace(key, dump(ours), etag)
            else:
                store.create(key, dump(ours))
        except LostRaceError:
            continue
        return ref
    raise TryAgainError("many requests for the same recording came at once; send this one again")


def abandon(store: ObjectStore, tenant: str, fingerprint: str, ref: JobRef) -> None:
    """Make way for the next caller, where ``ref`` has claimed and could not be made."""
    key = keys.idempotency(tenant, fingerprint)
    found = read_with_etag(store, Claim, key)
    if found is None or found[0].job_id != ref.job_id:
        return
    update = {"abandoned": True, "rev": secrets.token_hex(8)}
    try:
        store.replace(key, dump(found[0].model_copy(update=update)), found[1])
    except LostRaceError:
        return  # the next caller is there already


def _counts(store: ObjectStore, tenant: str, claimed: Claim, clock: Clock) -> bool:
    """Whether its job has a transcript, or will have one as far as anybody knows."""
    if claimed.abandoned:
        return False
    ref = JobRef(tenant, claimed.job_id)
    if outcome := read_intact(store, Outcome, keys.outcome(ref)):
        succeeded = outcome.status is JobStatus.SUCCEEDED
        return succeeded and store.head(keys.transcript(ref)) is not None
    age = clock() - claimed.claimed_at
    request = read_intact(store, JobRequest, keys.request(ref))
    if request is None:
        return age < RECORDING_GRACE
    if cancel_requested(store, ref):
        return False
    if store.head(request.media_key) is not None:
        return True
    if request.source == "sync" and age < SENDING_GRACE:
        return True
    lease = read_intact(store, Lease, keys.lease(ref))
    return lease is not None and lease.live(clock())
