"""The application, the same under Mangum and under uvicorn."""

import time
from collections.abc import Callable

from fastapi import FastAPI, Response

from whisperdrop import __version__
from whisperdrop_api import errors
from whisperdrop_api.composition import Services
from whisperdrop_api.documented import DocumentedApp
from whisperdrop_api.middleware import METRICS_PATH, BodyLimitMiddleware, CorrelationMiddleware
from whisperdrop_api.routes import (
    events,
    health,
    jobs,
    keys,
    models,
    page,
    transcribe,
    transcripts,
    uploads,
    usage,
    warm,
    webhooks,
)
from whisperdrop_api.routes.openai import audio
from whisperdrop_api.routes.openai.errors import OpenAIErrorBody
from whisperdrop_api.routes.openai.slots import SlotMiddleware

_DESCRIPTION = """
Drop audio in a bucket, get a transcript.

Large files: `POST /v1/jobs`, upload to the address that it answers, `GET /v1/jobs/{id}?wait=60`,
`GET /v1/jobs/{id}/transcript`. Small files: `POST /transcribe/{model}` and wait.
OpenAI's SDKs: `POST /v1/audio/transcriptions`.

Every route but `/health` needs `Authorization: Bearer <key>`.
"""


Exposition = Callable[[], Response]
"""Answers what Prometheus asks for."""


def create_app(services: Services, metrics: Exposition | None = None) -> FastAPI:
    """Routes, error handlers and layers over ``services``; ``/metrics`` where there is such."""
    app = DocumentedApp(
        bodies=(errors.ErrorBody, OpenAIErrorBody),
        title="Whisperdrop",
        version=__version__,
        description=_DESCRIPTION,
        # Clients made from the document get methods with these names.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.started = int(time.time())
    errors.install(app)
    for door in (
        *(jobs, uploads, usage, transcripts, events, audio, transcribe, models, keys),
        *(webhooks, warm, health, page),
    ):
        app.include_router(door.router)
    if metrics is not None:
        app.add_api_route(
            METRICS_PATH, metrics, methods=["GET"], include_in_schema=False, response_model=None
        )
    app.add_middleware(BodyLimitMiddleware, max_sync_bytes=services.settings.max_sync_bytes)
    app.add_middleware(SlotMiddleware, limit=services.settings.max_sync_requests)
    app.add_middleware(CorrelationMiddleware)
    return app
