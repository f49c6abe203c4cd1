"""The API's composition root."""

from dataclasses import dataclass

from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.s3 import S3ObjectStore, S3Presigner
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.observability import Logger, configure
from whisperdrop.ports import ObjectStore
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.jobs import JobService
from whisperdrop_api.settings import ApiSettings

logger = Logger(service="api")


@dataclass(frozen=True)
class Services:
    """What the routes call."""

    settings: ApiSettings
    catalog: ModelCatalog
    store: ObjectStore
    jobs: JobService
    api_keys: ApiKeys
    fleet: Fleet


def build(settings: ApiSettings) -> Services:
    """Build the services; no request leaves the process until one is asked for."""
    configure(logger, settings)
    s3 = s3_client(addressing_style=settings.s3_addressing_style)
    public = s3
    if settings.s3_public_endpoint:
        public = s3_client(
            addressing_style=settings.s3_addressing_style, endpoint_url=settings.s3_public_endpoint
        )
    store = S3ObjectStore(s3, settings.bucket)
    return Services(
        settings=settings,
        catalog=settings.catalog,
        store=store,
        jobs=JobService(
            store,
            S3Presigner(public, settings.bucket),
            SqsJobQueue(sqs_client(), settings.interactive_queue_url),
            clock=utc_now,
            upload_expires_s=settings.upload_expires_seconds,
        ),
        api_keys=ApiKeys(
            store,
            environment_key=settings.api_key.get_secret_value() if settings.api_key else None,
            clock=utc_now,
        ),
        fleet=Fleet(store, clock=utc_now),
    )
