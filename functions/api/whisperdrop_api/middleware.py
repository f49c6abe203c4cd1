"""Plain ASGI layers around the application: what is seen of a request, and body limits."""

import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperdrop.domain.ids import is_correlation_id, is_traceparent
from whisperdrop.observability import logged_with, tracing
from whisperdrop.observability.catalogue import HTTP_IN_FLIGHT, HTTP_REQUESTS, HTTP_SECONDS
from whisperdrop.observability.metrics import record
from whisperdrop_api.composition import logger

CORRELATION_HEADER = "x-request-id"
MAX_JSON_BYTES = 256 * 1024
"""Largest body of a route that takes no file."""

MAX_BATCH_BYTES = 4 * 1024**2
"""Largest body of a batch: a hundred jobs with long prompts. Lambda carries 6 MB."""

_TAKE_FILES = ("/transcribe", "/v1/audio/", "/audio/")
_MULTIPART_OVERHEAD = 64 * 1024  # boundaries, headers and the other fields around a file

METRICS_PATH = "/metrics"
_UNSEEN = (METRICS_PATH,)
"""Paths whose requests are neither logged nor counted: nobody asked for them but monitoring."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OF_THE_FRAMEWORK = frozenset({"/docs", "/redoc", "/openapi.json"})


class CorrelationMiddleware:
    """Gives each request an id, the caller's own if it sent a sane one, and logs one line.

    It is counted, too, and is a span where tracing is on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in _UNSEEN:
            scope.setdefault("state", {})["correlation_id"] = ""
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        began = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation_id
            await send(message)

        offered = Headers(scope=scope).get("traceparent", "")
        span = tracing.span(
            scope["method"],
            kind="server",
            parent=offered if is_traceparent(offered) else None,
            correlation_id=correlation_id,
            http__request__method=scope["method"],
            url__path=scope["path"],
        )
        self._count(+1)
        with logged_with(correlation_id=correlation_id), span as here:
            try:
                await self._app(scope, receive, answer)
            finally:
                self._count(-1)
                seconds = time.perf_counter() - began
                method, route = _method(scope), _route(scope)
                record(HTTP_REQUESTS, method=method, route=route, status=str(status))
                record(HTTP_SECONDS, seconds, method=method, route=route)
                here.name(f"{method} {route}")
                here.note(http__response__status_code=status, http__route=route)
                if status >= 500:
                    here.fail(f"answered {status}")
                logger.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "ms": round(seconds * 1000, 1),
                        "correlation_id": correlation_id,
                    },
                )

    def _count(self, more: int) -> None:
        self._in_flight += more
        record(HTTP_IN_FLIGHT, self._in_flight)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The template of the route: there are as many as routes, and paths without end."""
    found = getattr(scope.get("route"), "path", None)
    if isinstance(found, str):
        return found
    return scope["path"] if scope["path"] in _OF_THE_FRAMEWORK else "unmatched"


def _correlation_id(scope: Scope) -> str:
    """The caller's id if it is a sane one, else the gateway's, else a new one."""
    gateway = scope.get("aws.event", {}).get("requestContext", {}).get("requestId", "")
    for offered in (Headers(scope=scope).get(CORRELATION_HEADER, ""), gateway):
        if is_correlation_id(offered):
            return str(offered)
    return uuid.uuid4().hex


class BodyLimitMiddleware:
    """Refuses a body that is too large, as soon as that is known, declared or counted."""

    def __init__(self, app: ASGIApp, *, max_sync_bytes: int) -> None:
        self._app = app
        self._max_sync_bytes = max_sync_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, message = self._limit(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        seen = int(declared) if declared.isdecimal() else 0
        if seen > limit:
            # Raised where the application reads its body, so that its own handlers answer, after
            # the key was checked.
            async def refuse() -> Message:
                raise HTTPException(413, message, headers={"Connection": "close"})

            await self._app(scope, refuse, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > limit:
                raise HTTPException(413, message, headers={"Connection": "close"})
            return part

        await self._app(scope, count, send)

    def _limit(self, path: str) -> tuple[int, str]:
        if path.startswith(_TAKE_FILES):
            return self._max_sync_bytes + _MULTIPART_OVERHEAD, too_large(self._max_sync_bytes)
        limit = MAX_BATCH_BYTES if path == "/v1/jobs/batch" else MAX_JSON_BYTES
        return limit, f"the request's body is over {limit:,} bytes"


def too_large(max_sync_bytes: int) -> str:
    """What to tell somebody whose file is too large for a synchronous route."""
    return (
        f"this route takes files up to {max_sync_bytes:,} bytes; send larger ones straight to "
        "storage: POST /v1/jobs answers with a presigned upload"
    )
