import pytest

from tests.builders import a_ref, an_outcome
from tests.clock import ManualClock
from tests.stores import BeforeWriteStore, LostAnswerStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.errors import LostRaceError
from whisperdrop.service.documents import (
    DamagedDocumentError,
    dump,
    read,
    read_with_etag,
    write_once,
)

REF = a_ref()
FIRST = an_outcome(REF)
SECOND = an_outcome(REF, JobStatus.FAILED)
KEY = "jobs/x/outcome.json"


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


def test_what_is_not_there_is_none(store: MemoryObjectStore) -> None:
    assert read(store, Outcome, KEY) is None
    assert read_with_etag(store, Outcome, KEY) is None


def test_a_document_is_read_as_it_was_written(store: MemoryObjectStore) -> None:
    store.create(KEY, dump(FIRST))
    found = read_with_etag(store, Outcome, KEY)
    assert found is not None
    assert found[0] == FIRST
    store.replace(KEY, dump(SECOND), found[1])


def test_the_first_write_stays(store: MemoryObjectStore) -> None:
    assert write_once(store, KEY, FIRST) == FIRST
    assert write_once(store, KEY, SECOND) == FIRST
    assert read(store, Outcome, KEY) == FIRST


def test_our_own_write_is_recognised_when_its_answer_was_lost(store: MemoryObjectStore) -> None:
    assert write_once(LostAnswerStore(store), KEY, FIRST) == FIRST


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"tenant": "acme"}', b"\xff\xfe"])
def test_a_damaged_document_is_named_and_then_replaced(
    body: bytes, store: MemoryObjectStore
) -> None:
    store.put(KEY, body)
    with pytest.raises(DamagedDocumentError) as damaged:
        read(store, Outcome, KEY)
    assert damaged.value.key == KEY
    assert KEY not in damaged.value.message
    assert write_once(store, KEY, FIRST) == FIRST
    assert read(store, Outcome, KEY) == FIRST


def test_of_two_that_replace_a_damaged_document_one_wins(store: MemoryObjectStore) -> None:
    store.put(KEY, b"{")

    class Rival(BeforeWriteStore):
        def create(self, key: str, body: bytes, content_type: str = "application/json") -> str:
            return store.create(key, body, content_type)

    racing = Rival(store, KEY, lambda: write_once(store, KEY, SECOND))
    with pytest.raises(LostRaceError):
        write_once(racing, KEY, FIRST)
    assert read(store, Outcome, KEY) == SECOND
    assert write_once(store, KEY, FIRST) == SECOND


def test_a_document_that_vanishes_in_between_is_a_lost_race(store: MemoryObjectStore) -> None:
    class Vanishing(LostAnswerStore):
        def create(self, key: str, body: bytes, content_type: str = "application/json") -> str:
            try:
                return super().create(key, body, content_type)
            finally:
                self.delete(key)

    with pytest.raises(LostRaceError):
        write_once(Vanishing(store), KEY, FIRST)
    assert write_once(store, KEY, FIRST) == FIRST


def test_fields_that_are_none_are_not_stored() -> None:
    assert b"null" not in dump(FIRST)
