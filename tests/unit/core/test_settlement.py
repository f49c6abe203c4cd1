import contextlib
import json
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import (
    a_ref,
    a_request,
    a_transcript,
    an_outcome,
    keys_in,
    stored_job,
    stored_part,
)
from tests.clock import ManualClock
from tests.stores import FailingKeyStore, FailingStore, WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import JobStatus, Outcome, Usage
from whisperdrop.domain.transcript import Transcript
from whisperdrop.domain.webhook import Webhook
from whisperdrop.errors import StoreError
from whisperdrop.ports import ObjectInfo, ObjectStore
from whisperdrop.service.documents import dump, read
from whisperdrop.service.settlement import follow_up, settle

REF = a_ref()
DROP_KEY = "inbox/acme/talks/a.mp3"
REQUEST = a_request(REF)
TRANSCRIPT = a_transcript(REF)
SUCCEEDED = an_outcome(REF)
DROP_SUCCEEDED = an_outcome(REF, drop_key=DROP_KEY)
FAILED = an_outcome(REF, JobStatus.FAILED)
USAGE = f"usage/acme/2026-03/{REF.job_id}-61250.json"
OUTBOX = [f"outbox/acme/talks/a.mp3.{name}" for name in ("json", "srt", "txt", "vtt")]
WRITES_OF_A_DROP = 8  # transcript, outcome, four renderings, usage, marker


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    store = MemoryObjectStore(clock)
    stored_job(store, REQUEST, media=b"audio")
    return store


def fresh_store() -> MemoryObjectStore:
    store = MemoryObjectStore(ManualClock())
    stored_job(store, REQUEST, media=b"audio")
    return store


def ended_as(store: ObjectStore) -> Outcome:
    outcome = read(store, Outcome, keys.outcome(REF))
    assert outcome is not None
    return outcome


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key).body for key in keys_in(store)}  # type: ignore[union-attr]


def test_success_leaves_transcript_outcome_and_usage_and_no_marker(
    store: MemoryObjectStore,
) -> None:
    assert settle(store, SUCCEEDED, TRANSCRIPT) == SUCCEEDED
    assert read(store, Transcript, keys.transcript(REF)) == TRANSCRIPT
    assert ended_as(store) == SUCCEEDED
    assert read(store, Usage, USAGE) == SUCCEEDED.usage
    assert keys_in(store, "pending/") == []
    assert keys_in(store, "outbox/") == []


def test_failure_leaves_an_outcome_and_no_usage(store: MemoryObjectStore) -> None:
    settle(store, FAILED)
    assert ended_as(store) == FAILED
    assert (
        keys_in(store, "usage/") == keys_in(store, "results/") == keys_in(store, "pending/") == []
    )


def test_the_first_outcome_counts_and_the_second_learns_of_it(store: MemoryObjectStore) -> None:
    settle(store, FAILED)
    assert settle(store, SUCCEEDED, TRANSCRIPT) == FAILED
    assert ended_as(store) == FAILED
    assert keys_in(store, "usage/") == []


def test_a_drop_is_rendered_under_outbox(store: MemoryObjectStore) -> None:
    settle(store, DROP_SUCCEEDED, TRANSCRIPT)
    assert keys_in(store, "outbox/") == OUTBOX
    body = contents(store)[OUTBOX[0]]
    assert json.loads(body)["text"] == TRANSCRIPT.text


def test_a_drop_that_failed_says_why_under_outbox(store: MemoryObjectStore) -> None:
    settle(store, an_outcome(REF, JobStatus.FAILED, drop_key=DROP_KEY))
    assert keys_in(store, "outbox/") == ["outbox/acme/talks/a.mp3.error.json"]
    error = json.loads(contents(store)["outbox/acme/talks/a.mp3.error.json"])["error"]
    assert error == {"code": "gave_up", "message": "it did not work"}


def test_the_marker_goes_last_and_the_transcript_comes_first(store: MemoryObjectStore) -> None:
    order: list[str] = []

    class Recording(WrappedStore):
        def _write(self, key, write):  # type: ignore[no-untyped-def]
            order.append(key)
            return write()

    settle(Recording(store), DROP_SUCCEEDED, TRANSCRIPT)
    assert order == [
        keys.transcript(REF),
        keys.outcome(REF),
        *OUTBOX,
        USAGE,
        keys.pending(REF),
    ]
    assert len(order) == WRITES_OF_A_DROP


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash_at", range(1, WRITES_OF_A_DROP + 1))
@pytest.mark.parametrize("repeated_by", ["the same worker", "another worker"])
def test_a_crash_at_any_write_and_a_repetition_give_the_same_end(
    crash_at: int, written: bool, repeated_by: str, store: MemoryObjectStore
) -> None:
    expected_store = fresh_store()
    settle(expected_store, DROP_SUCCEEDED, TRANSCRIPT)

    with pytest.raises(StoreError):
        settle(FailingStore(store, crash_at, written=written), DROP_SUCCEEDED, TRANSCRIPT)
    if repeated_by == "the same worker":
        settle(store, DROP_SUCCEEDED, TRANSCRIPT)
        assert contents(store) == contents(expected_store)
    else:
        slower = Usage(audio_s=61.25, engine_s=99, model="tiny.en")
        other = an_outcome(REF, attempt=2, usage=slower, drop_key=DROP_KEY)
        decided = settle(store, other, a_transcript(REF, " Hallo."))
        crashed_before_the_outcome = crash_at < 2 or (crash_at == 2 and not written)
        assert decided == (other if crashed_before_the_outcome else DROP_SUCCEEDED)
        assert contents(store).keys() == contents(expected_store).keys()
        assert ended_as(store) == decided
        assert read(store, Usage, USAGE) == decided.usage
    assert keys_in(store, "pending/") == []


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash_at", range(3, WRITES_OF_A_DROP + 1))
def test_what_follows_from_an_outcome_can_be_completed_by_whoever_finds_it(
    crash_at: int, written: bool, store: MemoryObjectStore
) -> None:
    expected_store = fresh_store()
    settle(expected_store, DROP_SUCCEEDED, TRANSCRIPT)
    with pytest.raises(StoreError):
        settle(FailingStore(store, crash_at, written=written), DROP_SUCCEEDED, TRANSCRIPT)
    follow_up(store, ended_as(store))
    assert contents(store) == contents(expected_store)


attempts = st.lists(
    st.tuples(
        st.sampled_from(list(JobStatus)).filter(lambda status: status.final),
        st.integers(0, 8),
        st.booleans(),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=6,
)


@given(attempts)
def test_whatever_the_order_the_crashes_and_the_repetitions_there_is_one_end(
    tries: list[tuple[JobStatus, int, bool, int]],
) -> None:
    store = fresh_store()
    first: Outcome | None = None
    for status, crash_at, written, engine_s in tries:
        succeeded = status is JobStatus.SUCCEEDED
        usage = Usage(audio_s=61.25, engine_s=engine_s, model="tiny.en") if succeeded else None
        outcome = an_outcome(REF, status, usage=usage)
        with contextlib.suppress(StoreError):
            settle(
                FailingStore(store, crash_at, written=written),
                outcome,
                TRANSCRIPT if succeeded else None,
            )
        first = first or read(store, Outcome, keys.outcome(REF))
    last = settle(store, FAILED)

    assert last == ended_as(store) == (first or FAILED)
    assert len(keys_in(store, "usage/")) == (1 if last.status is JobStatus.SUCCEEDED else 0)
    assert keys_in(store, "pending/") == []
    if last.status is JobStatus.SUCCEEDED:
        assert read(store, Transcript, keys.transcript(REF)) == TRANSCRIPT
        assert read(store, Usage, USAGE) == last.usage


def test_of_many_that_end_a_job_at_once_one_decides(store: MemoryObjectStore) -> None:
    start = threading.Barrier(8)
    decisions: list[Outcome] = []

    def end(attempt: int) -> None:
        start.wait()
        decisions.append(settle(store, an_outcome(REF, attempt=attempt), TRANSCRIPT))

    threads = [threading.Thread(target=end, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decisions) == 8
    assert {decision.attempt for decision in decisions} == {ended_as(store).attempt}
    assert keys_in(store, "usage/") == [USAGE]


def test_a_drop_whose_transcript_was_deleted_since_holds_nobody_up(
    store: MemoryObjectStore,
) -> None:
    settle(store, DROP_SUCCEEDED)
    assert keys_in(store, "outbox/") == []
    assert keys_in(store, "pending/") == []


def test_checkpoints_go_with_the_end_of_their_job(store: MemoryObjectStore) -> None:
    stored_part(store, REF, 0, " one")
    stored_part(store, REF, 1, " two")
    for key in (keys.plan(REF), keys.span(REF, 0), keys.lease(REF)):
        store.create(key, b"{}")
    settle(store, an_outcome(REF, parts=2), TRANSCRIPT)
    left = [keys.lease(REF), keys.outcome(REF), keys.request(REF)]
    assert keys_in(store, keys.documents(REF)) == left
    assert keys_in(store, "pending/") == []


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED])
def test_checkpoints_go_whoever_ends_a_job_without_a_transcript(
    status: JobStatus, store: MemoryObjectStore
) -> None:
    stored_part(store, REF, 0, " one")
    settle(store, an_outcome(REF, status))
    assert keys_in(store, keys.parts(REF)) == []


def test_the_marker_stays_until_the_checkpoints_are_gone(store: MemoryObjectStore) -> None:
    stored_part(store, REF, 0, " one")
    with pytest.raises(StoreError):
        settle(FailingKeyStore(store, keys.parts(REF)), an_outcome(REF, parts=1), TRANSCRIPT)
    assert keys_in(store, "pending/") == [keys.pending(REF)]
    follow_up(store, ended_as(store))
    assert keys_in(store, keys.parts(REF)) == keys_in(store, "pending/") == []


def test_a_job_without_checkpoints_costs_no_listing(store: MemoryObjectStore) -> None:
    class Unlisted(WrappedStore):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            raise AssertionError(prefix)

    settle(Unlisted(store), SUCCEEDED, TRANSCRIPT)


def test_that_somebody_is_to_be_told_is_noted_before_the_marker_goes(
    store: MemoryObjectStore,
) -> None:
    outcome = an_outcome(REF, webhook_url="https://example.com/hook")
    note = keys.notification_due(REF, outcome.finished_at)
    with pytest.raises(StoreError):
        settle(FailingKeyStore(store, keys.NOTIFICATIONS), outcome, TRANSCRIPT)
    assert keys_in(store, "pending/") == [keys.pending(REF)]
    follow_up(store, ended_as(store))
    assert keys_in(store, keys.NOTIFICATIONS) == [note]
    assert keys_in(store, "pending/") == []


def test_the_tenants_webhook_is_told_of_every_job(store: MemoryObjectStore) -> None:
    webhook = Webhook(url="https://example.com/hook", updated_at=SUCCEEDED.finished_at)
    store.create(keys.webhook("acme"), dump(webhook))
    settle(store, SUCCEEDED, TRANSCRIPT)
    note = keys.notification_due(REF, SUCCEEDED.finished_at)
    assert keys_in(store, keys.NOTIFICATIONS) == [note]


def test_nothing_is_noted_where_nobody_wants_to_know(store: MemoryObjectStore) -> None:
    settle(store, SUCCEEDED, TRANSCRIPT)
    assert keys_in(store, keys.NOTIFICATIONS) == []
