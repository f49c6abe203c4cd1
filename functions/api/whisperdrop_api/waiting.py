"""Waiting for an outcome without holding a thread."""

import time
from collections.abc import Awaitable, Callable

import anyio
from fastapi.concurrency import run_in_threadpool

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop_api.composition import Services


async def wait_for_outcome(
    services: Services,
    ref: JobRef,
    wait_s: float,
    *,
    gone: Callable[[], Awaitable[bool]] | None = None,
) -> Outcome | None:
    """The job's outcome, or None after ``wait_s`` seconds or when the caller is ``gone``.

    Polls the store, since S3 is the only thing that API and worker share; each look is one GET.
    """
    began = time.monotonic()
    with services.looks.waiting():
        while True:
            outcome = await run_in_threadpool(services.jobs.outcome, ref)
            waited = time.monotonic() - began
            if outcome:
                services.looks.came(waited)
                return outcome
            if waited >= wait_s or (gone is not None and await gone()):
                return None
            await anyio.sleep(min(services.looks.pause_s(waited), wait_s - waited))
