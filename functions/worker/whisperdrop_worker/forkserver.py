"""A helper process that has imported what every job needs, and forks once for each of them.

Importing the media library takes a tenth of a second; forking a process that has already done so
takes a millisecond. ``multiprocessing`` has a fork server too. This one differs where hostile
input makes it matter:

- it starts by exec with an environment of its own, so that no credential is in its memory;
- it runs in its own session: Ctrl-C or a SIGTERM for the worker's process group reaches the
  worker, which finishes or hands back its jobs, and not the decoders under it;
- a child never imports the program's main module again, and nothing is written under /tmp;
- nothing that a child sends is unpickled.

Both sides are here. The parent asks over a socket pair that is the server's standard input: one
request with two descriptors (the child's output and its exit status) and one answer, the pid.
When the parent goes, the server reads end-of-file and goes too.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

MAX_REQUEST_BYTES = 16 * 1024
START_SECONDS = 60.0  # for the imports on a cold and busy machine
_NO_FORK = b"0"


class ForkServerError(Exception):
    """The server could not be started or could not fork."""


@dataclass(frozen=True)
class ForkedChild:
    """One fork: ``output`` is what it writes to, ``pid`` is a child of the server."""

    pid: int
    output: socket.socket
    _status: socket.socket

    def exit_code(self, timeout_s: float) -> int | None:
        """Exit code, or minus the number of the signal; None when nobody is left to tell."""
        self._status.settimeout(timeout_s)
        try:
            answer = self._status.recv(32, socket.MSG_PEEK)
        except OSError:
            return None
        return os.waitstatus_to_exitcode(int(answer)) if answer else None

    def stop(self) -> None:
        """Kill the child if it still runs, wait until the server has reaped it, close both ends."""
        self._status.setblocking(False)
        try:
            self._status.recv(1, socket.MSG_PEEK)
        except BlockingIOError:  # no status yet: it runs
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        except OSError:
            pass
        self._status.settimeout(START_SECONDS)
        with contextlib.suppress(OSError):
            while self._status.recv(32):  # the status, then end-of-file
                pass
        self.output.close()
        self._status.close()


class ForkServer:
    """The parent's side. Safe to use from several threads."""

    def __init__(self, module: str) -> None:
        """``module`` is run as a script in the server and has to call ``serve``."""
        self._module = module
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._finalizer: weakref.finalize[..., ForkServer] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        process = self._process
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Start the server if it does not run; does not wait for its imports."""
        with self._lock:
            self._ensure_started()

    def fork(self, request: bytes) -> ForkedChild:
        """Fork a child that handles ``request``; the server is started again if it has died.

        Raises ForkServerError when that fails twice.
        """
        if len(request) > MAX_REQUEST_BYTES:
            raise ForkServerError("the request is too long")
        with self._lock:
            try:
                return self._fork(self._ensure_started(), request)
            except OSError:
                self._stop()
            try:
                return self._fork(self._ensure_started(), request)
            except OSError as error:
                self._stop()
                raise ForkServerError(f"the fork server does not answer: {error}") from error

    def close(self) -> None:
        """End the server, and with it every child that still runs."""
        with self._lock:
            self._stop()

    def _fork(self, control: socket.socket, request: bytes) -> ForkedChild:
        output, child_output = socket.socketpair()
        status, child_status = socket.socketpair()
        pid = 0
        try:
            with child_output, child_status:
                fds = [child_output.fileno(), child_status.fileno()]
                socket.send_fds(control, [request], fds)
            answer = control.recv(32)
            pid = int(answer) if answer else -1
        finally:
            if pid <= 0:
                output.close()
                status.close()
        if pid < 0:
            raise ConnectionResetError("it ended")
        if pid == 0:
            raise ForkServerError("the system allows no further process")
        return ForkedChild(pid, output, status)

    def _ensure_started(self) -> socket.socket:
        if self._control is not None and self.alive:
            return self._control
        self._stop()
        control, child = socket.socketpair()
        control.settimeout(START_SECONDS)
        # Only what the interpreter needs. PYTHONPATH carries changes that were made to sys.path.
        environment = {
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "LANG": "C.UTF-8",
        }
        if "LD_LIBRARY_PATH" in os.environ:  # Lambda's own interpreter needs it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        try:
            with child:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-W", "ignore", "-m", self._module],
                    stdin=child.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,
                )
        except OSError:
            control.close()
            raise
        self._control, self._process = control, process
        self._finalizer = weakref.finalize(self, _end, control, process)
        return control

    def _stop(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._control = self._finalizer = self._process = None


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()  # the server reads end-of-file
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(handle: Callable[[bytes, socket.socket], None]) -> None:
    """The server's side: fork for each request until the parent goes.

    ``handle`` runs in the fork with the request and its output; the fork ends when it returns.
    """
    control = socket.socket(fileno=os.dup(0))
    _replace_standard_streams(keep_stderr=True)
    status_of: dict[int, int] = {}

    def reap(_signal: int, _frame: FrameType | None) -> None:
        while status_of:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            descriptor = status_of.pop(pid)
            with contextlib.suppress(OSError):  # a parent that no longer listens
                os.write(descriptor, str(status).encode())
            os.close(descriptor)

    signal.signal(signal.SIGCHLD, reap)
    with contextlib.suppress(ConnectionError):
        while True:
            request, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 2)
            if not request:
                break
            output, status = descriptors
            # A fork that ends at once must be known before it is reaped.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            try:
                pid = os.fork()
            except OSError:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
                os.close(output)
                os.close(status)
                control.sendall(_NO_FORK)
                continue
            if pid == 0:
                _run_child(handle, request, control, output, (status, *status_of.values()))
            os.close(output)
            status_of[pid] = status
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            control.sendall(str(pid).encode())
    for pid in status_of:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _run_child(
    handle: Callable[[bytes, socket.socket], None],
    request: bytes,
    control: socket.socket,
    output: int,
    others: tuple[int, ...],
) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        control.close()
        for descriptor in others:
            os.close(descriptor)
        _replace_standard_streams(keep_stderr=False)
        with socket.socket(fileno=output) as stream:
            handle(request, stream)
        code = 0
    finally:
        os._exit(code)  # no cleanup that belongs to the server


def _replace_standard_streams(*, keep_stderr: bool) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1) if keep_stderr else (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
