"""Ends a family of processes when their parent is gone, however it went.

The parent holds the write end of this process's standard input and writes the id of each child,
one a line. When the kernel closes the pipe, by the parent's exit, crash or SIGKILL, every child's
process group is asked to stop, and killed if it does not. Works wherever POSIX does, unlike
PR_SET_PDEATHSIG.
"""

import os
import signal
import subprocess
import sys
import time

GRACE_S = 5.0


class Guardian:
    """The parent's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle
        )

    def watch(self, pid: int) -> None:
        """End the process group of ``pid`` when this process is gone."""
        pipe = self._process.stdin
        if pipe is None:  # cannot be: it was opened with PIPE
            raise RuntimeError("the guardian has no pipe")
        pipe.write(f"{pid}\n")
        pipe.flush()

    def dismiss(self) -> None:
        """The children have been stopped in order: nothing is left to guard."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def _signal(groups: set[int], number: signal.Signals) -> set[int]:
    """Send ``number`` to each group; those that are still there."""
    alive = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            continue
        alive.add(group)
    return alive


def main() -> None:
    """Wait for the end of the parent."""
    groups = {int(line) for line in sys.stdin}
    groups = _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = {group for group in groups if _exists(group)}
    _signal(groups, signal.SIGKILL)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
