"""What the sweep makes of the length of a marker, which tells the dispatcher what waits."""

from typing import Literal

import pytest

from tests.builders import a_ref, a_request, stored_job
from tests.clock import ManualClock
from tests.unit.core.test_sweep import REQUEUE_S, Yard
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load, load_of
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import PendingMarker
from whisperdrop.service.documents import read
from whisperdrop.service.drops import admit_drop
from whisperdrop.service.requests import mark_pending


@pytest.fixture
def yard(clock: ManualClock) -> Yard:
    return Yard(clock)


def load(yard: Yard, ref: JobRef) -> Load | None:
    marker = yard.store.head(keys.pending(ref))
    assert marker is not None
    return load_of(marker.size)


@pytest.mark.parametrize(("source", "interactive"), [("upload", False), ("sync", True)])
def test_a_job_that_is_queued_again_says_what_it_is(
    source: Literal["upload", "sync"], interactive: bool, yard: Yard
) -> None:
    job = yard.job(source=source, media=bytes(12_000 * 90))
    assert load(yard, job.ref) is None
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().requeued == [job.job_id]
    told = load(yard, job.ref)
    assert told is not None
    assert told.audio_s == pytest.approx(90, rel=0.02)
    assert told.interactive == interactive


def test_what_was_said_of_a_job_before_stays(yard: Yard) -> None:
    job = yard.job()
    mark_pending(yard.store, job.ref, load=Load(1000))
    yard.clock.advance(REQUEUE_S)
    yard.sweep()
    told = load(yard, job.ref)
    assert told is not None
    assert told.audio_s == pytest.approx(1000, rel=0.02)


def test_a_lost_drop_says_what_it_is(yard: Yard) -> None:
    drop = yard.drop()
    yard.clock.advance(REQUEUE_S)
    [job_id] = yard.sweep().dropped
    assert load(yard, JobRef(drop.tenant, job_id)) == Load(1.0)


def test_a_job_whose_media_was_never_stored_starts_no_worker(yard: Yard) -> None:
    """Whoever was to store it died: a small-file route writes marker and media side by side."""
    job = yard.job(media=None, source="sync")
    mark_pending(yard.store, job.ref, load=Load(60, interactive=True))
    yard.clock.advance(REQUEUE_S)
    report = yard.sweep()
    assert (report.requeued, load(yard, job.ref)) == ([], None)
    assert read(yard.store, PendingMarker, keys.pending(job.ref)) == PendingMarker()
    yard.store.put(job.media_key, b"late")
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().requeued == [job.job_id]


def test_a_job_whose_request_is_damaged_starts_no_worker(yard: Yard) -> None:
    ref = a_ref()
    stored_job(yard.store, a_request(ref))
    mark_pending(yard.store, ref, load=Load(60))
    yard.store.put(keys.request(ref), b"{")
    yard.clock.advance(REQUEUE_S)
    assert yard.sweep().damaged == [keys.request(ref)]
    assert load(yard, ref) is None


def test_a_drop_says_what_it_is_when_it_becomes_a_job(yard: Yard) -> None:
    drop = yard.drop()
    ref = admit_drop(yard.store, "media", drop, catalog=yard._process._catalog, clock=yard.clock)
    assert ref is not None
    assert load(yard, ref) == Load(1.0)
