"""Child processes of the stack: started in groups of their own, logged, restarted, stopped."""

import os
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from whisperdrop_local.guardian import Guardian

_RESTARTS = 5
_RESTART_WINDOW_S = 60.0
_STOP_S = 8.0


class ChildDiedError(Exception):
    """A process of the stack ended that must not; the message has the end of its log."""


@dataclass
class Child:
    """One process and how to start it again."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    guardian: Guardian
    restart: bool = True
    process: subprocess.Popen[bytes] | None = None
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=_RESTARTS))

    def start(self) -> None:
        """Start it; its output goes to the end of its log."""
        self._starts.append(time.monotonic())
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.guardian.watch(self.process.pid)

    @property
    def pid(self) -> int:
        """Process id of the running process."""
        if self.process is None:
            raise ChildDiedError(f"{self.name} was not started")
        return self.process.pid

    def check(self) -> bool:
        """Start it again if it died; whether it had. Raises ChildDiedError when that is no use."""
        if self.process is None or self.process.poll() is None:
            return False
        status = self.process.returncode
        recent = [start for start in self._starts if time.monotonic() - start < _RESTART_WINDOW_S]
        if not self.restart or len(recent) >= _RESTARTS:
            raise ChildDiedError(
                f"{self.name} ended with status {status}; the end of {self.log}:\n{self.tail()}"
            )
        self.start()
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop; :meth:`wait` for it afterwards."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def wait(self) -> None:
        """Wait for its end; kill what does not end in time."""
        if self.process is None:
            return
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
