"""The receive loop of every poller: takes a message while there is room, works on each in a thread.

What a process cannot hold stays in its queue, where another one finds it. A process that may go
when it is idle does so by the rule of ``domain/draining.py``.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from whisperdrop.domain.draining import Drain
from whisperdrop.errors import StoreError
from whisperdrop.ports import JobQueue, Message

_MAX_QUEUE_BACKOFF_S = 30.0

_GLANCE_S = 0.5
"""How often a process that waits for its own end looks whether somebody else has asked for it."""

Handler = Callable[[JobQueue, Message, threading.Event], int | None]
"""Handles a message; seconds until it should come again, or None to acknowledge it. The event is
set when the process was asked to stop."""


@dataclass(frozen=True)
class Lane:
    """A queue with room for so many of its messages at a time, and threads that wait for them."""

    name: str
    queue: JobQueue
    slots: int
    receivers: int = 1


class EventLog(Protocol):
    """As much of a logger as the loop needs."""

    def info(self, msg: str) -> None:
        """A fact."""
        ...

    def warning(self, msg: str, *, extra: dict[str, object]) -> None:
        """Something failed that is tried again."""
        ...

    def exception(self, msg: str) -> None:
        """A bug, with its traceback."""
        ...


class Leaving(Protocol):
    """What goes with the end of an idle process."""

    def may_leave(self) -> bool:
        """Whether nobody wants this process to stay although it has nothing to do."""
        ...

    def announce(self, *, draining: bool) -> None:
        """Tell whoever counts workers. Raises StoreError when nobody could be told."""
        ...


class _Slots:
    """Room for so many messages of one lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._free = threading.Semaphore(lane.slots)

    def take(self) -> None:
        """Wait until there is room, and take it."""
        self._free.acquire()

    def give_back(self) -> None:
        """What was taken is free again."""
        self._free.release()

    def wake(self) -> None:
        """Let everybody go on who waits for room; the slots are of no use afterwards."""
        self._free.release(self.lane.slots + self.lane.receivers)


class Receiving:
    """Lanes have slots of their own, so that messages of none wait for another's."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        handle: Handler,
        *,
        wait_s: int,
        visibility_s: int,
        logger: EventLog,
    ) -> None:
        """``wait_s`` is how long a look at an empty queue lasts."""
        self._slots = [_Slots(lane) for lane in lanes]
        self._handle = handle
        self._wait_s = wait_s
        self._visibility_s = visibility_s
        self._logger = logger
        self._working: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._drain: Drain | None = None

    @property
    def busy(self) -> int:
        """Messages in flight."""
        return len(self._working)

    def held(self, lane: str) -> int:
        """Messages of ``lane`` in flight."""
        return sum(thread.name == _thread_name(lane) for thread in list(self._working))

    def run(
        self,
        stop: threading.Event,
        shutdown_s: float,
        *,
        idle_exit_s: float | None = None,
        leaving: Leaving | None = None,
    ) -> bool:
        """Work until ``stop`` is set; whether everything had ended ``shutdown_s`` later.

        With ``idle_exit_s``, it sets ``stop`` itself when nothing came for so long.
        """
        if leaving is not None and idle_exit_s is not None:
            names = [slots.lane.name for slots in self._slots]
            self._drain = Drain(idle_exit_s, names, time.monotonic())
        receivers = [
            threading.Thread(
                target=self._receive, args=(slots, stop), name=f"receive-{slots.lane.name}"
            )
            for slots in self._slots
            for _ in range(slots.lane.receivers)
        ]
        for receiver in receivers:
            receiver.daemon = True
            receiver.start()
        if leaving is not None and self._drain is not None:
            self._until_idle(stop, self._drain, leaving)
        stop.wait()
        deadline = time.monotonic() + shutdown_s
        for slots in self._slots:
            slots.wake()
        _join(receivers, deadline)
        with self._changed:
            working = list(self._working)
        _join(working, deadline)
        return not any(thread.is_alive() for thread in (*receivers, *working))

    def _receive(self, slots: _Slots, stop: threading.Event) -> None:
        """Long-poll one queue whenever there is room for a message of it."""
        failures = 0
        while True:
            slots.take()
            if stop.is_set():
                return
            message, looked = None, False
            with self._changed:
                look = self._drain.look() if self._drain else 0
            try:
                message = slots.lane.queue.receive(
                    wait_s=self._wait_s, visibility_s=self._visibility_s
                )
                failures, looked = 0, True
            except StoreError as error:
                failures += 1
                self._warn("queue_failed", error, failures)
                stop.wait(min(_MAX_QUEUE_BACKOFF_S, 2.0**failures / 2))
            if message is not None:
                self._hand_over(slots, message, stop)
                continue
            if looked and self._drain is not None:
                with self._changed:
                    self._drain.saw_nothing(slots.lane.name, look)
                    self._changed.notify_all()
            slots.give_back()

    def _hand_over(self, slots: _Slots, message: Message, stop: threading.Event) -> None:
        thread = threading.Thread(
            target=self._work, args=(slots, message, stop), name=_thread_name(slots.lane.name)
        )
        thread.daemon = True
        with self._changed:
            self._touch()
            self._working.add(thread)
            thread.start()

    def _work(self, slots: _Slots, message: Message, stop: threading.Event) -> None:
        try:
            self.handle(slots.lane.queue, message, stop=stop)
        except StoreError as error:  # what was not acknowledged comes again, and finds its outcome
            self._warn("queue_failed", error, 1)
        except Exception:
            # It comes again until its receives are used up.
            self._logger.exception("message_failed")
        finally:
            with self._changed:
                self._working.discard(threading.current_thread())
                self._touch()
            slots.give_back()

    def handle(self, queue: JobQueue, message: Message, *, stop: threading.Event) -> None:
        """Handle one message and acknowledge it, or leave it for another try."""
        # One that arrives while we stop goes back before anything is done for it.
        retry_in_s = 0 if stop.is_set() else self._handle(queue, message, stop)
        if retry_in_s is None:
            queue.delete(message)
        else:
            queue.extend(message, retry_in_s)

    def _touch(self) -> None:
        """Under the lock: something came, or something ended."""
        if self._drain is not None:
            self._drain.touch(time.monotonic())
            self._changed.notify_all()

    def _until_idle(self, stop: threading.Event, drain: Drain, leaving: Leaving) -> None:
        """Until ``stop`` is set, by somebody else or because nothing came for long enough."""
        while not stop.is_set():
            with self._changed:
                left_s = drain.idle_at() - time.monotonic()
                busy = bool(self._working)
            if busy or left_s > 0:
                stop.wait(max(left_s, _GLANCE_S) if busy else left_s)
                continue
            if not self._say(drain, leaving):
                continue
            with self._changed:
                while drain.draining and not drain.done and not stop.is_set():
                    self._changed.wait(_GLANCE_S)
                left = drain.done
            if left:
                self._logger.info("idle_exit")
                stop.set()
            elif not stop.is_set():
                self._tell(leaving, draining=False)

    def _say(self, drain: Drain, leaving: Leaving) -> bool:
        """Whether everybody knows now that this process drains."""
        said = leaving.may_leave() and self._tell(leaving, draining=True)
        with self._changed:
            if said and not self._working and drain.say(time.monotonic()):
                return True
            drain.touch(time.monotonic())
        if said:
            self._tell(leaving, draining=False)
        return False

    def _tell(self, leaving: Leaving, *, draining: bool) -> bool:
        try:
            leaving.announce(draining=draining)
        except StoreError as error:
            self._warn("report_failed", error, 1)
            return False
        return True

    def _warn(self, what: str, error: StoreError, failures: int) -> None:
        self._logger.warning(what, extra={"error": str(error), "failures": failures})


def _thread_name(lane: str) -> str:
    return f"work-{lane}"


def _join(threads: list[threading.Thread], deadline: float) -> None:
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
