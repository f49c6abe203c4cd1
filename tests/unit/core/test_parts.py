import pytest

from tests.builders import a_part, a_ref, keys_in, stored_part
from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.service.documents import dump
from whisperdrop.service.parts import delete_parts, read_parts

REF = a_ref()


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def test_a_listing_has_parts_in_their_order() -> None:
    names = [keys.part(REF, n) for n in (0, 2, 9, 10, 99, 100, 12345)]
    assert names == sorted(names)
    assert all(name.startswith(keys.parts(REF)) for name in names)


def test_parts_are_read_in_order_up_to_the_first_gap(store: MemoryObjectStore) -> None:
    parts = [stored_part(store, REF, n, f" part {n}") for n in range(30)]
    assert read_parts(store, REF) == parts
    store.delete(keys.part(REF, 17))
    assert read_parts(store, REF) == parts[:17]


def test_parts_end_before_a_damaged_one(store: MemoryObjectStore) -> None:
    parts = [stored_part(store, REF, n, " text") for n in range(3)]
    store.put(keys.part(REF, 1), b'{"version": 1,')
    assert read_parts(store, REF) == parts[:1]


@pytest.mark.parametrize(
    "change", [{"version": 1}, {"n": 7}, {"first_window": 3, "end_window": 5}], ids=str
)
def test_a_part_that_does_not_follow_is_not_used(
    change: dict[str, int], store: MemoryObjectStore
) -> None:
    first = stored_part(store, REF, 0, " one")
    second = a_part(1, " two").model_copy(update=change)
    store.create(keys.part(REF, 1), dump(second))
    stored_part(store, REF, 2, " three")
    assert read_parts(store, REF) == [first]


def test_who_reads_again_gets_what_is_new(store: MemoryObjectStore) -> None:
    first = stored_part(store, REF, 0, " one")
    assert read_parts(store, REF, after=first) == []
    second = stored_part(store, REF, 1, " two")
    assert read_parts(store, REF, after=first) == [second]


def test_all_parts_of_one_job_go_and_nothing_else(store: MemoryObjectStore) -> None:
    other = a_ref()
    for n in range(20):
        stored_part(store, REF, n, " text")
    stored_part(store, other, 0, " text")
    store.put(keys.request(REF), b"{}")
    delete_parts(store, REF)
    delete_parts(store, REF)
    assert keys_in(store) == sorted([keys.request(REF), keys.part(other, 0)])
