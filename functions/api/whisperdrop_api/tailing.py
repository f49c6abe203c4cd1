"""Following a job: how far it is, and its text as it is finished, read from the checkpoints."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeVar

import anyio
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus, JobView
from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import JobNotFoundError
from whisperdrop.service.deduplication import RECORDING_GRACE
from whisperdrop.service.parts import read_parts
from whisperdrop_api.composition import Services

HEARTBEAT_S = 15.0
"""Proxies and clients give up a connection on which nothing comes; most after 30 or 60 s."""

_SHORTEST_S = 0.05
_LONGEST_S = 1.0  # a worker writes down what it has every few seconds
_SHARE = 0.05

Item = TypeVar("Item")


async def tail(
    services: Services, ref: JobRef, *, after: int = 0
) -> AsyncGenerator[JobView | Segment, None]:
    """The job at once and whenever it has got on, and each segment once, in order, from 0.

    The first ``after`` segments are left out. Segments of a job that goes on come from its
    checkpoints, the rest from its transcript when that is there. The last item is the job as it has
    ended. One round costs about five requests to the store; there is at most one a second. Raises
    JobNotFoundError, also for a job that is deleted meanwhile.
    """
    began = time.monotonic()
    seen = 0
    last_part: Part | None = None
    shown: object = None
    while True:
        try:
            view = await run_in_threadpool(services.jobs.view, ref.tenant, ref.job_id)
        except JobNotFoundError:
            # One that was joined is written down in a moment; one that was there is deleted.
            if shown is not None or time.monotonic() - began > RECORDING_GRACE.total_seconds():
                raise
            await anyio.sleep(_SHORTEST_S)
            continue
        ended = view.status.final
        if not ended and (now := _state(view)) != shown:
            shown = now
            yield view
        # Parts of a job that has ended are deleted; the transcript has the rest.
        parts = [] if ended else await run_in_threadpool(read_parts, services.store, ref, last_part)
        finished: Sequence[Segment] = [one for part in parts for one in part.segments]
        last_part = parts[-1] if parts else last_part
        if view.status is JobStatus.SUCCEEDED:
            transcript = await run_in_threadpool(services.jobs.transcript, ref.tenant, ref.job_id)
            finished = transcript.segments[seen:]
        for segment in finished:
            if seen >= after:
                yield segment.model_copy(update={"id": seen})
            seen += 1
        if ended:
            yield view
            return
        await anyio.sleep(min(_LONGEST_S, max(_SHORTEST_S, (time.monotonic() - began) * _SHARE)))


async def with_heartbeats(
    items: AsyncGenerator[Item, None], every_s: float | None = None
) -> AsyncIterator[Item | None]:
    """``items``, and None whenever there was none for ``every_s`` seconds, or ``HEARTBEAT_S``."""
    following: asyncio.Future[Item] = asyncio.ensure_future(anext(items))
    try:
        while True:
            await asyncio.wait({following}, timeout=every_s or HEARTBEAT_S)
            if not following.done():
                yield None
                continue
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            following = asyncio.ensure_future(anext(items))
            yield item
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
            await following
        await items.aclose()


def buffered(request: Request) -> bool:
    """Whether the answer leaves in one piece, when it is whole: in Lambda, through Mangum."""
    return "aws.event" in request.scope


def _state(view: JobView) -> object:
    """What of a job is worth telling when it changes; a renewed lease alone is not."""
    progress = view.lease.progress if view.lease else None
    attempt = view.lease.attempt if view.lease else None
    return (view.status, view.cancel_requested, attempt, progress)
