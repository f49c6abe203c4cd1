"""Pages of jobs, and what each costs in requests to the store."""

import threading
from collections import Counter
from datetime import timedelta

import pytest

from tests.builders import a_lease, a_ref, a_request, an_outcome, keys_in, stored_job
from tests.clock import NOON, ManualClock
from tests.stores import WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.errors import InvalidValueError
from whisperdrop.ports import Folders, ObjectInfo, ObjectStore, StoredObject
from whisperdrop.service.deletion import delete
from whisperdrop.service.documents import dump
from whisperdrop.service.listing import MOST_LOOKS, JobFilter, JobPage, list_jobs
from whisperdrop.service.viewing import REQUESTS_OF_ENDED, REQUESTS_OF_OTHERS


class CountingStore(WrappedStore):
    """Counts requests that read."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _count(self, kind: str) -> None:
        with self._lock:
            self.requests[kind] += 1

    def get(self, key: str) -> StoredObject | None:
        self._count("get")
        return super().get(key)

    def head(self, key: str) -> ObjectInfo | None:
        self._count("head")
        return super().head(key)

    def list_folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        self._count("list")
        return super().list_folders(prefix, after=after, limit=limit)


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def a_job(
    store: ObjectStore,
    number: int,
    status: JobStatus | None = JobStatus.SUCCEEDED,
    name: str = "speech.mp3",
) -> JobRequest:
    """The ``number``-th job of the tenant, a minute after the one before."""
    created = NOON + timedelta(minutes=number)
    job = a_request(a_ref(at=created), name=name, created_at=created)
    store.create(keys.request(job.ref), dump(job))
    if status is not None:
        store.create(keys.outcome(job.ref), dump(Outcome.of(job, status, created)))
    return job


def pages(store: ObjectStore, limit: int, wanted: JobFilter | None = None) -> list[JobPage]:
    """Every page, as a client would ask for them."""
    found = [list_jobs(store, "acme", NOON, limit=limit, wanted=wanted or JobFilter())]
    while (cursor := found[-1].next_cursor) is not None:
        again = list_jobs(
            store, "acme", NOON, limit=limit, cursor=cursor, wanted=wanted or JobFilter()
        )
        found.append(again)
        assert len(found) < 1000
    return found


def ids(found: list[JobPage]) -> list[str]:
    return [job.ref.job_id for page in found for job in page.jobs]


def test_a_tenant_without_jobs_has_one_empty_page(store: MemoryObjectStore) -> None:
    a = stored_job(store, a_request(a_ref("umbrella")))
    assert a.tenant == "umbrella"
    assert pages(store, 10) == [JobPage((), None)]


@pytest.mark.parametrize(
    ("jobs", "limit", "sizes"),
    [(1, 10, [1]), (10, 10, [10]), (11, 10, [10, 1]), (7, 3, [3, 3, 1]), (5, 1, [1] * 5)],
)
def test_jobs_come_newest_first_and_each_once(
    jobs: int, limit: int, sizes: list[int], store: MemoryObjectStore
) -> None:
    made = [a_job(store, number).job_id for number in range(jobs)]
    found = pages(store, limit)
    assert ids(found) == made[::-1]
    assert [len(page.jobs) for page in found] == sizes


def test_a_job_that_is_made_between_two_pages_moves_nothing(store: MemoryObjectStore) -> None:
    made = [a_job(store, number).job_id for number in range(4)]
    first = list_jobs(store, "acme", NOON, limit=2)
    a_job(store, 99)
    second = list_jobs(store, "acme", NOON, limit=2, cursor=first.next_cursor)
    assert ids([first, second]) == made[::-1]


def test_an_ended_job_is_shown_as_by_its_own_address(store: MemoryObjectStore) -> None:
    job = a_job(store, 0, name="talk.mp3")
    [view] = pages(store, 10)[0].jobs
    assert (view.name, view.status, view.ref) == ("talk.mp3", JobStatus.SUCCEEDED, job.ref)


def test_five_thousand_jobs_cost_one_listing_and_a_look_each(store: MemoryObjectStore) -> None:
    for number in range(5000):
        a_job(store, number)
    counting = CountingStore(store)
    cursor, seen = None, 0
    for _ in range(100):
        counting.requests.clear()
        page = list_jobs(counting, "acme", NOON, limit=50, cursor=cursor)
        assert counting.requests == {"list": 1, "get": 50 * REQUESTS_OF_ENDED}
        seen += len(page.jobs)
        cursor = page.next_cursor
    assert (seen, cursor) == (5000, None)


def test_jobs_in_every_other_state_cost_a_bounded_number_of_requests(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    for number in range(30):
        job = a_job(store, number, status=None)
        if number % 3:
            expires = NOON + timedelta(seconds=60 if number % 3 == 1 else -60)
            store.create(keys.lease(job.ref), dump(a_lease(expires)))
    counting = CountingStore(store)
    page = list_jobs(counting, "acme", NOON, limit=30)
    assert len(page.jobs) == 30
    assert counting.requests["list"] == 1
    assert 30 < counting.requests.total() <= 1 + 30 * REQUESTS_OF_OTHERS


def test_a_status_is_found_among_others(store: MemoryObjectStore) -> None:
    failed = []
    for number in range(30):
        if number % 3:
            a_job(store, number)
        else:
            failed.append(a_job(store, number, JobStatus.FAILED).job_id)
    found = pages(store, 4, JobFilter({JobStatus.FAILED}))
    assert ids(found) == failed[::-1]
    assert len(found) == 3


def test_several_statuses_may_be_wanted(store: MemoryObjectStore) -> None:
    some = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED)
    made = [a_job(store, number, status) for number, status in enumerate(some)]
    found = pages(store, 10, JobFilter({JobStatus.FAILED, JobStatus.CANCELLED}))
    assert ids(found) == [made[1].job_id, made[0].job_id]


@pytest.mark.parametrize("part", ["grüße", "GRÜSSE AUS", "aus köln.MP3"])
def test_a_part_of_the_name_is_found_in_any_case(part: str, store: MemoryObjectStore) -> None:
    job = a_job(store, 0, name="Grüße aus Köln.mp3")
    a_job(store, 1, name="other.mp3")
    a_job(store, 2, status=None, name="unrelated.mp3")
    assert ids(pages(store, 10, JobFilter(name_part=part))) == [job.job_id]


def test_a_search_without_an_end_in_sight_answers_and_says_where_to_go_on(
    store: MemoryObjectStore,
) -> None:
    needle = a_job(store, 0, name="needle.mp3")
    for number in range(1, 2 * MOST_LOOKS + 5):
        a_job(store, number)
    counting = CountingStore(store)
    page = list_jobs(counting, "acme", NOON, limit=10, wanted=JobFilter(name_part="needle"))
    assert page.jobs == ()
    assert page.next_cursor is not None
    assert counting.requests == {"list": 1, "get": MOST_LOOKS}
    found = pages(store, 10, JobFilter(name_part="needle"))
    assert (ids(found), len(found)) == ([needle.job_id], 3)


def test_deleted_jobs_are_not_shown(store: MemoryObjectStore, clock: ManualClock) -> None:
    made = [a_job(store, number) for number in range(5)]
    for job in made[1:4]:
        delete(store, job.ref, clock)
    assert ids(pages(store, 2)) == [made[4].job_id, made[0].job_id]


def test_what_is_no_job_or_cannot_be_read_stops_no_list(store: MemoryObjectStore) -> None:
    job, damaged = a_job(store, 0), a_job(store, 1, status=None)
    store.put(keys.request(damaged.ref), b"{", "application/json")
    store.put("jobs/acme/rubbish/x", b"")
    store.put(keys.lease(a_ref(at=NOON + timedelta(minutes=9))), b"{}")
    assert len(keys_in(store, "jobs/")) == 5
    assert ids(pages(store, 10)) == [job.job_id]


@pytest.mark.parametrize("cursor", ["", "x", "../other", "0" * 24])
def test_a_cursor_that_nobody_answered_is_refused(cursor: str, store: MemoryObjectStore) -> None:
    with pytest.raises(InvalidValueError, match="cursor"):
        list_jobs(store, "acme", NOON, limit=10, cursor=cursor)


def test_an_outcome_of_an_older_version_has_no_name_and_is_shown(store: MemoryObjectStore) -> None:
    ref = a_ref()
    store.create(keys.outcome(ref), dump(an_outcome(ref)))
    [view] = pages(store, 10)[0].jobs
    assert view.name is None
    assert pages(store, 10, JobFilter(name_part="speech"))[0].jobs == ()
