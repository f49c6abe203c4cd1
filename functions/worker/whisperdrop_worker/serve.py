"""The poller as a process: starts, reports what it has loaded, stops when told to or when idle."""

import os
import signal
import sys
import threading
from types import FrameType

from whisperdrop.observability import Logger
from whisperdrop.observability.catalogue import (
    AUDIO_SECONDS,
    ENGINE_SECONDS,
    GPU_MEMORY,
    JOBS_IN_PROGRESS,
    MODELS_LOADED,
)
from whisperdrop.observability.metrics import record, watch
from whisperdrop.observability.serving import offer_metrics
from whisperdrop.service.clock import utc_now
from whisperdrop_worker.composition import Worker, build
from whisperdrop_worker.ecs_task import own_task
from whisperdrop_worker.gpu import memory_reader
from whisperdrop_worker.poller import Poller
from whisperdrop_worker.reporting import Reporter
from whisperdrop_worker.settings import WorkerSettings

logger = Logger(service="worker")


def serve(settings: WorkerSettings) -> int:
    """Run until SIGTERM or SIGINT, or nothing came for too long; the exit status."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signature
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    metrics_port = offer_metrics("worker", settings)
    worker = build(settings)
    worker.engine.preload(settings.whisper_models)
    poller = worker.poller()
    _watch(worker, poller)
    reporter = Reporter(worker, poller, task=own_task(), clock=utc_now)
    reporting = threading.Thread(target=reporter.run, args=(stop,), name="report", daemon=True)
    reporting.start()
    logger.info(
        "worker_ready",
        extra={
            "models": worker.engine.loaded(),
            "interactive_slots": settings.interactive_slots,
            "bulk_slots": settings.bulk_slots,
            "metrics_port": metrics_port,
        },
    )
    all_ended = poller.run(
        stop,
        settings.shutdown_seconds,
        idle_exit_s=settings.idle_exit_seconds,
        leaving=reporter,
    )
    reporting.join()
    worker.decoder.close()
    logger.info("worker_stopped", extra={"all_jobs_handed_back": all_ended})
    if not all_ended:
        # A job is deep inside a model call; its lease runs out and another worker takes the job.
        sys.stdout.flush()
        os._exit(1)
    worker.engine.close()
    return 0


def _watch(worker: Worker, poller: Poller) -> None:
    """What is read when somebody looks; what is counted begins at 0, so that rates are right."""
    for model in worker.settings.whisper_models:
        record(AUDIO_SECONDS, 0, model=model)
        record(ENGINE_SECONDS, 0, model=model)
    watch(JOBS_IN_PROGRESS, lambda: {(queue,): held for queue, held in poller.held().items()})
    watch(MODELS_LOADED, lambda: {(): len(worker.engine.loaded())})
    if (read_gpus := memory_reader()) is not None:
        watch(GPU_MEMORY, read_gpus)
