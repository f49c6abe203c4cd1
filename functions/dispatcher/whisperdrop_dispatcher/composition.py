"""The dispatcher's composition root."""

from whisperdrop.adapters.aws import s3_client, sqs_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.observability import Logger, configure
from whisperdrop.service.clock import utc_now
from whisperdrop.service.notification_sweep import NotificationReport, NotificationSweep
from whisperdrop.service.sweep import Sweep, SweepPolicy, SweepReport
from whisperdrop_dispatcher.settings import SweepSettings

logger = Logger(service="dispatcher")


def build(settings: SweepSettings) -> Sweep:
    """The sweep over the bucket and the queues of the settings."""
    configure(logger, settings)
    sqs = sqs_client()
    return Sweep(
        S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket),
        SqsJobQueue(sqs, settings.interactive_queue_url),
        SqsJobQueue(sqs, settings.bulk_queue_url),
        bucket=settings.bucket,
        catalog=settings.catalog,
        policy=SweepPolicy(
            requeue_after_s=settings.requeue_after_seconds,
            upload_grace_s=settings.upload_grace_seconds,
            drop_window_s=settings.drop_window_seconds,
        ),
        clock=utc_now,
    )


def build_notification_sweep(settings: SweepSettings) -> NotificationSweep | None:
    """The sweep over what is to be told; None where there is no queue to wake a notifier."""
    if settings.notify_queue_url is None:
        return None
    return NotificationSweep(
        S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket),
        SqsJobQueue(sqs_client(), settings.notify_queue_url),
        requeue_after_s=settings.requeue_after_seconds,
        clock=utc_now,
    )


def log_notifications(report: NotificationReport) -> None:
    """One line a pass that found anything to tell."""
    if report.seen:
        fields = {"due": report.seen, "sent": report.sent, "tidied": report.tidied}
        logger.info("notifications", extra=fields)
    if report.damaged:
        logger.error("damaged_documents", extra={"keys": report.damaged})


def log(report: SweepReport) -> None:
    """One line a pass, with what a person at three in the morning wants to know."""
    fields = {
        "pending": report.seen,
        "requeued": report.requeued,
        "expired": report.expired,
        "finished": report.finished,
        "dropped": report.dropped,
        "deleted": report.deleted,
    }
    logger.info("sweep", extra=fields)
    if report.damaged:
        logger.error("damaged_documents", extra={"keys": report.damaged})
