"""What an operator sets right by hand: one job queued again, lost markers, a tenant that leaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import load_of
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, is_job_id, is_tenant
from whisperdrop.domain.job import JobRequest, Outcome, PendingMarker
from whisperdrop.errors import ConflictError, InvalidValueError, JobNotFoundError
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.deletion import delete
from whisperdrop.service.documents import read, read_intact
from whisperdrop.service.parts import delete_all
from whisperdrop.service.requests import mark_pending

_AT_ONCE = 16  # requests to the store


def requeue(store: ObjectStore, interactive: JobQueue, bulk: JobQueue, ref: JobRef) -> None:
    """Send a message for a job that has not ended, whoever may hold it: a duplicate harms nobody.

    Raises JobNotFoundError, ConflictError for a job that has ended.
    """
    request = read(store, JobRequest, keys.request(ref))
    if request is None:
        raise JobNotFoundError(f"there is no job {ref.job_id} of the tenant {ref.tenant}")
    if (outcome := read_intact(store, Outcome, keys.outcome(ref))) is not None:
        raise ConflictError(f"the job has ended ({outcome.status}); create a new one")
    marker = read_intact(store, PendingMarker, keys.pending(ref)) or PendingMarker()
    info = store.head(keys.pending(ref))
    queue = interactive if request.source == "sync" else bulk
    queue.send(direct_message(ref, request.correlation_id))
    # A worker that ends the job right now leaves this marker behind; the sweep removes it.
    mark_pending(store, ref, marker.requeues, load=load_of(info.size) if info else None)


def mend(store: ObjectStore) -> tuple[int, list[JobRef]]:
    """Mark every job as pending that has neither an end nor a marker; how many were looked at.

    Nothing here leaves a job so. A copy of a bucket that was in use may: its markers were copied
    later than its documents. Two or three requests for each job that there is.
    """

    def is_lost(ref: JobRef) -> bool:
        return (
            store.head(keys.pending(ref)) is None
            and store.head(keys.outcome(ref)) is None
            and store.head(keys.request(ref)) is not None
        )

    refs = list(_jobs(store))
    with ThreadPoolExecutor(_AT_ONCE) as beside:
        lost = [ref for ref, found in zip(refs, beside.map(is_lost, refs), strict=True) if found]
    for ref in lost:
        mark_pending(store, ref)
    return len(refs), lost


def _jobs(store: ObjectStore, tenant: str | None = None) -> Iterator[JobRef]:
    tenants = [tenant] if tenant else _folders(store, keys.JOBS)
    for name in tenants:
        if is_tenant(name):
            for job_id in _folders(store, keys.jobs_of(name)):
                if is_job_id(job_id):
                    yield JobRef(name, job_id)


def _folders(store: ObjectStore, prefix: str) -> Iterator[str]:
    after = ""
    while True:
        page = store.list_folders(prefix, after=after)
        yield from page.names
        if not page.more:
            return
        after = page.names[-1]


@dataclass
class Erased:
    """What became of a tenant's data."""

    keys_revoked: int = 0
    jobs: int = 0
    busy: list[str] = field(default_factory=list)
    """A worker holds them; the sweep deletes them when they have ended."""
    objects: int = 0
    """What else was deleted."""


def erase_tenant(store: ObjectStore, api_keys: ApiKeys, tenant: str, clock: Clock) -> Erased:
    """Revoke a tenant's keys and delete all that is its own but its usage records. Repeatable.

    Raises InvalidValueError.
    """
    if not is_tenant(tenant):
        raise InvalidValueError("a tenant is 1 to 63 of a-z, 0-9 and '-', not starting with '-'")
    done = Erased()
    for digest, document in api_keys.list(tenant):
        if document.revoked_at is None:
            api_keys.revoke(digest)
            done.keys_revoked += 1
    for ref in _jobs(store, tenant):
        try:
            if delete(store, ref, clock):
                done.jobs += 1
            else:
                done.busy.append(ref.job_id)
        except JobNotFoundError:  # deleted already; its outcome goes later
            continue
    if not done.busy:  # a job that goes on needs its media to notice its end in peace
        for place in keys.belongings_of(tenant):
            found = [info.key for info in store.list(place)]
            delete_all(store, iter(found))
            done.objects += len(found)
    return done
