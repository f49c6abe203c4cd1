"""The API's composition root."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from whisperdrop import __version__
from whisperdrop.adapters.aws import presigned_origins, s3_client, sqs_client
from whisperdrop.adapters.outbound import SocketOutbound
from whisperdrop.adapters.s3 import S3ObjectStore, S3Presigner
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.domain.models import ModelCatalog
from whisperdrop.observability import Logger, configure
from whisperdrop.ports import Clock, JobQueue, ObjectStore, Outbound
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop.service.courier import Courier
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.jobs import JobService
from whisperdrop.service.notifications import Notifications
from whisperdrop.service.webhooks import Webhooks
from whisperdrop_api.looks import Looks
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
    storage_origins: Callable[[], tuple[str, ...]] = field(default=tuple, kw_only=True)
    """Where browsers find the storage; the page's Content-Security-Policy lets them."""
    outbound: Outbound = field(default_factory=SocketOutbound, kw_only=True)
    """Reaches the servers that tenants name."""
    notify_queue: JobQueue | None = field(default=None, kw_only=True)
    clock: Clock = field(default=utc_now, kw_only=True)
    looks: Looks = field(default_factory=Looks, kw_only=True)

    @functools.cached_property
    def webhooks(self) -> Webhooks:
        """The tenants' webhooks."""
        courier = Courier(
            self.outbound,
            self.settings.webhook_rules,
            timeout_s=self.settings.webhook_timeout_seconds,
            agent=f"Whisperdrop/{__version__}",
        )
        return Webhooks(self.store, courier, clock=self.clock)

    @functools.cached_property
    def notifications(self) -> Notifications:
        """What became of telling how jobs ended."""
        return Notifications(self.store, self.notify_queue, clock=self.clock)


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
    sqs = sqs_client()
    ca_file = settings.webhook_ca_file
    notify = settings.notify_queue_url
    return Services(
        settings=settings,
        catalog=settings.catalog,
        store=store,
        jobs=JobService(
            store,
            S3Presigner(public, settings.bucket),
            SqsJobQueue(sqs, settings.interactive_queue_url),
            clock=utc_now,
            upload_expires_s=settings.upload_expires_seconds,
            multipart_expires_s=settings.multipart_expires_seconds,
        ),
        api_keys=ApiKeys(
            store,
            environment_key=settings.api_key.get_secret_value() if settings.api_key else None,
            clock=utc_now,
        ),
        fleet=Fleet(store, clock=utc_now),
        outbound=SocketOutbound(str(ca_file) if ca_file else None),
        notify_queue=SqsJobQueue(sqs, notify) if notify else None,
        storage_origins=functools.partial(presigned_origins, public, settings.bucket),
    )
