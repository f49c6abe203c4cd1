"""When a delivery is tried again, and when it is given up."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 6 * 3600.0
"""A target that asks for more time than this is asked again all the same."""

_JITTER = 0.1
"""Of each wait: jobs that failed together do not all come back together."""

_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class RetrySchedule:
    """Seconds between a failed attempt and the next one; after the last of them, none."""

    waits_s: tuple[float, ...]

    def next_at(
        self, tries: int, now: datetime, *, retry_after_s: float | None, chance: float
    ) -> datetime | None:
        """When to try again after the ``tries``-th failure, from 1; None to give up.

        The target's own ``Retry-After`` can make it later, not sooner. ``chance`` is 0 to 1.
        """
        if tries > len(self.waits_s):
            return None
        wait_s = self.waits_s[tries - 1] * (1 + _JITTER * chance)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
        return now + timedelta(seconds=wait_s)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date, or None."""
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError):
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())
