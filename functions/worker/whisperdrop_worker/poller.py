"""The SQS poller: keeps a number of jobs in flight, interactive ones first."""

import threading
import time

from whisperdrop.domain.events import MalformedEventError, parse_event
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, Message
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop_worker.heartbeat import InterruptedJobError
from whisperdrop_worker.processor import AttemptFailedError, JobProcessor

logger = Logger(service="worker")

_FIRST_RETRY_S = 5
_MAX_QUEUE_BACKOFF_S = 30.0


class Poller:
    """Slots are threads, each with at most one job; one slot takes interactive jobs only.

    The processor computes in C++ and waits on the network, both without the interpreter's lock.
    """

    def __init__(
        self,
        processor: JobProcessor,
        interactive: JobQueue,
        bulk: JobQueue,
        *,
        bucket: str,
        slots: int,
        receive_wait_s: int,
        visibility_s: int,
        clock: Clock,
    ) -> None:
        self._processor = processor
        self._interactive = interactive
        self._bulk = bulk
        self._bucket = bucket
        self._slots = slots
        self._wait_s = receive_wait_s
        self._visibility_s = visibility_s
        self._clock = clock
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """Jobs in flight."""
        return self._busy

    def run(self, stop: threading.Event, shutdown_s: float) -> bool:
        """Work until ``stop`` is set; whether every slot had ended ``shutdown_s`` later."""
        slots = [
            threading.Thread(
                target=self._slot,
                args=(stop, self._turns(number)),
                name=f"slot-{number}",
                daemon=True,
            )
            for number in range(self._slots)
        ]
        for slot in slots:
            slot.start()
        stop.wait()
        deadline = time.monotonic() + shutdown_s
        for slot in slots:
            slot.join(max(0.0, deadline - time.monotonic()))
        return not any(slot.is_alive() for slot in slots)

    def _slot(self, stop: threading.Event, turns: list[tuple[JobQueue, int]]) -> None:
        failures = 0
        while not stop.is_set():
            try:
                received = self._receive(turns)
                failures = 0
                if received:
                    self.handle(*received, stop=stop)
            except StoreError as error:
                failures += 1
                logger.warning("queue_failed", extra={"error": str(error), "failures": failures})
                stop.wait(min(_MAX_QUEUE_BACKOFF_S, 2.0**failures / 2))

    def _turns(self, number: int) -> list[tuple[JobQueue, int]]:
        """Queues in the order in which a slot asks them, with seconds to wait for each.

        Half of the idle slots wait for interactive jobs: the more are waiting, the sooner one of
        them is answered. They come back to the bulk queue every second.
        """
        if self._slots > 1 and number == 0:
            return [(self._interactive, self._wait_s)]
        if self._slots == 1:
            return [(self._interactive, 0), (self._bulk, 1)]
        if number % 2:
            return [(self._interactive, 0), (self._bulk, self._wait_s)]
        return [(self._interactive, 0), (self._bulk, 0), (self._interactive, min(1, self._wait_s))]

    def _receive(self, turns: list[tuple[JobQueue, int]]) -> tuple[JobQueue, Message] | None:
        for queue, wait_s in turns:
            message = queue.receive(wait_s=wait_s, visibility_s=self._visibility_s)
            if message:
                return queue, message
        return None

    def handle(self, queue: JobQueue, message: Message, *, stop: threading.Event) -> None:
        """Process one message and acknowledge it, or leave it for another try."""
        with self._lock:
            self._busy += 1
        try:
            retry_in_s = self._process(queue, message, stop)
        finally:
            with self._lock:
                self._busy -= 1
        if retry_in_s is None:
            queue.delete(message)
        else:
            queue.extend(message, retry_in_s)

    def _process(self, queue: JobQueue, message: Message, stop: threading.Event) -> int | None:
        """Seconds until the message should come again; None to acknowledge it."""
        try:
            for work in parse_event(message.body, bucket=self._bucket):
                self._processor.process(
                    work,
                    keep_message=lambda: queue.extend(message, self._visibility_s),
                    stop=stop,
                )
        except MalformedEventError as error:
            # After its last receive the queue moves it to the dead letters, where a person looks.
            logger.error("malformed_event", extra={"error": str(error)})  # noqa: TRY400 - no bug
            return 0
        except LeaseBusyError as busy:
            # First delivery: a duplicate, and the owner's own message is out there. Later ones: the
            # owner may be dead, so come back when its lease has run out.
            if message.receives == 1:
                return None
            remaining = (busy.lease.expires_at - self._clock()).total_seconds()
            return max(1, int(remaining) + 1)
        except InterruptedJobError:
            return 0
        except (AttemptFailedError, StoreError):
            return min(self._visibility_s, _FIRST_RETRY_S << (message.receives - 1))
        return None
