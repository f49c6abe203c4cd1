"""Where measurements are kept, and how a run speaks while it lasts."""

import os
import sys
from pathlib import Path

WORKSPACE = Path(".local") / "bench"
AUDIO = WORKSPACE / "audio"
CACHE = WORKSPACE / "cache"


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def say(what: str) -> None:
    """A line for whoever waits; results go to standard output, this does not."""
    print(what, file=sys.stderr, flush=True)
