"""How often requests that wait look at the store: seldom enough that looking slows nobody down."""

from collections.abc import Iterator
from contextlib import contextmanager

_SHORTEST_S = 0.025
_LONGEST_S = 1.0
_SHARE = 0.02  # the answer comes at most 2 % later than it could, at 120 requests per tenfold time


class Looks:
    """Shared by all requests that wait in one process.

    Each look costs the process, and a store on the same machine, a few milliseconds of processor
    time. So all together look as often as one alone may: what waits beside others waits for the
    worker most of the time.
    """

    def __init__(self) -> None:
        self._waiting = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One request more that waits."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def pause_s(self, waited_s: float) -> float:
        """Seconds until the next look of one that has waited for ``waited_s``."""
        return min(_LONGEST_S, max(_SHORTEST_S * self._waiting, waited_s * _SHARE))
