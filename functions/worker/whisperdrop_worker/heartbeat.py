"""The sign of life of a running job: renews its lease and its message, publishes its progress."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from whisperdrop.domain.job import Progress
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger, in_context
from whisperdrop.service.leases import HeldLease, LeaseLostError
from whisperdrop_worker.eta import Eta

logger = Logger(service="worker")


class InterruptedJobError(Exception):
    """The process was asked to stop: hand the job back."""


class JobCancelledError(Exception):
    """The job's owner asked for its end: stop working on it."""


class Heartbeat:
    """Runs beside a job, in a thread of its own, from entering the context to leaving it.

    The job calls :meth:`report` as it goes, and learns there that it must stop.
    """

    def __init__(
        self,
        held: HeldLease,
        *,
        keep_message: Callable[[], None],
        cancel_requested: Callable[[], bool],
        stop: threading.Event,
        lease_s: float,
        progress_s: float,
        cancel_poll_s: float,
    ) -> None:
        self._held = held
        self._keep_message = keep_message
        self._cancel_requested = cancel_requested
        self._stop = stop
        self._renew_every = lease_s / 3
        self._publish_every = progress_s
        self._look_every = cancel_poll_s
        self._tick = min(progress_s, cancel_poll_s, self._renew_every)
        self._progress = Progress()
        self._eta = Eta()
        self._reported = threading.Lock()
        self._lost: LeaseLostError | None = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=in_context(self._run), name="heartbeat", daemon=True)

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

    @property
    def progress(self) -> Progress:
        """How far the job is, as far as is known here."""
        return self._progress

    @property
    def cancelled(self) -> bool:
        """Whether the end of the job was asked for.

        Certain once the context is left: a marker that was there when it was entered has been seen.
        """
        return self._cancelled.is_set()

    def report(self, progress: Progress) -> None:
        """Note progress, which never goes back.

        Raises LeaseLostError, JobCancelledError, InterruptedJobError.
        """
        if self._lost is not None:
            raise self._lost
        if self._cancelled.is_set():
            raise JobCancelledError
        if self._stop.is_set():
            raise InterruptedJobError
        with self._reported:
            self._progress = progress.after(self._progress)
            if self._progress.stage == "transcribing":
                self._eta.note(time.monotonic(), self._progress.done_s, self._progress.total_s)

    def _run(self) -> None:
        # The first look comes at once: the marker may have been written since the job was taken.
        look_at = renewed = published_at = time.monotonic()
        published = Progress()
        while True:
            now = time.monotonic()
            renew = now - renewed >= self._renew_every
            progress = self._progress
            if renew or (progress != published and now - published_at >= self._publish_every):
                try:
                    self._held.renew(self._with_eta(progress))
                    published, published_at = progress, now
                    if renew:
                        self._keep_message()
                        renewed = now
                except LeaseLostError as lost:
                    self._lost = lost
                    return
                except StoreError as error:
                    # The lease may last until the next tick; renew() says so when it has not.
                    self._warn("heartbeat_failed", error)
            if now >= look_at and not self._cancelled.is_set():
                look_at = now + self._look_every
                self._look()
            if self._ended.wait(self._tick):
                return

    def _look(self) -> None:
        try:
            if self._cancel_requested():
                self._cancelled.set()
        except StoreError as error:
            self._warn("cancel_not_seen", error)  # the next look may

    def _with_eta(self, progress: Progress) -> Progress:
        with self._reported:
            left = self._eta.left(time.monotonic())
        return progress.model_copy(update={"eta_s": None if left is None else round(left, 1)})

    def _warn(self, message: str, error: StoreError) -> None:
        logger.warning(message, extra={"job_id": self._held.ref.job_id, "error": str(error)})
