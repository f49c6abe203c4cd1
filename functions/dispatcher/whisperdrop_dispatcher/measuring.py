"""What is seen of the passes from outside: numbers of what they found, and what waits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from whisperdrop.domain import keys
from whisperdrop.domain.backlog import load_of
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.observability.catalogue import (
    BACKLOG_AUDIO,
    FLEET_WORKERS,
    QUEUE_MESSAGES,
    SWEEP_DAMAGED,
    SWEEP_DELETED,
    SWEEP_EXPIRED,
    SWEEP_LOST_DROPS,
    SWEEP_NOTIFICATIONS,
    SWEEP_PENDING,
    SWEEP_REQUEUED,
)
from whisperdrop.observability.metrics import record
from whisperdrop.ports import Clock, ObjectStore, QueueDepth, QueueMeter
from whisperdrop.service.dispatch import DispatchReport
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.notification_sweep import NotificationReport
from whisperdrop.service.sweep import SweepReport

logger = Logger(service="dispatcher")


def swept(report: SweepReport) -> None:
    """A pass over jobs."""
    record(SWEEP_PENDING, report.seen)
    record(SWEEP_REQUEUED, len(report.requeued))
    record(SWEEP_EXPIRED, len(report.expired))
    record(SWEEP_LOST_DROPS, len(report.dropped))
    record(SWEEP_DELETED, len(report.deleted))
    record(SWEEP_DAMAGED, len(report.damaged), of="jobs")


def swept_notifications(report: NotificationReport) -> None:
    """A pass over what is to be told."""
    record(SWEEP_NOTIFICATIONS, len(report.sent))
    record(SWEEP_DAMAGED, len(report.damaged), of="notifications")


def fleet(workers: Mapping[str, int]) -> None:
    """Who is there: ``wanted``, ``starting``, ``running``."""
    for state, count in workers.items():
        record(FLEET_WORKERS, count, state=state)


def backlog(audio_s: float) -> None:
    """What waits."""
    record(BACKLOG_AUDIO, audio_s)


def queue(name: str, depth: QueueDepth) -> None:
    """Messages of a queue, and of its dead letters where those can be counted."""
    record(QUEUE_MESSAGES, depth.visible, queue=name, state="visible")
    record(QUEUE_MESSAGES, depth.in_flight, queue=name, state="in_flight")
    if depth.dead is not None:
        record(QUEUE_MESSAGES, depth.dead, queue=name, state="dead")


def dispatched(report: DispatchReport) -> None:
    """A look of the dispatcher of workers."""
    backlog(report.backlog.audio_s)
    workers = report.workers
    fleet({"wanted": report.wanted, "running": workers.running, "starting": workers.starting})
    for name, depth in report.depths.items():
        queue(name, depth)


class Count:
    """Counts what waits and who is there, where nobody else does: beside a sweep that is a process.

    Each call is a handful of small requests. What does not answer is left as it was, and logged.
    """

    def __init__(self, store: ObjectStore, meters: Mapping[str, QueueMeter], clock: Clock) -> None:
        """``meters`` by the names of their queues."""
        self._store = store
        self._meters = meters
        self._workers = Fleet(store, clock=clock)

    def __call__(self) -> None:
        """Count once."""
        for name, meter in self._meters.items():
            with _unless_away(f"the {name} queue"):
                queue(name, meter.depth())
        with _unless_away("the workers"):
            fleet({"running": len(self._workers.workers())})
        with _unless_away("the backlog"):
            loads = (load_of(info.size) for info in self._store.list(keys.PENDING))
            backlog(sum(load.audio_s for load in loads if load is not None))


@contextmanager
def _unless_away(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        logger.warning("not_counted", extra={"what": what, "error": str(error)})
