"""``python -m whisperdrop_dispatcher``: the sweep as a process that repeats itself."""

import argparse
import signal
import threading

from whisperdrop.errors import StoreError
from whisperdrop_dispatcher.composition import (
    build,
    build_notification_sweep,
    log,
    log_notifications,
    logger,
)
from whisperdrop_dispatcher.settings import SweepSettings


def main() -> None:
    """Sweep until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="whisperdrop_dispatcher", description=__doc__)
    parser.add_argument(
        "--queues-are-new",
        action="store_true",
        help="the queues have just been made: in the first pass queue every job that waits",
    )
    queues_lost = parser.parse_args().queues_are_new
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = SweepSettings()
    sweep = build(settings)
    notifications = build_notification_sweep(settings)
    while not stop.is_set():
        try:
            log(sweep.run(queues_lost=queues_lost))
            if notifications is not None:
                log_notifications(notifications.run(queues_lost=queues_lost))
            queues_lost = False
        except StoreError as error:
            logger.warning("sweep_failed", extra={"error": str(error)})
        stop.wait(settings.sweep_interval_seconds)


if __name__ == "__main__":
    main()
