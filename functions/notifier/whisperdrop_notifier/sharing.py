"""Shares a process's deliveries, so that slow targets hold up nobody but themselves.

What finds no room is sent back to the queue to come again when its turn may be: each further one
for the same crowded tenant or host stays away a little longer. So a thousand jobs for a dead target
are no thousand threads, and no message goes round and round.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST_S = 300.0
"""Well below the time after which the sweep takes a message for lost."""

_SHORTEST_S = 1.0
_GUESS_S = 2.0
"""How long a delivery lasts, while nothing is known of a target."""

_SMOOTHING = 0.3
_REMEMBERED = 10_000


@dataclass
class _Crowd:
    """Deliveries of one tenant, or of one tenant to one host."""

    limit: int
    inside: int = 0
    usual_s: float = _GUESS_S
    next_turn: float = 0.0

    @property
    def full(self) -> bool:
        return self.inside >= self.limit

    def turn(self, now: float) -> float:
        """When the next one outside may try, in the clock of ``now``."""
        pace_s = max(_SHORTEST_S, self.usual_s) / self.limit
        self.next_turn = max(now + _SHORTEST_S, self.next_turn + pace_s)
        return self.next_turn


class FairShare:
    """The gate of a notifier; safe to share among threads."""

    def __init__(
        self, *, per_tenant: int, per_host: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_tenant = per_tenant
        self._per_host = per_host
        self._monotonic = monotonic
        self._crowds: dict[tuple[str, ...], _Crowd] = {}
        self._lock = threading.Lock()

    def enter(self, tenant: str, host: str) -> float | None:
        """Take room for one delivery; None when it is there, else seconds to stay away."""
        now = self._monotonic()
        with self._lock:
            crowds = self._of(tenant, host)
            if full := [crowd for crowd in crowds if crowd.full]:
                return min(_LONGEST_S, max(crowd.turn(now) for crowd in full) - now)
            for crowd in crowds:
                crowd.inside += 1
            return None

    def leave(self, tenant: str, host: str, seconds: float) -> None:
        """Give the room back after ``seconds``."""
        with self._lock:
            for crowd in self._of(tenant, host):
                crowd.inside -= 1
                crowd.usual_s += _SMOOTHING * (seconds - crowd.usual_s)
            if len(self._crowds) > _REMEMBERED:
                self._crowds = {key: c for key, c in self._crowds.items() if c.inside}

    def _of(self, tenant: str, host: str) -> tuple[_Crowd, _Crowd]:
        return (
            self._crowds.setdefault((tenant,), _Crowd(self._per_tenant)),
            self._crowds.setdefault((tenant, host), _Crowd(self._per_host)),
        )
