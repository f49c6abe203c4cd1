"""How much longer a job will take, from how fast it has been. Pure: times are passed in.

The speed is that of this attempt's own work: the first report says where it began, so neither
loading nor what an earlier attempt had done counts. Work comes in steps, as windows and batches
end, so between two steps the estimate counts down by what the worker may have done since.
"""

_MEMORY_S = 300.0
"""The speed is that of the last minutes: other jobs come and go."""

_AT_ONCE_S = 0.05
"""Reports so close to the first belong to the same moment: a batch ends as many windows at once,
and the time that those took was before the first report."""

_LEAST_S = 1.0
"""Work of less time than this says nothing about the speed."""


class Eta:
    """Fed with the reports of one attempt, in order. Not thread-safe."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._at = 0.0
        self._done_s = 0.0
        self._total_s: float | None = None
        # Sums over the past that fade: their quotient is the speed, newer work counting for more.
        self._work_s = 0.0
        self._wall_s = 0.0
        self._step_s = 0.0

    def note(self, at: float, done_s: float, total_s: float | None) -> None:
        """At the monotonic time ``at``, ``done_s`` of ``total_s`` seconds of audio were done."""
        self._total_s = total_s
        if self._began is None:
            self._began = at
            self._at, self._done_s = at, done_s
        elapsed, step_s, wall_s = at - self._began, done_s - self._done_s, at - self._at
        if step_s <= 0:
            return
        self._at, self._done_s = at, done_s
        if elapsed < _AT_ONCE_S:
            return
        # Until the memory is full, a moment counts for the more the later it was.
        kept = max(0.0, 1 - wall_s / min(elapsed, _MEMORY_S))
        self._work_s = self._work_s * kept + step_s
        self._wall_s = self._wall_s * kept + wall_s
        self._step_s = max(self._step_s, step_s)

    def left(self, now: float) -> float | None:
        """Wall seconds from ``now`` until the end; None while nobody can tell."""
        if self._total_s is None or self._wall_s < _LEAST_S:
            return None
        speed = self._work_s / self._wall_s
        # A worker that is silent for longer than its longest step has not gone on all that time.
        since_s = min((now - self._at) * speed, self._step_s)
        return max(0.0, self._total_s - self._done_s - since_s) / speed
