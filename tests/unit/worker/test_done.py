"""How far the jobs in a worker's hands are, which its report tells the dispatcher."""

from pathlib import Path

import pytest

from tests.builders import stored_job
from tests.clock import ManualClock
from tests.unit.worker.test_cancelling import REF, REQUEST, Worker
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.job import Progress
from whisperdrop.errors import MediaError
from whisperdrop_worker.engine import OnProgress


@pytest.mark.parametrize("error", [None, MediaError("no")])
def test_what_is_done_of_a_job_counts_until_it_has_ended(
    error: Exception | None, clock: ManualClock, tmp_path: Path
) -> None:
    store = MemoryObjectStore(clock)
    stored_job(store, REQUEST, media=b"audio")
    told: list[float] = []

    def work(on_progress: OnProgress) -> None:
        told.append(worker.processor.done_s)
        on_progress(Progress(stage="transcribing", done_s=30, total_s=60))
        told.append(worker.processor.done_s)
        if error is not None:
            raise error

    worker = Worker(store, clock, tmp_path, work)
    worker.process()
    assert told == [0, 30]
    assert worker.processor.done_s == 0
    assert store.head(keys.pending(REF)) is None
