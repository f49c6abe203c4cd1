import json

import pytest

from tests.builders import BUCKET, a_transcript, an_outcome, keys_in
from tests.clock import ManualClock
from tests.stores import FailingStore, MetadataStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest, JobStatus, Outcome
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import read
from whisperdrop.service.drops import admit_drop, is_admitted, job_of_drop
from whisperdrop.service.settlement import settle

CATALOG = ModelCatalog(("tiny.en", "small"), {"whisper-1": "small"})
DROP = Drop("acme", "inbox/acme/talks/my talk.mp3")


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    store = MemoryObjectStore(clock)
    store.put(DROP.key, b"audio", "audio/mpeg")
    return store


def admit(store: ObjectStore, clock: ManualClock, drop: Drop = DROP) -> JobRef | None:
    return admit_drop(store, BUCKET, drop, catalog=CATALOG, clock=clock)


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key).body for key in keys_in(store)}  # type: ignore[union-attr]


def error_of(store: ObjectStore, drop: Drop = DROP) -> dict[str, str]:
    found = store.get(keys.outbox(drop.key, "error.json"))
    assert found is not None
    error: dict[str, str] = json.loads(found.body)["error"]
    return error


def test_a_drop_becomes_a_job_of_its_tenant(store: MemoryObjectStore, clock: ManualClock) -> None:
    ref = admit(store, clock)
    assert ref is not None
    request = read(store, JobRequest, keys.request(ref))
    assert request is not None
    assert (ref.tenant, request.source, request.model) == ("acme", "drop", "tiny.en")
    assert (request.media_key, request.name, request.size) == (DROP.key, "my talk.mp3", 5)
    assert keys_in(store, "pending/") == [keys.pending(ref)]
    assert request.upload_expires_at is None


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("metadata", "correlation_id", "traceparent"),
    [
        ({"correlation-id": "mine-1", "traceparent": TRACE}, "mine-1", TRACE),
        ({"Correlation-Id": "mine-1"}, "mine-1", None),
        ({"correlation-id": "no\nsane id", "traceparent": "00-x"}, None, None),
        ({}, None, None),
    ],
    ids=["both", "any case", "insane", "none"],
)
def test_a_drop_is_found_under_the_id_of_whoever_dropped_it(
    metadata: dict[str, str],
    correlation_id: str | None,
    traceparent: str | None,
    store: MemoryObjectStore,
    clock: ManualClock,
) -> None:
    ref = admit(MetadataStore(store, metadata), clock)
    assert ref is not None
    request = read(store, JobRequest, keys.request(ref))
    assert request is not None
    assert request.correlation_id == (correlation_id or ref.job_id)
    assert request.traceparent == traceparent


def test_a_duplicate_event_finds_the_same_job(store: MemoryObjectStore, clock: ManualClock) -> None:
    first = admit(store, clock)
    before = contents(store)
    clock.advance(3600)
    assert admit(store, clock) == first
    assert contents(store) == before


def test_the_job_of_a_drop_is_known_without_asking(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    info = store.head(DROP.key)
    assert info is not None
    assert admit(store, clock) == job_of_drop(BUCKET, DROP, info)


def test_a_new_version_of_a_drop_is_a_new_job(store: MemoryObjectStore, clock: ManualClock) -> None:
    first = admit(store, clock)
    clock.advance(1)
    store.put(DROP.key, b"other audio", "audio/mpeg")
    assert admit(store, clock) != first
    assert len(keys_in(store, "pending/")) == 2


def test_an_ended_drop_is_not_marked_again(store: MemoryObjectStore, clock: ManualClock) -> None:
    ref = admit(store, clock)
    assert ref is not None
    settle(store, an_outcome(ref, drop_key=DROP.key), a_transcript(ref))
    assert admit(store, clock) == ref
    assert keys_in(store, "pending/") == []


def test_a_drop_that_is_gone_makes_no_job(store: MemoryObjectStore, clock: ManualClock) -> None:
    assert admit(store, clock, Drop("acme", "inbox/acme/gone.mp3")) is None
    assert keys_in(store) == [DROP.key]


@pytest.mark.parametrize("name", ["notes.txt", "noextension", ".mp3"])
def test_a_drop_with_a_wrong_name_gets_its_error_under_outbox(
    name: str, store: MemoryObjectStore, clock: ManualClock
) -> None:
    drop = Drop("acme", f"inbox/acme/{name}")
    store.put(drop.key, b"text")
    assert admit(store, clock, drop) is None
    assert error_of(store, drop)["code"] == "unsupported_media_type"
    assert keys_in(store, "pending/") == []
    info = store.head(drop.key)
    assert info is not None
    outcome = read(store, Outcome, keys.outcome(job_of_drop(BUCKET, drop, info)))
    assert outcome is not None
    assert outcome.status is JobStatus.FAILED


def test_a_refused_drop_stays_refused_once(store: MemoryObjectStore, clock: ManualClock) -> None:
    drop = Drop("acme", "inbox/acme/notes.txt")
    store.put(drop.key, b"text")
    admit(store, clock, drop)
    before = contents(store)
    clock.advance(60)
    assert admit(store, clock, drop) is None
    assert contents(store) == before


def test_metadata_sets_the_options_of_the_job(store: MemoryObjectStore, clock: ManualClock) -> None:
    metadata = {
        "whisperdrop-model": "whisper-1",
        "whisperdrop-language": "de",
        "Whisperdrop-Word-Timestamps": "true",
        "whisperdrop-prompt": "Obi-Wan",
        "somebody-elses": "business",
    }
    ref = admit(MetadataStore(store, metadata), clock)
    assert ref is not None
    request = read(store, JobRequest, keys.request(ref))
    assert request is not None
    assert request.model == "whisper-1"
    assert request.options.language == "de"
    assert request.options.word_timestamps is True
    assert request.options.prompt == "Obi-Wan"


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        ({"whisperdrop-langauge": "de"}, "invalid_value", "unknown option 'langauge'"),
        ({"whisperdrop-beam-size": "5"}, "invalid_value", "unknown option 'beam_size'"),
        ({"whisperdrop-language": "klingon"}, "invalid_value", "language"),
        ({"whisperdrop-task": "summarise"}, "invalid_value", "task"),
        ({"whisperdrop-model": "huge"}, "model_not_found", "huge"),
    ],
)
def test_an_option_that_is_not_understood_is_an_error_and_not_a_guess(
    metadata: dict[str, str],
    code: str,
    message: str,
    store: MemoryObjectStore,
    clock: ManualClock,
) -> None:
    assert admit(MetadataStore(store, metadata), clock) is None
    error = error_of(store)
    assert error["code"] == code
    assert message in error["message"]


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("crash_at", [1, 2])
def test_an_admission_that_crashed_is_seen_and_completed(
    crash_at: int, written: bool, store: MemoryObjectStore, clock: ManualClock
) -> None:
    info = store.head(DROP.key)
    assert info is not None
    ref = job_of_drop(BUCKET, DROP, info)
    with pytest.raises(StoreError):
        admit(FailingStore(store, crash_at, written=written), clock)
    assert is_admitted(store, ref) is (crash_at == 2 and written)
    assert admit(store, clock) == ref
    assert is_admitted(store, ref)


def test_a_drop_is_admitted_when_it_has_ended(store: MemoryObjectStore, clock: ManualClock) -> None:
    ref = admit(store, clock)
    assert ref is not None
    settle(store, an_outcome(ref, JobStatus.FAILED, drop_key=DROP.key))
    assert is_admitted(store, ref)


def test_a_damaged_request_of_a_drop_is_written_again(
    store: MemoryObjectStore, clock: ManualClock
) -> None:
    ref = admit(store, clock)
    assert ref is not None
    store.put(keys.request(ref), b"{")
    assert not is_admitted(store, ref)
    assert admit(store, clock) == ref
    assert is_admitted(store, ref)
