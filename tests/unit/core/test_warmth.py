from datetime import timedelta

import pytest

from tests.clock import NOON, ManualClock
from tests.stores import BeforeWriteStore, FailingKeyStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.errors import StoreError
from whisperdrop.service.warmth import keep_warm, warm_until


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def test_nobody_keeps_a_worker_unasked(store: MemoryObjectStore) -> None:
    assert warm_until(store, NOON) is None


def test_a_wish_holds_until_its_end(store: MemoryObjectStore, clock: ManualClock) -> None:
    assert keep_warm(store, 60, clock) == NOON + timedelta(seconds=60)
    assert warm_until(store, NOON + timedelta(seconds=59)) == NOON + timedelta(seconds=60)
    assert warm_until(store, NOON + timedelta(seconds=60)) is None


def test_of_two_wishes_the_longer_one_counts(store: MemoryObjectStore, clock: ManualClock) -> None:
    later = keep_warm(store, 600, clock)
    assert keep_warm(store, 60, clock) == later
    clock.advance(580)
    assert keep_warm(store, 60, clock) == NOON + timedelta(seconds=640)


@pytest.mark.parametrize(("others", "counts"), [(600, 600), (30, 60)])
def test_of_two_wishes_at_once_the_longer_one_counts(
    others: int, counts: int, store: MemoryObjectStore, clock: ManualClock
) -> None:
    keep_warm(store, 1, clock)
    between = BeforeWriteStore(store, keys.FLEET_WARM, lambda: keep_warm(store, others, clock))
    assert keep_warm(between, 60, clock) == NOON + timedelta(seconds=counts)
    assert warm_until(store, NOON) == NOON + timedelta(seconds=counts)


def test_a_damaged_wish_is_replaced(store: MemoryObjectStore, clock: ManualClock) -> None:
    store.put(keys.FLEET_WARM, b"{")
    assert warm_until(store, NOON) is None
    assert keep_warm(store, 60, clock) == NOON + timedelta(seconds=60)


def test_a_store_that_fails_is_said(store: MemoryObjectStore, clock: ManualClock) -> None:
    with pytest.raises(StoreError):
        keep_warm(FailingKeyStore(store, "fleet/"), 60, clock)
