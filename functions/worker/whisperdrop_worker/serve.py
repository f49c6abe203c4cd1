"""The poller as a process: starts, reports what it has loaded, stops when told to."""

import os
import signal
import sys
import threading
from types import FrameType

from whisperdrop.domain import keys
from whisperdrop.domain.job import WorkerReport
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.service.clock import utc_now
from whisperdrop.service.documents import dump
from whisperdrop_worker.composition import Worker, build
from whisperdrop_worker.poller import Poller
from whisperdrop_worker.settings import WorkerSettings

logger = Logger(service="worker")

REPORT_SECONDS = 20


def serve(settings: WorkerSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signature
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    worker = build(settings)
    worker.engine.preload(settings.whisper_models)
    poller = worker.poller()
    reporter = threading.Thread(
        target=_report_until, args=(worker, poller, stop), name="report", daemon=True
    )
    reporter.start()
    logger.info(
        "worker_ready",
        extra={
            "models": worker.engine.loaded(),
            "interactive_slots": settings.interactive_slots,
            "bulk_slots": settings.bulk_slots,
        },
    )
    all_ended = poller.run(stop, settings.shutdown_seconds)
    reporter.join()
    worker.decoder.close()
    logger.info("worker_stopped", extra={"all_jobs_handed_back": all_ended})
    if not all_ended:
        # A job is deep inside a model call; its lease runs out and another worker takes the job.
        sys.stdout.flush()
        os._exit(1)
    worker.engine.close()
    return 0


def _report_until(worker: Worker, poller: Poller, stop: threading.Event) -> None:
    key = keys.worker(worker.settings.worker_id)
    while True:
        report = WorkerReport(
            worker_id=worker.settings.worker_id,
            models=worker.engine.loaded(),
            jobs=poller.busy,
            seen_at=utc_now(),
        )
        try:
            worker.store.put(key, dump(report), "application/json")
        except StoreError as error:
            logger.warning("report_failed", extra={"error": str(error)})
        if stop.wait(REPORT_SECONDS):
            break
    try:
        worker.store.delete(key)
    except StoreError as error:
        logger.warning("report_failed", extra={"error": str(error)})
