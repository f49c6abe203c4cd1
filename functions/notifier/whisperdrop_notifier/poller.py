"""The SQS poller: what becomes of a message about ends of jobs. The loop around it is the core's.

Deliveries wait on the network nearly all of their time: threads are what they need.
"""

import threading

from whisperdrop.domain.events import MalformedEventError
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, Message
from whisperdrop.service.delivery import BeingDeliveredError, Notifier
from whisperdrop.service.receiving import Lane, Receiving
from whisperdrop_notifier.notices import handle

logger = Logger(service="notifier")

_RECEIVERS = 2
"""One goes on asking while the other hands a message over."""

_FIRST_RETRY_S = 5


class Poller:
    """Takes a message while there is room, and handles each in a thread of its own."""

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
        self._visibility_s = visibility_s
        self._clock = clock
        self._receiving = Receiving(
            [Lane("notify", queue, slots, _RECEIVERS)],
            lambda queue, message, stop: self._process(message),  # noqa: ARG005 - each is short
            wait_s=receive_wait_s,
            visibility_s=visibility_s,
            logger=logger,
        )

    def run(self, stop: threading.Event, shutdown_s: float) -> bool:
        """Work until ``stop`` is set; whether everything had ended ``shutdown_s`` later."""
        return self._receiving.run(stop, shutdown_s)

    def handle(self, message: Message, *, stop: threading.Event) -> None:
        """Handle one message and acknowledge it, or leave it for another try."""
        self._receiving.handle(self._queue, message, stop=stop)

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
