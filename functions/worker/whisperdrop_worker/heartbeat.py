"""The sign of life of a running job: renews its lease and its message, publishes its progress."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from whisperdrop.domain.job import Progress
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.service.leases import HeldLease, LeaseLostError

logger = Logger(service="worker")


class InterruptedJobError(Exception):
    """The process was asked to stop: hand the job back."""


class Heartbeat:
    """Runs beside a job, in a thread of its own, from entering the context to leaving it.

    The job calls :meth:`report` as it goes, and learns there that it must stop.
    """

    def __init__(
        self,
        held: HeldLease,
        *,
        keep_message: Callable[[], None],
        stop: threading.Event,
        lease_s: float,
        progress_s: float,
    ) -> None:
        self._held = held
        self._keep_message = keep_message
        self._stop = stop
        self._renew_every = lease_s / 3
        self._tick = min(progress_s, self._renew_every)
        self._progress = Progress()
        self._published = self._progress
        self._lost: LeaseLostError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def report(self, progress: Progress) -> None:
        """Note progress, which never goes back. Raises LeaseLostError, InterruptedJobError."""
        if self._lost is not None:
            raise self._lost
        if self._stop.is_set():
            raise InterruptedJobError
        if progress.stage != self._progress.stage or progress.done_s >= self._progress.done_s:
            self._progress = progress

    def _run(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(self._tick):
            due = time.monotonic() - renewed >= self._renew_every
            if not due and self._progress == self._published:
                continue
            try:
                progress = self._progress
                self._held.renew(progress)
                self._published = progress
                if due:
                    self._keep_message()
                    renewed = time.monotonic()
            except LeaseLostError as lost:
                self._lost = lost
                return
            except StoreError as error:
                # The lease may last until the next tick; renew() says so when it has not.
                logger.warning(
                    "heartbeat_failed", extra={"job_id": self._held.ref.job_id, "error": str(error)}
                )
