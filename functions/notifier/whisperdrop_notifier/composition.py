"""The notifier's composition root."""

from dataclasses import dataclass

from whisperdrop import __version__
from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.outbound import SocketOutbound
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.domain.webhook_schedule import RetrySchedule
from whisperdrop.observability import Logger, configure
from whisperdrop.ports import JobQueue
from whisperdrop.pulse import Pulse
from whisperdrop.service.clock import utc_now
from whisperdrop.service.courier import Courier
from whisperdrop.service.delivery import DeliveryPolicy, Notifier
from whisperdrop.service.proof import prove_conditional_writes
from whisperdrop.service.watched import WatchedQueue
from whisperdrop_notifier.observing import telling
from whisperdrop_notifier.settings import NotifierSettings
from whisperdrop_notifier.sharing import FairShare

logger = Logger(service="notifier")


@dataclass(frozen=True)
class Process:
    """Everything that an entry of the notifier needs."""

    settings: NotifierSettings
    queue: JobQueue
    notifier: Notifier


def build(settings: NotifierSettings) -> Process:
    """Build a notifier, and prove that its store keeps its promises."""
    configure(logger, settings)
    store = S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket)
    prove_conditional_writes(store)
    pulse = Pulse(settings.pulse_file)
    queue = WatchedQueue(SqsJobQueue(sqs_client(), settings.notify_queue_url or ""), pulse)
    ca_file = settings.webhook_ca_file
    courier = Courier(
        SocketOutbound(str(ca_file) if ca_file else None),
        settings.webhook_rules,
        timeout_s=settings.webhook_timeout_seconds,
        agent=f"Whisperdrop/{__version__}",
    )
    notifier = Notifier(
        store,
        queue,
        courier,
        FairShare(
            per_tenant=settings.notify_slots_per_tenant, per_host=settings.notify_slots_per_host
        ),
        policy=DeliveryPolicy(
            lease_s=settings.notify_lease_seconds,
            schedule=RetrySchedule(settings.webhook_retry_seconds),
        ),
        owner=settings.notifier_id,
        around=telling,
        clock=utc_now,
    )
    return Process(settings, queue, notifier)
