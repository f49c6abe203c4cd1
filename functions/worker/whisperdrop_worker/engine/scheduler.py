"""Who is next at the models: windows of many jobs, a few calls in flight.

Interactive jobs go first; within one priority the job that has had the least is next (start-time
fair queueing, Goyal, Vin and Cheng 1996: a newcomer starts level with those that are there). So a
clip never waits for a long recording, and eight long recordings share evenly, whatever models they
use. Where bulk jobs have all the calls, one more is there for interactive ones: the processor's
threads or the device's streams share what there is, which costs a clip less than the end of a call.

A batch is filled with whatever waits and fits, and is never waited for: while every call is in
flight, windows gather; on an idle machine the first one starts at once.
"""

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self
from weakref import WeakKeyDictionary

from whisperdrop.errors import TryAgainError
from whisperdrop.observability.catalogue import BATCH_SIZE, MODEL_CALLS
from whisperdrop.observability.metrics import record
from whisperdrop_worker.engine.interface import Priority
from whisperdrop_worker.engine.recognizer import Answer, Ask, Prompt

_logger = logging.getLogger(__name__)

Conversation = Generator[Ask, Answer, object]
"""What a job wants of the model: asks one thing after the other, and returns what comes of it."""


class Model(Protocol):
    """What answers; ``Recognizer`` is the real one."""

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of ``asks``."""
        ...

    def prompt_length(self, prompt: Prompt) -> int:
        """Tokens of the prompt; CTranslate2 wants the same number in all rows."""
        ...


_NEWS = 0.2  # weight of the latest call in what one expects of the next


@dataclass(eq=False)
class _Task:
    """A conversation that waits for its next answer."""

    lane: "Lane"
    conversation: Conversation
    ask: Ask
    group: tuple[object, ...]


class Lane:
    """One job's place at its model. Leave the context, and what still waits is dropped."""

    def __init__(self, scheduler: "Scheduler", model: Model, priority: Priority) -> None:
        self._scheduler = scheduler
        self.model = model
        self.priority = priority
        self.busy_s = 0.0
        """Seconds of calls into the model so far; of a batch, this job's share."""
        self.unfinished = 0
        """Conversations that were submitted and not taken."""
        self.virtual_s = 0.0
        self.waiting: deque[_Task] = deque()
        self.ended: deque[object] = deque()
        self.closed = False
        self.changed = threading.Condition(scheduler.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scheduler.leave(self)

    def submit(self, conversation: Conversation) -> None:
        """Begin ``conversation`` when its turn comes."""
        self.unfinished += 1
        self._scheduler.advance(self, conversation, None)

    def take(self, timeout_s: float) -> object:
        """What a conversation returned, in the order in which they end; None after ``timeout_s``.

        Raises what the conversation or its model raised.
        """
        with self.changed:
            if not self.ended:
                self.changed.wait(timeout_s)
            if not self.ended:
                return None
            result = self.ended.popleft()
        self.unfinished -= 1
        if isinstance(result, Exception):
            raise result
        return result


class Scheduler:
    """Threads that carry batches to the models. Safe to use from several threads."""

    def __init__(
        self,
        *,
        calls: int,
        max_batch: int,
        call_s: float = 2.5,
        bulk_call_s: float = 6.0,
        call_audio_s: float = math.inf,
    ) -> None:
        """At most ``calls`` calls into models at a time, of at most ``max_batch`` windows each, and
        one more for interactive jobs while bulk jobs have some of them.

        Where it is up to the size of a batch, a call for interactive jobs lasts no longer than
        ``call_s`` seconds, because the next ones have to wait for it, and one for bulk jobs no
        longer than ``bulk_call_s``. It carries no more than ``call_audio_s`` seconds of encoded
        audio, which are lost when the process is killed.
        """
        self.lock = threading.Lock()
        self.calls = calls
        self.max_batch = max_batch
        self._work = threading.Condition(self.lock)
        self._lanes: list[Lane] = []
        self._clock = dict.fromkeys(Priority, 0.0)
        self._running = dict.fromkeys(Priority, 0)
        self._call_s = {Priority.INTERACTIVE: call_s, Priority.BULK: bulk_call_s}
        self._call_audio_s = call_audio_s
        self._pace = WeakKeyDictionary[Model, float]()  # seconds for one of audio, smoothed
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"model-call-{number}", daemon=True)
            for number in range(calls + 1)
        ]
        for thread in self._threads:
            thread.start()

    def open(self, model: Model, priority: Priority) -> Lane:
        """A place for one job."""
        return Lane(self, model, priority)

    def close(self) -> None:
        """End the threads after the calls in flight; jobs that still wait are told so."""
        with self._work:
            self._closed = True
            self._work.notify_all()
            for lane in self._lanes:
                lane.ended.append(_closed())
                lane.changed.notify()
        for thread in self._threads:
            thread.join()

    def advance(self, lane: Lane, conversation: Conversation, answer: Answer | None) -> None:
        """Give ``conversation`` its answer, and queue what it asks next."""
        try:
            ask = next(conversation) if answer is None else conversation.send(answer)
            group = (id(lane.model), lane.model.prompt_length(ask.prompt), *ask.group)
        except StopIteration as stop:
            self._end(lane, stop.value)
            return
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the job
            self._end(lane, error)
            return
        task = _Task(lane, conversation, ask, group)
        with self._work:
            if lane.closed:
                return
            if self._closed:
                lane.ended.append(_closed())
                lane.changed.notify()
                return
            if not lane.waiting:
                lane.virtual_s = max(lane.virtual_s, self._clock[lane.priority])
                self._lanes.append(lane)
            # What goes on comes before what is new: it was waited for longer.
            if answer is None:
                lane.waiting.append(task)
            else:
                lane.waiting.appendleft(task)
            self._work.notify()

    def leave(self, lane: Lane) -> None:
        """Drop what ``lane`` still waits for."""
        with self._work:
            lane.closed = True
            dropped = list(lane.waiting)
            if dropped:
                lane.waiting.clear()
                self._lanes.remove(lane)
        for task in dropped:
            task.conversation.close()

    def _end(self, lane: Lane, result: object) -> None:
        with lane.changed:
            lane.ended.append(result)
            lane.changed.notify()

    def _serve(self) -> None:
        while (batch := self._next_batch()) is not None:
            started = time.perf_counter()
            answers = self._run([task.ask for task in batch], batch[0].lane.model)
            seconds = time.perf_counter() - started
            with self.lock:
                self._running[batch[0].lane.priority] -= 1
            record(BATCH_SIZE, len(batch))
            record(MODEL_CALLS, seconds)
            share = seconds / len(batch)
            self._learn(batch[0].lane.model, share / batch[0].ask.encoded_s)
            for task, answer in zip(batch, answers, strict=True):
                task.lane.busy_s += share
                if isinstance(answer, Answer):
                    self.advance(task.lane, task.conversation, answer)
                else:
                    with closing(task.conversation):
                        self._end(task.lane, answer)

    def _learn(self, model: Model, pace: float) -> None:
        with self.lock:
            known = self._pace.get(model, pace)
            self._pace[model] = known + _NEWS * (pace - known)

    def _next_batch(self) -> list[_Task] | None:
        with self._work:
            while (lane := self._next_lane()) is None and not self._closed:
                self._work.wait()
            if self._closed or lane is None:
                return None
            batch = [self._pop(lane, lane.waiting[0])]
            limit = self._rows(lane, batch[0].ask.encoded_s)
            while len(batch) < limit and (more := self._like(batch[0])) is not None:
                batch.append(self._pop(more.lane, more))
            self._running[lane.priority] += 1
            return batch

    def _next_lane(self) -> Lane | None:
        """The job whose turn it is, if it may call now."""
        lane = min(self._lanes, key=_turn, default=None)
        running = sum(self._running.values())
        if lane is None or running < self.calls:
            return lane
        # One call more, and only while it is bulk jobs that an interactive one would wait for.
        room = running == self.calls and self._running[Priority.BULK]
        return lane if room and lane.priority is Priority.INTERACTIVE else None

    def _rows(self, lane: Lane, encoded_s: float) -> int:
        """Rows of the next batch of windows that are encoded as ``encoded_s`` seconds."""
        pace = self._pace.get(lane.model)
        if pace is None:  # the first call measures
            return 1
        audio_s = min(self._call_s[lane.priority] / pace, self._call_audio_s)
        return max(1, min(self.max_batch, int(audio_s / encoded_s)))

    def _like(self, first: _Task) -> _Task | None:
        """The next task that may share a batch with ``first``."""
        for lane in sorted(self._lanes, key=_turn):
            if lane.priority is first.lane.priority:
                for task in lane.waiting:
                    if task.group == first.group:
                        return task
        return None

    def _pop(self, lane: Lane, task: _Task) -> _Task:
        lane.waiting.remove(task)
        self._clock[lane.priority] = max(self._clock[lane.priority], lane.virtual_s)
        lane.virtual_s += task.ask.encoded_s
        if not lane.waiting:
            self._lanes.remove(lane)
        return task

    def _run(self, asks: Sequence[Ask], model: Model) -> Sequence[Answer | Exception]:
        try:
            return model.run(asks)
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the job
            if len(asks) == 1:
                return [error]
            if "memory" in str(error).lower():
                # The device says what it can carry; nobody else knows.
                self.max_batch = max(1, len(asks) // 2)
                _logger.warning("out of memory: batches of at most %d from now", self.max_batch)
                parts = [asks[: len(asks) // 2], asks[len(asks) // 2 :]]
            else:
                # One row may have spoiled it for all.
                parts = [[ask] for ask in asks]
            return list(itertools.chain.from_iterable(self._run(part, model) for part in parts))


def _turn(lane: Lane) -> tuple[Priority, float]:
    """Who is next: the smallest."""
    return (lane.priority, lane.virtual_s)


def _closed() -> TryAgainError:
    return TryAgainError("the worker is being stopped")
