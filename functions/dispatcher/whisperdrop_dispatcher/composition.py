"""The dispatcher's composition root."""

from typing import Any

from whisperdrop.adapters.aws import ecs_client, s3_client, sqs_client
from whisperdrop.adapters.ecs import EcsTaskRunner
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop.adapters.sqs_depth import SqsQueueMeter
from whisperdrop.domain.scaling import FleetPolicy
from whisperdrop.observability import Logger, configure
from whisperdrop.ports import QueueMeter
from whisperdrop.service.backlog import BacklogMeter, QueueName
from whisperdrop.service.clock import utc_now
from whisperdrop.service.dispatch import Dispatcher, DispatchReport
from whisperdrop.service.notification_sweep import NotificationReport, NotificationSweep
from whisperdrop.service.sweep import Sweep, SweepPolicy, SweepReport
from whisperdrop_dispatcher import measuring
from whisperdrop_dispatcher.measuring import Count
from whisperdrop_dispatcher.settings import FleetSettings, SweepSettings

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


def build_count(settings: SweepSettings) -> Count:
    """What counts queues and workers for monitoring."""
    sqs = sqs_client()
    urls = {
        "interactive": settings.interactive_queue_url,
        "bulk": settings.bulk_queue_url,
        "notify": settings.notify_queue_url,
    }
    return Count(
        S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket),
        {name: SqsQueueMeter(sqs, url) for name, url in urls.items() if url is not None},
        utc_now,
    )


def build_dispatcher(settings: FleetSettings) -> Dispatcher | None:
    """What starts workers; None where there is no fleet to start them in."""
    configure(logger, settings)
    if settings.fleet_cluster is None:
        return None
    store = S3ObjectStore(s3_client(addressing_style=settings.s3_addressing_style), settings.bucket)
    sqs = sqs_client()
    queues: dict[QueueName, QueueMeter] = {}
    if settings.fleet_queues != "bulk":
        queues["interactive"] = SqsQueueMeter(sqs, settings.interactive_queue_url)
    if settings.fleet_queues != "interactive":
        queues["bulk"] = SqsQueueMeter(sqs, settings.bulk_queue_url)
    return Dispatcher(
        store,
        BacklogMeter(store, queues),
        EcsTaskRunner(
            ecs_client(),
            cluster=settings.fleet_cluster,
            task_definition=settings.fleet_task_definition,
            subnets=settings.fleet_subnets,
            security_groups=settings.fleet_security_groups,
        ),
        providers=settings.fleet_capacity_providers,
        policy=FleetPolicy(
            limit=settings.fleet_max_workers,
            speed=settings.fleet_worker_speed,
            target_s=settings.fleet_target_seconds,
            start_s=settings.fleet_start_seconds,
        ),
        clock=utc_now,
    )


def log_dispatch(report: DispatchReport) -> None:
    """Counts, and a line where something was started, or should have been."""
    if report.skipped:
        return
    measuring.dispatched(report)
    fields = {
        "reason": report.reason,
        "backlog_audio_s": round(report.backlog.audio_s),
        "jobs": report.backlog.jobs,
        "wanted": report.wanted,
        "running": report.workers.running,
        "starting": report.workers.starting,
        "draining": report.workers.draining,
        "late": report.workers.late,
        "started": report.started,
    }
    if report.failures:
        logger.warning("fleet_start_failed", extra=fields | {"failures": report.failures})
    elif report.started or report.wanted:
        logger.info("fleet", extra=fields)
    else:
        logger.debug("fleet", extra=fields)


def log_notifications(report: NotificationReport) -> None:
    """Counts, and one line a pass that found anything to tell."""
    measuring.swept_notifications(report)
    if report.seen:
        fields = {"due": report.seen, "sent": report.sent, "tidied": report.tidied}
        logger.info("notifications", extra=fields)
    if report.damaged:
        logger.error("damaged_documents", extra={"keys": report.damaged})


def log(report: SweepReport) -> None:
    """Counts; a line for the pass, and one for each job, with the id of its request."""
    measuring.swept(report)
    fields: dict[str, Any] = {
        "pending": report.seen,
        "requeued": report.requeued,
        "expired": report.expired,
        "cancelled": report.cancelled,
        "finished": report.finished,
        "dropped": report.dropped,
        "deleted": report.deleted,
    }
    logger.info("sweep", extra=fields)
    for done in ("requeued", "expired", "cancelled", "finished"):
        for job_id in fields[done]:
            about = {"job_id": job_id, "correlation_id": report.correlation_ids.get(job_id)}
            logger.info("job_swept", extra=about | {"done": done})
    if report.damaged:
        logger.error("damaged_documents", extra={"keys": report.damaged})
