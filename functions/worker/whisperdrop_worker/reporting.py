"""What a running worker says of itself, and what it says before it goes."""

import threading
from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.job import WorkerReport
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock
from whisperdrop.service.documents import dump
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.warmth import warm_until
from whisperdrop_worker.composition import Worker
from whisperdrop_worker.poller import Poller

logger = Logger(service="worker")

REPORT_SECONDS = 20


class Reporter:
    """Writes ``workers/{worker}.json`` every so often, and when the worker drains."""

    def __init__(self, worker: Worker, poller: Poller, *, task: str | None, clock: Clock) -> None:
        """``task`` is what the fleet calls this process."""
        self._worker = worker
        self._poller = poller
        self._task = task
        self._clock = clock
        self._id = worker.settings.worker_id
        self._draining = False
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Report until ``stop`` is set, and take the report away."""
        while True:
            try:
                self._write()
            except StoreError as error:
                logger.warning("report_failed", extra={"error": str(error)})
            if stop.wait(REPORT_SECONDS):
                break
        if self._draining and self._task is not None:
            # The fleet may list the task for a while: the report says not to count on it.
            return
        try:
            self._worker.store.delete(keys.worker(self._id))
        except StoreError as error:
            logger.warning("report_failed", extra={"error": str(error)})

    def announce(self, *, draining: bool) -> None:
        """Say at once that this worker drains, or that it goes on. Raises StoreError."""
        before, self._draining = self._draining, draining
        try:
            self._write()
        except StoreError:
            self._draining = before
            raise

    def may_leave(self) -> bool:
        """Whether nobody wants a worker ready, or another one is there to stay.

        Of several that are idle, the one whose name comes first stays.
        """
        now = self._clock()
        try:
            if warm_until(self._worker.store, now) is None:
                return True
            return any(self._stays_instead(worker) for worker in self._others(now))
        except StoreError as error:
            logger.warning("warmth_unknown", extra={"error": str(error)})
            return True

    def _others(self, now: datetime) -> tuple[WorkerReport, ...]:
        return Fleet(self._worker.store, clock=lambda: now).workers()

    def _stays_instead(self, worker: WorkerReport) -> bool:
        return not worker.draining and worker.worker_id < self._id

    def _write(self) -> None:
        with self._lock:  # a report that was begun before the announcement must not end after it
            report = WorkerReport(
                worker_id=self._id,
                models=self._worker.engine.loaded(),
                jobs=self._poller.busy,
                seen_at=self._clock(),
                done_s=round(self._worker.processor.done_s, 1),
                draining=self._draining,
                task=self._task,
            )
            self._worker.store.put(keys.worker(self._id), dump(report), "application/json")
