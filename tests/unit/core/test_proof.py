import pytest

from tests.builders import keys_in
from tests.clock import ManualClock
from tests.stores import FailingStore, NoIfMatchStore, NoIfNoneMatchStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.errors import StoreError, UnsafeStoreError
from whisperdrop.service.proof import prove_conditional_writes


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def test_a_store_that_keeps_its_promises_is_taken_and_left_clean(
    store: MemoryObjectStore,
) -> None:
    prove_conditional_writes(store)
    assert keys_in(store) == []


def test_a_store_that_ignores_if_none_match_is_refused(store: MemoryObjectStore) -> None:
    with pytest.raises(UnsafeStoreError, match="If-None-Match"):
        prove_conditional_writes(NoIfNoneMatchStore(store))
    assert keys_in(store) == []


def test_a_store_that_ignores_if_match_is_refused(store: MemoryObjectStore) -> None:
    with pytest.raises(UnsafeStoreError, match="If-Match"):
        prove_conditional_writes(NoIfMatchStore(store))
    assert keys_in(store) == []


def test_a_store_that_fails_has_proved_nothing(store: MemoryObjectStore) -> None:
    with pytest.raises(StoreError) as failure:
        prove_conditional_writes(FailingStore(store, 1))
    assert not isinstance(failure.value, UnsafeStoreError)
