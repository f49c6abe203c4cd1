"""The SQS poller: takes messages while there is room, and works on each in a thread of its own."""

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

_INTERACTIVE_RECEIVERS = 2
"""Somebody waits for these jobs. Two long polls find a message sooner where a queue looks for one
only now and then, as emulators do, and one goes on asking while the other hands a job over."""

_BULK_RECEIVERS = 1


class _Slots:
    """Room for so many jobs of one queue."""

    def __init__(self, queue: JobQueue, count: int) -> None:
        self.queue = queue
        self._count = count
        self._free = threading.Semaphore(count)

    def take(self) -> None:
        """Wait until there is room, and take it."""
        self._free.acquire()

    def give_back(self) -> None:
        """What was taken is free again."""
        self._free.release()

    def wake(self) -> None:
        """Let everybody go on who waits for room; the slots are of no use afterwards."""
        self._free.release(self._count + _INTERACTIVE_RECEIVERS + _BULK_RECEIVERS)


class Poller:
    """Interactive and bulk jobs have slots of their own, so that neither waits for the other's.

    More jobs are held than the model works on at once: the engine shares it among them. A job
    computes in C++ and waits on the network, both without the interpreter's lock.
    """

    def __init__(
        self,
        processor: JobProcessor,
        interactive: JobQueue,
        bulk: JobQueue,
        *,
        bucket: str,
        interactive_slots: int,
        bulk_slots: int,
        receive_wait_s: int,
        visibility_s: int,
        clock: Clock,
    ) -> None:
        self._processor = processor
        self._interactive = _Slots(interactive, interactive_slots)
        self._bulk = _Slots(bulk, bulk_slots)
        self._bucket = bucket
        self._wait_s = receive_wait_s
        self._visibility_s = visibility_s
        self._clock = clock
        self._jobs: set[threading.Thread] = set()
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """Jobs in flight."""
        return len(self._jobs)

    def run(self, stop: threading.Event, shutdown_s: float) -> bool:
        """Work until ``stop`` is set; whether everything had ended ``shutdown_s`` later."""
        receivers = [
            threading.Thread(target=self._receive, args=(slots, stop), name=name, daemon=True)
            for slots, name, count in (
                (self._interactive, "receive-interactive", _INTERACTIVE_RECEIVERS),
                (self._bulk, "receive-bulk", _BULK_RECEIVERS),
            )
            for _ in range(count)
        ]
        for receiver in receivers:
            receiver.start()
        stop.wait()
        deadline = time.monotonic() + shutdown_s
        for slots in (self._interactive, self._bulk):
            slots.wake()
        _join(receivers, deadline)
        with self._lock:
            jobs = list(self._jobs)
        _join(jobs, deadline)
        return not any(thread.is_alive() for thread in (*receivers, *jobs))

    def _receive(self, slots: _Slots, stop: threading.Event) -> None:
        """Long-poll one queue whenever there is room for a job of it."""
        failures = 0
        while True:
            slots.take()
            if stop.is_set():
                return
            message = None
            try:
                message = slots.queue.receive(wait_s=self._wait_s, visibility_s=self._visibility_s)
                failures = 0
            except StoreError as error:
                failures += 1
                logger.warning("queue_failed", extra={"error": str(error), "failures": failures})
                stop.wait(min(_MAX_QUEUE_BACKOFF_S, 2.0**failures / 2))
            if message is None:
                slots.give_back()
            else:
                self._hand_over(slots, message, stop)

    def _hand_over(self, slots: _Slots, message: Message, stop: threading.Event) -> None:
        job = threading.Thread(
            target=self._work, args=(slots, message, stop), name="job", daemon=True
        )
        with self._lock:
            self._jobs.add(job)
            job.start()

    def _work(self, slots: _Slots, message: Message, stop: threading.Event) -> None:
        try:
            self.handle(slots.queue, message, stop=stop)
        except StoreError as error:  # what was not acknowledged comes again, and finds its outcome
            logger.warning("queue_failed", extra={"error": str(error), "failures": 1})
        except Exception:
            logger.exception("message_failed")  # it comes again until its receives are used up
        finally:
            with self._lock:
                self._jobs.discard(threading.current_thread())
            slots.give_back()

    def handle(self, queue: JobQueue, message: Message, *, stop: threading.Event) -> None:
        """Process one message and acknowledge it, or leave it for another try."""
        # One that arrives while we stop goes back before anything is done for it.
        retry_in_s = 0 if stop.is_set() else self._process(queue, message, stop)
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


def _join(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
