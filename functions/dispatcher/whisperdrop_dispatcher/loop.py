"""The passes as a process that repeats them."""

import argparse
import signal
import threading
import time

from whisperdrop.errors import StoreError
from whisperdrop.observability.catalogue import SWEEP_FAILURES, SWEEP_SECONDS
from whisperdrop.observability.metrics import record
from whisperdrop.observability.serving import offer_metrics
from whisperdrop.pulse import SILENCE_S, Pulse
from whisperdrop.service.dispatch import Dispatcher
from whisperdrop_dispatcher.composition import (
    build,
    build_count,
    build_dispatcher,
    build_notification_sweep,
    log,
    log_dispatch,
    log_notifications,
    logger,
)
from whisperdrop_dispatcher.settings import FleetSettings


def add_once(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``once``: for an operator, and where a scheduler of your own starts it."""
    once = verbs.add_parser("once", help="one pass of everything, then exit")
    once.set_defaults(run=lambda options: serve(options, once=True))


def serve(options: argparse.Namespace, *, once: bool = False) -> int:
    """Until SIGTERM or SIGINT, or ``once``; 1 when that pass failed."""
    queues_lost: bool = options.queues_are_new
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = FleetSettings()
    port = None if once else offer_metrics("dispatcher", settings)
    sweep = build(settings)
    notifications = build_notification_sweep(settings)
    dispatcher = build_dispatcher(settings)
    count = None if port is None else build_count(settings)
    if port is not None:
        logger.info("metrics_served", extra={"metrics_port": port})
    pulse = Pulse(settings.pulse_file, silence_s=SILENCE_S + 2 * settings.sweep_interval_seconds)
    while not stop.is_set():
        began, failed = time.monotonic(), False
        try:
            log(sweep.run(queues_lost=queues_lost))
            if notifications is not None:
                log_notifications(notifications.run(queues_lost=queues_lost))
            queues_lost = False
            record(SWEEP_SECONDS, time.monotonic() - began)
        except StoreError as error:
            logger.warning("sweep_failed", extra={"error": str(error)})
            record(SWEEP_FAILURES)
            failed = True
        if count is not None:
            count()
        pulse.beat()
        next_sweep = began + settings.sweep_interval_seconds
        failed = (
            not _dispatch_until(0 if once else next_sweep, stop, dispatcher, settings) or failed
        )
        if once:
            return int(failed)
    return 0


def _dispatch_until(
    end: float, stop: threading.Event, dispatcher: Dispatcher | None, settings: FleetSettings
) -> bool:
    """Look who is missing every so often, once at least; whether the last look succeeded."""
    while True:
        done = True
        try:
            if dispatcher is not None:
                log_dispatch(dispatcher.wake())
        except StoreError as error:
            done = False
            logger.warning("dispatch_failed", extra={"error": str(error)})
        left_s = end - time.monotonic()
        wait_s = left_s if dispatcher is None else min(left_s, settings.fleet_interval_seconds)
        if left_s <= 0 or stop.wait(wait_s):
            return done
