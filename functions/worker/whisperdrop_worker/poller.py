"""The SQS poller: what becomes of a message about jobs. The loop around it is the core's."""

import threading

from whisperdrop.domain.events import MalformedEventError, parse_event
from whisperdrop.errors import StoreError
from whisperdrop.observability import Logger
from whisperdrop.ports import Clock, JobQueue, Message
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop.service.receiving import Lane, Leaving, Receiving
from whisperdrop_worker.heartbeat import InterruptedJobError
from whisperdrop_worker.processor import AttemptFailedError, JobProcessor

logger = Logger(service="worker")

_FIRST_RETRY_S = 5

_INTERACTIVE_RECEIVERS = 2
"""Somebody waits for these jobs. Two long polls find a message sooner where a queue looks for one
only now and then, as emulators do, and one goes on asking while the other hands a job over."""


class Poller:
    """Interactive and bulk jobs have slots of their own, so that neither waits for the other's.

    More jobs are held than the model works on at once: the engine shares it among them. A job
    computes in C++ and waits on the network, both without the interpreter's lock.
    """

    def __init__(
        self,
        processor: JobProcessor,
        interactive: JobQueue | None,
        bulk: JobQueue | None,
        *,
        bucket: str,
        interactive_slots: int,
        bulk_slots: int,
        receive_wait_s: int,
        visibility_s: int,
        clock: Clock,
    ) -> None:
        """A queue that is None is left to other workers."""
        self._processor = processor
        self._bucket = bucket
        self._visibility_s = visibility_s
        self._clock = clock
        lanes = []
        if interactive is not None:
            lanes.append(
                Lane("interactive", interactive, interactive_slots, _INTERACTIVE_RECEIVERS)
            )
        if bulk is not None:
            lanes.append(Lane("bulk", bulk, bulk_slots))
        self._lanes = [lane.name for lane in lanes]
        self._receiving = Receiving(
            lanes, self._process, wait_s=receive_wait_s, visibility_s=visibility_s, logger=logger
        )

    @property
    def busy(self) -> int:
        """Jobs in flight."""
        return self._receiving.busy

    def held(self) -> dict[str, int]:
        """Jobs in flight, by queue."""
        return {name: self._receiving.held(name) for name in self._lanes}

    def run(
        self,
        stop: threading.Event,
        shutdown_s: float,
        *,
        idle_exit_s: float | None = None,
        leaving: Leaving | None = None,
    ) -> bool:
        """Work until ``stop`` is set, or nothing came for ``idle_exit_s``; see ``Receiving``."""
        return self._receiving.run(stop, shutdown_s, idle_exit_s=idle_exit_s, leaving=leaving)

    def handle(self, queue: JobQueue, message: Message, *, stop: threading.Event) -> None:
        """Process one message and acknowledge it, or leave it for another try."""
        self._receiving.handle(queue, message, stop=stop)

    def _process(self, queue: JobQueue, message: Message, stop: threading.Event) -> int | None:
        """Seconds until the message should come again; None to acknowledge it."""
        try:
            for work in parse_event(message.body, bucket=self._bucket):
                self._processor.process(
                    work,
                    keep_message=lambda: queue.extend(message, self._visibility_s),
                    stop=stop,
                    sent_at=message.sent_at,
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
