"""The sweep of what is to be told: due, and no message in the queue for it.

Short waits are the queue's: a message that is hidden until then. Longer ones than a queue can keep,
and messages that were lost, are found here, under ``notifications/``: the earliest first, up to
what is not due yet.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.ports import Clock, JobQueue, ObjectInfo, ObjectStore
from whisperdrop.service.documents import DamagedDocumentError
from whisperdrop.service.notifications import QUEUE_REACH_S, exists, hint, look, put_marker

_REACH = timedelta(seconds=QUEUE_REACH_S)
_SETTLED_AFTER = timedelta(seconds=60)
"""Markers are written before the documents that name them: younger ones are left alone."""


@dataclass
class NotificationReport:
    """What one pass did; job ids."""

    seen: int = 0
    sent: list[str] = field(default_factory=list)
    """A notifier was woken for them."""
    tidied: list[str] = field(default_factory=list)
    """Their marker was out of date."""
    damaged: list[str] = field(default_factory=list)


class NotificationSweep:
    """One pass over ``notifications/``. Several may run at once; every step can be repeated."""

    def __init__(
        self, store: ObjectStore, queue: JobQueue, *, requeue_after_s: float, clock: Clock
    ) -> None:
        self._store = store
        self._queue = queue
        self._requeue_after = timedelta(seconds=requeue_after_s)
        self._clock = clock

    def run(self, *, queues_lost: bool = False) -> NotificationReport:
        """One pass. ``queues_lost`` also sends what a message was waiting for in the queue."""
        report = NotificationReport()
        now = self._clock()
        horizon = now + _REACH if queues_lost else now
        for info in self._store.list(keys.NOTIFICATIONS):
            parsed = keys.parse_notification_key(info.key)
            if parsed is None:
                continue
            due, ref = parsed
            if due > horizon:
                break
            report.seen += 1
            try:
                if queues_lost or now >= self._patience(info, due):
                    self._wake(ref, due, info, now, report)
            except DamagedDocumentError as damaged:  # one bad document stops no other
                report.damaged.append(damaged.key)
        return report

    def _patience(self, info: ObjectInfo, due: datetime) -> datetime:
        """When a marker without an end means that its message is lost.

        A marker that was written long before its time never had a message: the queue could not
        have kept it.
        """
        if info.modified + _REACH < due:
            return due
        return max(due, info.modified) + self._requeue_after

    def _wake(
        self,
        ref: JobRef,
        due: datetime,
        info: ObjectInfo,
        now: datetime,
        report: NotificationReport,
    ) -> None:
        outcome = exists(self._store, ref)
        if outcome is None:  # its job was deleted
            self._store.delete(info.key)
            report.tidied.append(ref.job_id)
            return
        document = look(self._store, outcome).document
        if not document.waiting or document.next_at != due:
            if now - info.modified < _SETTLED_AFTER:
                return
            if document.waiting:
                put_marker(self._store, ref, document.next_at)
            self._store.delete(info.key)
            report.tidied.append(ref.job_id)
            return
        if document.held(now):  # by one that is alive, or whose claim runs out before the next pass
            return
        hint(self._queue, ref, max(0.0, (due - now).total_seconds()))
        # The time of its last change says when it was last queued. One whose notification has just
        # been concluded leaves this marker behind; a later pass removes it.
        put_marker(self._store, ref, due)
        report.sent.append(ref.job_id)
