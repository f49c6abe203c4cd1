import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.builders import a_ref
from tests.clock import NOON, ManualClock
from tests.stores import BeforeWriteStore, FailingStore, LostAnswerStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import Lease, Progress
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import read
from whisperdrop.service.leases import HeldLease, LeaseBusyError, LeaseLostError, acquire

REF = a_ref()
TTL = 60


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


Take = Callable[..., HeldLease]


@pytest.fixture
def take(store: MemoryObjectStore, clock: ManualClock) -> Take:
    def _take(owner: str, through: ObjectStore | None = None) -> HeldLease:
        return acquire(through or store, REF, owner=owner, ttl_s=TTL, clock=clock)

    return _take


def stored(store: ObjectStore) -> Lease:
    lease = read(store, Lease, keys.lease(REF))
    assert lease is not None
    return lease


def test_the_first_worker_gets_the_job(store: MemoryObjectStore, take: Take) -> None:
    held = take("w1")
    assert held.attempt == 1
    assert stored(store) == held.lease
    assert held.lease.owner == "w1"
    assert held.lease.expires_at == NOON + timedelta(seconds=TTL)


def test_a_held_job_is_busy_until_the_lease_is_over(take: Take, clock: ManualClock) -> None:
    take("w1")
    clock.advance(TTL - 1)
    with pytest.raises(LeaseBusyError) as busy:
        take("w2")
    assert busy.value.lease.owner == "w1"
    clock.advance(1)
    assert take("w2").attempt == 2


def test_every_takeover_counts_an_attempt(take: Take, clock: ManualClock) -> None:
    attempts = []
    for worker in ("w1", "w2", "w1", "w3"):
        attempts.append(take(worker).attempt)
        clock.advance(TTL)
    assert attempts == [1, 2, 3, 4]


def test_a_renewed_lease_lives_on_and_shows_progress(
    store: MemoryObjectStore, take: Take, clock: ManualClock
) -> None:
    held = take("w1")
    for n in range(1, 4):
        clock.advance(TTL - 1)
        held.renew(Progress(stage="transcribing", done_s=n, total_s=10))
        with pytest.raises(LeaseBusyError):
            take("w2")
    assert stored(store).progress.percent == 30.0
    assert stored(store).attempt == 1


def test_a_worker_that_was_taken_over_notices_and_harms_nothing(
    store: MemoryObjectStore, take: Take, clock: ManualClock
) -> None:
    slow = take("slow")
    clock.advance(TTL)
    quick = take("quick")
    with pytest.raises(LeaseLostError):
        slow.renew(Progress())
    with pytest.raises(LeaseLostError):
        slow.hand_back("too late")
    assert stored(store) == quick.lease
    quick.renew(Progress(done_s=1))


def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_it(
    take: Take, clock: ManualClock
) -> None:
    held = take("w1")
    clock.advance(TTL)
    with pytest.raises(LeaseLostError, match="ran out"):
        held.renew(Progress())


def test_a_takeover_between_the_look_at_the_clock_and_the_write_is_noticed(
    store: MemoryObjectStore, take: Take, clock: ManualClock
) -> None:
    def steal() -> None:
        clock.advance(TTL)
        take("thief")

    held = take("w1")
    held = HeldLease(
        BeforeWriteStore(store, keys.lease(REF), steal),
        REF,
        keys.lease(REF),
        held.lease,
        store.get(keys.lease(REF)).etag,  # type: ignore[union-attr]
        TTL,
        clock,
    )
    with pytest.raises(LeaseLostError, match="took the job over"):
        held.renew(Progress())
    assert stored(store).owner == "thief"


def test_a_released_job_can_begin_again_at_once_and_knows_why(take: Take) -> None:
    take("w1").hand_back("the machine is stopped")
    again = take("w2")
    assert again.attempt == 2
    assert again.lease.last_error == "the machine is stopped"


def test_a_released_lease_is_not_renewed(take: Take) -> None:
    held = take("w1")
    held.hand_back("stop")
    with pytest.raises(LeaseLostError):
        held.renew(Progress())


def test_a_released_lease_can_be_released_again(take: Take) -> None:
    held = take("w1")
    held.hand_back("stop")
    held.hand_back("stop")
    assert take("w2").attempt == 2


def test_our_own_first_write_is_recognised_when_its_answer_was_lost(
    store: MemoryObjectStore, take: Take
) -> None:
    held = take("w1", LostAnswerStore(store, 1))
    assert held.attempt == 1
    held.renew(Progress(done_s=1))
    assert stored(store) == held.lease


def test_our_own_takeover_is_recognised_when_its_answer_was_lost(
    store: MemoryObjectStore, take: Take, clock: ManualClock
) -> None:
    take("w1")
    clock.advance(TTL)
    held = take("w2", LostAnswerStore(store, 2))  # the first write is the create that loses
    assert held.attempt == 2
    held.renew(Progress(done_s=1))
    assert stored(store) == held.lease


def test_an_attempt_that_failed_or_died_counts_as_a_failure_and_a_hand_back_does_not(
    take: Take, clock: ManualClock
) -> None:
    take("w1").hand_back("the machine is stopped")
    handed_back = take("w2")
    assert (handed_back.attempt, handed_back.lease.failures) == (2, 0)
    handed_back.fail("out of memory")
    failed = take("w3")
    assert (failed.attempt, failed.lease.failures) == (3, 1)
    assert failed.lease.last_error == "out of memory"
    clock.advance(TTL)  # and w3 dies
    died = take("w4")
    assert (died.attempt, died.lease.failures) == (4, 2)
    assert "died" in (died.lease.last_error or "")


@pytest.mark.parametrize("lose_at", [2, 3])
def test_our_own_renewal_is_recognised_when_its_answer_was_lost(
    lose_at: int, store: MemoryObjectStore, take: Take
) -> None:
    held = take("w1", LostAnswerStore(store, lose_at))
    held.renew(Progress(done_s=1))
    held.renew(Progress(done_s=2))
    held.hand_back("done")
    assert stored(store).last_error == "done"


@pytest.mark.parametrize("written", [False, True])
def test_a_renewal_that_failed_can_be_repeated(
    written: bool, store: MemoryObjectStore, take: Take
) -> None:
    held = take("w1", FailingStore(store, 2, written=written))
    with pytest.raises(StoreError):
        held.renew(Progress(done_s=1))
    held.renew(Progress(done_s=2))
    assert stored(store).progress.done_s == 2
    assert stored(store) == held.lease


def test_a_damaged_lease_counts_as_over(store: MemoryObjectStore, take: Take) -> None:
    store.put(keys.lease(REF), b'{"owner": "w')
    held = take("w1")
    held.renew(Progress(done_s=1))
    assert stored(store) == held.lease


def test_a_lease_that_was_damaged_while_held_is_lost(store: MemoryObjectStore, take: Take) -> None:
    held = take("w1")
    store.put(keys.lease(REF), b"")
    with pytest.raises(LeaseLostError):
        held.renew(Progress())


def test_a_lease_that_was_deleted_in_between_lets_the_message_come_again(
    store: MemoryObjectStore, take: Take
) -> None:
    take("w1")

    class Deleting(LostAnswerStore):
        def create(self, key: str, body: bytes, content_type: str = "application/json") -> str:
            try:
                return super().create(key, body, content_type)
            finally:
                self.delete(key)

    with pytest.raises(LeaseBusyError):
        take("w2", Deleting(store, lose_at=0))


def test_of_many_workers_one_gets_the_job(store: MemoryObjectStore, take: Take) -> None:
    start = threading.Barrier(8)
    held: list[str] = []
    busy: list[str] = []

    def work(name: str) -> None:
        start.wait()
        try:
            take(name)
            held.append(name)
        except LeaseBusyError:
            busy.append(name)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(busy)) == (1, 7)
    assert stored(store).owner == held[0]


def test_equal_leases_never_share_their_contents(take: Take, clock: ManualClock) -> None:
    # The ETag of a small object is a hash of its contents, and A, B, A must not go unnoticed.
    held = take("w1")
    revs = {held.lease.rev}
    for _ in range(5):
        held.renew(Progress())
        revs.add(held.lease.rev)
    assert len(revs) == 6
