"""The SQS poller: takes a message while there is room, and handles each in a thread of its own."""

import threading
import time

from whisperdrop.domain.events import MalformedEventError
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, Message
from whisperdrop.service.delivery import BeingDeliveredError, Notifier
from whisperdrop_notifier.notices import handle

logger = Logger(service="notifier")

_RECEIVERS = 2
"""One goes on asking while the other hands a message over."""

_MAX_QUEUE_BACKOFF_S = 30.0
_FIRST_RETRY_S = 5


class Poller:
    """Deliveries wait on the network nearly all of their time: threads are what they need."""

    def __init__(
        self,
        notifier: Notifier,
        queue: JobQueue,
        *,
        bucket: str,
        slots: int,
        receive_wait_s: int,
        visibility_s: int,
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._queue = queue
        self._bucket = bucket
        self._free = threading.Semaphore(slots)
        self._slots = slots
        self._wait_s = receive_wait_s
        self._visibility_s = visibility_s
        self._clock = clock
        self._working: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def run(self, stop: threading.Event, shutdown_s: float) -> bool:
        """Work until ``stop`` is set; whether everything had ended ``shutdown_s`` later."""
        receivers = [
            threading.Thread(target=self._receive, args=(stop,), name="receive", daemon=True)
            for _ in range(_RECEIVERS)
        ]
        for receiver in receivers:
            receiver.start()
        stop.wait()
        deadline = time.monotonic() + shutdown_s
        self._free.release(self._slots + _RECEIVERS)  # whoever waits for room goes on, and leaves
        _join(receivers, deadline)
        with self._lock:
            working = list(self._working)
        _join(working, deadline)
        return not any(thread.is_alive() for thread in (*receivers, *working))

    def _receive(self, stop: threading.Event) -> None:
        failures = 0
        while True:
            self._free.acquire()
            if stop.is_set():
                return
            message = None
            try:
                message = self._queue.receive(wait_s=self._wait_s, visibility_s=self._visibility_s)
                failures = 0
            except StoreError as error:
                failures += 1
                logger.warning("queue_failed", extra={"error": str(error), "failures": failures})
                stop.wait(min(_MAX_QUEUE_BACKOFF_S, 2.0**failures / 2))
            if message is None:
                self._free.release()
                continue
            thread = threading.Thread(
                target=self._work, args=(message, stop), name="deliver", daemon=True
            )
            with self._lock:
                self._working.add(thread)
                thread.start()

    def _work(self, message: Message, stop: threading.Event) -> None:
        try:
            self.handle(message, stop=stop)
        except StoreError as error:  # what was not acknowledged comes again
            logger.warning("queue_failed", extra={"error": str(error), "failures": 1})
        except Exception:
            logger.exception("message_failed")  # it comes again until its receives are used up
        finally:
            with self._lock:
                self._working.discard(threading.current_thread())
            self._free.release()

    def handle(self, message: Message, *, stop: threading.Event) -> None:
        """Handle one message and acknowledge it, or leave it for another try."""
        retry_in_s = 0 if stop.is_set() else self._process(message)
        if retry_in_s is None:
            self._queue.delete(message)
        else:
            self._queue.extend(message, retry_in_s)

    def _process(self, message: Message) -> int | None:
        """Seconds until the message should come again; None to acknowledge it."""
        try:
            handle(self._notifier, message.body, bucket=self._bucket, receives=message.receives)
        except MalformedEventError as error:
            # After its last receive the queue moves it to the dead letters, where a person looks.
            logger.error("malformed_event", extra={"error": str(error)})  # noqa: TRY400 - no bug
            return 0
        except BeingDeliveredError as busy:
            left_s = (busy.expires_at - self._clock()).total_seconds()
            return max(1, int(left_s) + 1)
        except StoreError as error:
            logger.warning("store_failed", extra={"error": str(error)})
            return min(self._visibility_s, _FIRST_RETRY_S << (message.receives - 1))
        return None


def _join(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
