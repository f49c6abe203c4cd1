"""What a process gives up before it touches bytes that a stranger sent."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MAX_OPEN_FILES = 32
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before the limits


def confine(directory: Path, *, memory_bytes: int, cpu_seconds: int) -> None:
    """Confine this process to ``directory`` as its working directory and to these limits.

    ``memory_bytes`` caps the address space (program and libraries take about 150 MB of it);
    after ``cpu_seconds`` the kernel sends SIGXCPU. No file can be written, no core dumped, no
    privilege gained through exec. Should the parent die, so does this process.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides, and it sends SIGKILL
        signal.signal(number, signal.SIG_IGN)
    os.chdir(directory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    # The hard limit sends SIGKILL, which says less than SIGXCPU: it comes a second later.
    _limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, memory_bytes)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, or keep the one that is already tighter."""
    _, allowed = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    ceiling = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
    resource.setrlimit(kind, (min(soft, ceiling), ceiling))


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
