"""A job as it happens: server-sent events of its progress and of its text."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import WhisperdropError
from whisperdrop_api.composition import Services, logger
from whisperdrop_api.dependencies import Reader, ServicesDep
from whisperdrop_api.errors import ErrorBody, refusals
from whisperdrop_api.schemas import JobBody
from whisperdrop_api.tailing import buffered, tail, with_heartbeats

_STATUSES = (401, 403, 404, 422, 500, 503)
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "itemSchema": {
            "type": "object",
            "properties": {
                "event": {"type": "string"},
                "id": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json"},
                "retry": {"type": "integer"},
            },
        }
    }
}
"""What the OpenAPI document says of a stream: each of its items, as OpenAPI 3.2 has it."""

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job's events", "content": EVENTS},
    **refusals(*_STATUSES),
}

_LOOK_S = 0.5  # how late a stream that has to end may do so

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class EventStream(StreamingResponse):
    """Whatever stands in between passes each event on at once."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncIterator[str],
        status_code: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        unbuffered = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(frames, status_code, headers=unbuffered | (headers or {}))


@router.get("/{job_id}/events", responses=_RESPONSES, response_class=Response)
async def follow_job(
    job_id: str,
    request: Request,
    services: ServicesDep,
    key: Reader,
    last_event_id: Annotated[
        int, Header(ge=0, le=10**9, description="Segments that were received before")
    ] = 0,
) -> EventStream:
    """`job` events at once and at each change, a `segment` event for each finished segment, `end`.

    `id` counts the segments that were sent; a client that comes back says the last one in
    `Last-Event-ID`. Behind a gateway that passes on whole answers only, the stream ends after
    `MAX_WAIT_SECONDS` without an `end`, and the client comes back.
    """
    view = await run_in_threadpool(services.jobs.view, key.tenant, job_id)
    limit_s = services.settings.max_wait_seconds if buffered(request) else None
    return EventStream(_frames(services, view.ref, last_event_id, limit_s))


async def _frames(
    services: Services, ref: JobRef, after: int, limit_s: float | None
) -> AsyncGenerator[str, None]:
    began = time.monotonic()
    sent = after
    beat_s = None if limit_s is None else _LOOK_S
    yield "retry: 1000\n\n"
    items = tail(services, ref, after=after)
    try:
        async for item in with_heartbeats(items, beat_s):
            if item is None:
                yield ": keep-alive\n\n"
            elif isinstance(item, Segment):
                sent += 1
                yield frame("segment", item, sent)
                continue  # there may be more of them at once
            else:
                yield frame("end" if item.status.final else "job", JobBody.of(item), sent)
            if limit_s is not None and time.monotonic() - began >= limit_s:
                return
    except WhisperdropError as error:
        logger.warning("stream_failed", extra={"job_id": ref.job_id}, exc_info=error)
        yield frame("error", ErrorBody(detail=error.message, code=error.code), sent)


def frame(event: str, body: BaseModel, number: int) -> str:
    """One event; JSON has no line breaks of its own."""
    return f"event: {event}\nid: {number}\ndata: {body.model_dump_json(exclude_none=True)}\n\n"
