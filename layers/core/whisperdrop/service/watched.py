"""A queue whose user leaves a sign of life whenever he has heard from it."""

from whisperdrop.ports import JobQueue, Message
from whisperdrop.pulse import Pulse


class WatchedQueue:
    """``queue``, with a beat of ``pulse`` after every answer of it, an error too.

    A poller that waits for work hears from its queue with every long poll; one that is full of work
    renews its messages. Whoever does neither is stuck.
    """

    def __init__(self, queue: JobQueue, pulse: Pulse) -> None:
        self._queue = queue
        self._pulse = pulse

    def send(self, body: str, *, delay_s: int = 0) -> None:
        self._queue.send(body, delay_s=delay_s)

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        try:
            return self._queue.receive(wait_s=wait_s, visibility_s=visibility_s)
        finally:
            self._pulse.beat()

    def delete(self, message: Message) -> None:
        self._queue.delete(message)
        self._pulse.beat()

    def extend(self, message: Message, visibility_s: int) -> None:
        try:
            self._queue.extend(message, visibility_s)
        finally:
            self._pulse.beat()
