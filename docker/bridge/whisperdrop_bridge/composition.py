"""The bridge's composition root."""

from fastapi import FastAPI

from whisperdrop.adapters.aws import sqs_client
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.observability import configure
from whisperdrop_bridge.app import create_app, logger
from whisperdrop_bridge.routing import Destination
from whisperdrop_bridge.settings import BridgeSettings


def build(settings: BridgeSettings) -> FastAPI:
    """The application; no request leaves the process until an event comes."""
    configure(logger, settings)
    # The store repeats itself: one attempt, and a short one.
    sqs = sqs_client(answer_within_s=settings.queue_timeout_seconds)
    return create_app(
        {
            Destination.BULK: SqsJobQueue(sqs, settings.bulk_queue_url),
            Destination.NOTIFY: SqsJobQueue(sqs, settings.notify_queue_url),
        },
        bucket=settings.bucket,
        token=settings.bridge_token.get_secret_value(),
        max_event_bytes=settings.max_event_bytes,
    )
