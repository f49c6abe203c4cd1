"""When a worker that has nothing to do may go, without leaving a message behind.

Whoever counts workers looks at what waits first, then at the workers; one that drains does not
count. A worker that is about to go says so first, and then looks at each of its queues once more.
So one of them sees the other: a message that came before the count was taken is found by the last
look of a worker that counted, and one that came later finds the worker gone from the count.
"""

from collections.abc import Iterable


class Drain:
    """The rule alone; times are seconds of any clock that does not go back. Not thread-safe."""

    def __init__(self, idle_s: float, queues: Iterable[str], now: float) -> None:
        self._idle_s = idle_s
        self._queues = frozenset(queues)
        self._touched_at = now
        self._round = 0
        self._unseen: set[str] | None = None

    def idle_at(self) -> float:
        """From when on it may say that it drains, if nothing comes."""
        return self._touched_at + self._idle_s

    def touch(self, now: float) -> None:
        """A message came, a job ended, or somebody wants it to stay: it drains no longer."""
        self._touched_at = now
        self._unseen = None

    def say(self, now: float) -> bool:
        """It has just told everybody; False when something came meanwhile: it must take it back."""
        if now < self.idle_at():
            return False
        self._round += 1
        self._unseen = set(self._queues)
        return True

    @property
    def draining(self) -> bool:
        """Whether it has said so, and nothing has come since."""
        return self._unseen is not None

    def look(self) -> int:
        """A look at a queue begins."""
        return self._round

    def saw_nothing(self, queue: str, look: int) -> None:
        """``look`` found ``queue`` empty; one that began before the word was given says nothing."""
        if self._unseen is not None and look == self._round:
            self._unseen.discard(queue)

    @property
    def done(self) -> bool:
        """It said so, and every queue was empty afterwards: it may go."""
        return self._unseen is not None and not self._unseen
