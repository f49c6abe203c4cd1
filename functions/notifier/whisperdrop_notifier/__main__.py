"""``python -m whisperdrop_notifier serve``: delivers what the queue announces until SIGTERM."""

import argparse
import math
import os
import signal
import sys
import threading

from whisperdrop.observability.serving import offer_metrics
from whisperdrop.service.clock import utc_now
from whisperdrop_notifier.composition import build, logger
from whisperdrop_notifier.poller import Poller
from whisperdrop_notifier.settings import NotifierSettings


def main() -> int:
    """Deliver until SIGTERM or SIGINT; the exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_notifier", description=__doc__)
    parser.add_argument("verb", choices=["serve"])
    parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = NotifierSettings()
    metrics_port = offer_metrics("notifier", settings)
    process = build(settings)
    poller = Poller(
        process.notifier,
        process.queue,
        bucket=settings.bucket,
        slots=settings.notify_slots,
        receive_wait_s=settings.receive_wait_seconds,
        visibility_s=math.ceil(settings.notify_lease_seconds),
        clock=utc_now,
    )
    logger.info(
        "notifier_ready",
        extra={"slots": settings.notify_slots, "metrics_port": metrics_port},
    )
    all_ended = poller.run(stop, settings.shutdown_seconds)
    logger.info("notifier_stopped", extra={"all_deliveries_ended": all_ended})
    if not all_ended:  # a claim runs out, and another notifier takes the delivery
        sys.stdout.flush()
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
