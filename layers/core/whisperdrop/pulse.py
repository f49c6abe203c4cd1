"""A sign of life for whoever restarts what is stuck: a file that is touched as a loop goes round.

A process that serves HTTP is asked there. One that polls queues touches the file named by
PULSE_FILE, and ``python -m whisperdrop.pulse`` asks how long ago that was. The check is a process
of its own every half a minute, so it imports nothing of ours.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

VARIABLE = "PULSE_FILE"

SILENCE_S = 180.0
"""What no healthy poller is silent for: an idle one hears from a queue every 20 s at the least."""


class Pulse:
    """Touches a file, at most once a second. Safe to use from several threads."""

    def __init__(self, file: Path | None, *, silence_s: float = SILENCE_S) -> None:
        """``silence_s`` without a beat are too long; without a ``file`` nobody asks."""
        self._file = file
        self._silence_s = silence_s
        self._beaten: float | None = None

    def beat(self) -> None:
        """The process gets on."""
        now = time.monotonic()
        if self._file is None or (self._beaten is not None and now - self._beaten < 1):
            return
        # Where the file cannot be written, the check says so; the work goes on.
        with contextlib.suppress(OSError):
            if self._beaten is None:
                self._file.write_text(f"{self._silence_s:.0f}")
            self._file.touch()
            self._beaten = now


def main(arguments: list[str]) -> int:
    """0 after a sign of life in time, else 1. An argument is the seconds that count instead."""
    file = os.environ.get(VARIABLE)
    if not file:
        print(f"{VARIABLE} names no file, so there is no sign of life to look for")
        return 1
    try:
        silence_s = float(arguments[0] if arguments else Path(file).read_text())
        age_s = time.time() - Path(file).stat().st_mtime
    except (OSError, ValueError):
        print("no sign of life yet")
        return 1
    print(f"the last sign of life was {age_s:.0f} s ago, {silence_s:.0f} s are too long")
    return int(age_s > silence_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
