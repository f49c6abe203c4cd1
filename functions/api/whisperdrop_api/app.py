"""The application, the same under Mangum and under uvicorn."""

import time

from fastapi import FastAPI

from whisperdrop import __version__
from whisperdrop_api import errors
from whisperdrop_api.composition import Services
from whisperdrop_api.middleware import BodyLimitMiddleware, CorrelationMiddleware
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
    webhooks,
)
from whisperdrop_api.routes.openai import audio
from whisperdrop_api.routes.openai.slots import SlotMiddleware

_DESCRIPTION = """
Drop audio in a bucket, get a transcript.

Large files: `POST /v1/jobs`, upload to the address that it answers, `GET /v1/jobs/{id}?wait=60`,
`GET /v1/jobs/{id}/transcript`. Small files: `POST /transcribe/{model}` and wait.
OpenAI's SDKs: `POST /v1/audio/transcriptions`.

Every route but `/health` needs `Authorization: Bearer <key>`.
"""


def create_app(services: Services) -> FastAPI:
    """Routes, error handlers and layers over ``services``."""
    app = FastAPI(
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
        *(webhooks, health, page),
    ):
        app.include_router(door.router)
    app.add_middleware(BodyLimitMiddleware, max_sync_bytes=services.settings.max_sync_bytes)
    app.add_middleware(SlotMiddleware, limit=services.settings.max_sync_requests)
    app.add_middleware(CorrelationMiddleware)
    return app
