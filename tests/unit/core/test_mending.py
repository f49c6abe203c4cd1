"""One job queued again, jobs that a copy lost sight of, and a tenant that leaves."""

from datetime import timedelta

import pytest

from tests.builders import a_lease, a_ref, a_request, an_outcome, keys_in
from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, load_of
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus
from whisperdrop.errors import ConflictError, InvalidValueError, JobNotFoundError, WrongKeyError
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.documents import dump
from whisperdrop.service.mending import erase_tenant, mend, requeue
from whisperdrop.service.requests import mark_pending, write_request
from whisperdrop.service.settlement import settle


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def queues(clock: ManualClock) -> tuple[MemoryJobQueue, MemoryJobQueue]:
    """Interactive and bulk."""
    return MemoryJobQueue(clock), MemoryJobQueue(clock)


def _made(store: MemoryObjectStore, tenant: str = "acme", **fields: object) -> JobRef:
    request = a_request(a_ref(tenant), **fields)
    write_request(store, request)
    mark_pending(store, request.ref, load=Load(60))
    store.put(keys.upload(request.ref, "speech.mp3"), b"audio")
    return request.ref


@pytest.mark.parametrize(("source", "number"), [("sync", 0), ("upload", 1), ("drop", 1)])
def test_a_job_is_queued_again_where_it_belongs(
    source: str,
    number: int,
    store: MemoryObjectStore,
    queues: tuple[MemoryJobQueue, MemoryJobQueue],
) -> None:
    ref = _made(store, source=source)

    requeue(store, *queues, ref)

    message = queues[number].receive(wait_s=0, visibility_s=30)
    assert message is not None
    assert parse_event(message.body, bucket="media") == [ref]
    assert queues[1 - number].receive(wait_s=0, visibility_s=30) is None
    pending = store.head(keys.pending(ref))
    assert pending is not None
    assert load_of(pending.size) is not None  # it still counts as waiting for a worker


def test_a_job_that_has_ended_or_is_not_there_is_not_queued(
    store: MemoryObjectStore, queues: tuple[MemoryJobQueue, MemoryJobQueue]
) -> None:
    ref = _made(store)
    settle(store, an_outcome(ref))

    with pytest.raises(ConflictError, match="succeeded"):
        requeue(store, *queues, ref)
    with pytest.raises(JobNotFoundError):
        requeue(store, *queues, a_ref())
    assert queues[1].receive(wait_s=0, visibility_s=30) is None


def test_jobs_without_end_and_marker_are_marked_and_no_others(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    lost = [_made(store), _made(store, "other")]
    for ref in lost:
        store.delete(keys.pending(ref))
    waiting, ended = _made(store), _made(store)
    settle(store, an_outcome(ended))
    leftovers = a_ref()
    store.put(keys.lease(leftovers), dump(a_lease(clock() + timedelta(seconds=60))))

    looked_at, found = mend(store)

    assert looked_at == 5
    assert sorted(found) == sorted(lost)
    assert set(keys_in(store, keys.PENDING)) == {keys.pending(ref) for ref in [*lost, waiting]}
    assert mend(store)[1] == []


def test_a_tenant_leaves_with_all_but_its_usage_and_nobody_else_does(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    api_keys = ApiKeys(store, environment_key=None, clock=clock)
    key, other_key = api_keys.issue("acme", "laptop"), api_keys.issue("acme-2", "phone")
    ref, other = _made(store), _made(store, "acme-2")
    settle(store, an_outcome(ref))
    settle(store, an_outcome(other))
    for tenant in ("acme", "acme-2"):
        store.put(f"inbox/{tenant}/a.mp3", b"a")
        store.put(f"outbox/{tenant}/a.mp3.txt", b"a")
        store.put(keys.webhook(tenant), b"{}")
        store.put(keys.webhook_secrets(tenant), b"{}")
    before = [key for key in keys_in(store, "") if "acme-2" in key]

    done = erase_tenant(store, api_keys, "acme", clock)

    assert (done.keys_revoked, done.jobs, done.busy) == (1, 1, [])
    left = [key for key in keys_in(store, "") if "/acme/" in key or key.endswith("/acme.json")]
    # What is left of a deleted job keeps late writers away for a day.
    assert {key.split("/")[0] for key in left} == {"usage", "jobs", "expiry"}
    assert [key for key in left if key.startswith("jobs/")] == [keys.outcome(ref)]
    assert [key for key in keys_in(store, "") if "acme-2" in key] == before
    with pytest.raises(WrongKeyError):
        api_keys.authenticate(f"Bearer {key}")
    assert api_keys.authenticate(f"Bearer {other_key}").tenant == "acme-2"
    again = erase_tenant(store, api_keys, "acme", clock)
    assert (again.keys_revoked, again.jobs, again.objects) == (0, 0, 0)


def test_a_job_that_a_worker_holds_is_deleted_when_it_has_let_go(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    api_keys = ApiKeys(store, environment_key=None, clock=clock)
    ref = _made(store)
    store.create(keys.lease(ref), dump(a_lease(clock() + timedelta(seconds=60))))

    done = erase_tenant(store, api_keys, "acme", clock)

    assert done.busy == [ref.job_id]
    assert store.head(keys.upload(ref, "speech.mp3")) is not None
    settle(store, an_outcome(ref, JobStatus.CANCELLED))
    assert erase_tenant(store, api_keys, "acme", clock).busy == []
    assert store.head(keys.upload(ref, "speech.mp3")) is None


def test_a_name_that_is_no_tenant_erases_nothing(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    api_keys = ApiKeys(store, environment_key=None, clock=clock)
    for name in ("", "a/b", "..", "A"):
        with pytest.raises(InvalidValueError):
            erase_tenant(store, api_keys, name, clock)
