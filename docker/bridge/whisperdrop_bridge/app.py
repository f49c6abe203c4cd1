"""The bridge over HTTP: ``POST /events`` from the store, ``/health`` and ``/metrics`` for others.

2xx says "do not send it again": for what is queued, and for what no repetition would mend. 503 says
"come again": SQS did not take it. The order matters to nobody, but MinIO sends one event at a time
and repeats it until it is taken, so an answer of 4xx to garbage would stop everything behind it.
"""

import secrets

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from whisperdrop.errors import MissingKeyError, StoreError, WhisperdropError, WrongKeyError
from whisperdrop.observability import Logger
from whisperdrop.ports import JobQueue
from whisperdrop_bridge.routing import Destination, Routed, route

logger = Logger(service="bridge")

_RETRY_AFTER_S = "3"
_SHOWN_CHARS = 200


def create_app(
    queues: dict[Destination, JobQueue], *, bucket: str, token: str, max_event_bytes: int
) -> FastAPI:
    """The application over ``queues``."""
    app = FastAPI(title="Whisperdrop bridge", openapi_url=None)
    registry = CollectorRegistry()
    records = Counter(
        "whisperdrop_bridge_records_total",
        "Records of the store's webhook: queued, ignored, garbage, or refused because SQS was away",
        ["result"],
        registry=registry,
    )
    for result in ("queued", "ignored", "garbage", "refused"):
        records.labels(result)

    @app.post("/events")
    async def events(request: Request) -> Response:
        _check(request.headers.get("authorization"), token)
        body = await _read(request, max_event_bytes)
        if body is None:
            routed = Routed(garbage=[f"more than {max_event_bytes} bytes"])
        else:
            routed = route(body, bucket=bucket)
        records.labels("ignored").inc(routed.ignored)
        for reason in routed.garbage:
            records.labels("garbage").inc()
            logger.warning("event_thrown_away", extra={"error": reason[:_SHOWN_CHARS]})
        for forward in routed.forwards:
            # Of several, those before a failure come twice; a duplicate finds its lease or outcome.
            queue = queues[forward.destination]
            fields = {"queue": forward.destination.value, "key": forward.key}
            if forward.correlation_id:
                fields["correlation_id"] = forward.correlation_id
            try:
                await anyio.to_thread.run_sync(queue.send, forward.body)
            except StoreError as error:
                records.labels("refused").inc()
                logger.warning("queue_failed", extra=fields | {"error": str(error)})
                raise
            records.labels("queued").inc()
            logger.info("event_queued", extra=fields)
        return Response(status_code=204)

    @app.head("/events")
    async def reachable() -> Response:
        """MinIO asks before it sends."""
        return Response(status_code=204)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Alive; whether SQS is, the store hears with each event."""
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(WhisperdropError)
    async def known(request: Request, error: WhisperdropError) -> JSONResponse:  # noqa: ARG001
        headers = {"Retry-After": _RETRY_AFTER_S} if error.status == 503 else None
        if error.status in {401, 403}:
            logger.error("token_refused", extra={"error": error.message})
        body = {"detail": error.message, "code": error.code}
        return JSONResponse(body, error.status, headers)

    return app


def _check(header: str | None, token: str) -> None:
    """Raises MissingKeyError, WrongKeyError."""
    if not header:
        raise MissingKeyError("send Authorization: Bearer and the bridge's token")
    if not secrets.compare_digest(header.encode(), f"Bearer {token}".encode()):
        raise WrongKeyError("this is not the bridge's token; give store and bridge the same one")


async def _read(request: Request, limit: int) -> bytes | None:
    """The body, or None when it is too large.

    It is read to its end all the same: who is answered before he has sent everything sees a broken
    connection, and sends it again.
    """
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        else:
            body.clear()
    return None if size > limit else bytes(body)
