"""How often requests that wait look at the store: seldom enough that looking slows nobody down."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_SHORTEST_S = 0.025
_LONGEST_S = 1.0
_SHARE = 0.02  # the answer comes at most 2 % later than it could, at 120 requests per tenfold time
_LATEST = 16  # waits that are remembered
_SOONEST = 0.8  # of the shortest of them: what comes sooner than ever is noticed before long


class Looks:
    """Shared by all requests that wait in one process.

    Each look costs the process, and a store on the same machine, a few milliseconds of processor
    time. So all together look as often as one alone may: what waits beside others waits for the
    worker most of the time, and seldom less than anybody did lately.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._waits_s = deque[float](maxlen=_LATEST)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One request more that waits."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def came(self, waited_s: float) -> None:
        """One has waited for ``waited_s`` and got what it waited for."""
        self._waits_s.append(waited_s)

    def pause_s(self, waited_s: float) -> float:
        """Seconds until the next look of one that has waited for ``waited_s``."""
        pause_s = max(_SHORTEST_S * self._waiting, waited_s * _SHARE)
        if self._waiting > 1 and self._waits_s:
            pause_s = max(pause_s, min(self._waits_s) * _SOONEST - waited_s)
        return min(_LONGEST_S, pause_s)
