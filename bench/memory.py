"""Memory of a worker with a short and with a very long recording; time to the first segment.

Each recording is transcribed in a fresh process, and the resident memory of that process and of
all it starts (the decoder runs in one of its own) is added up ten times a second. What two of
them share counts twice, so the figures err upwards.
"""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plan import Plan
from bench.recordings import Recording
from bench.report import Section, Table
from bench.workspace import say

SHORT_S = 600.0
LONG_S = 3 * 3600.0
_QUICK_SHORT_S, _QUICK_LONG_S = 20.0, 60.0
_INTERVAL_S = 0.1
_PROC = Path("/proc")
_PAGES_OF_MEMORY = 23  # resident pages among the fields of /proc/*/stat, counted from the state
_MB = 1e6


@dataclass(frozen=True)
class Footprint:
    """Of one recording in a fresh process."""

    audio_s: float
    ready_mb: float
    peak_mb: float
    ready_s: float
    first_s: float
    wall_s: float

    def as_json(self) -> dict[str, float]:
        """All of it."""
        return {
            "audio_s": self.audio_s,
            "loaded_mb": self.ready_mb,
            "peak_mb": self.peak_mb,
            "loaded_after_s": self.ready_s,
            "first_segment_s": self.first_s,
            "wall_s": self.wall_s,
        }


def run(plan: Plan) -> Section:
    """Both recordings, for each model. Only on Linux, which shows every process's memory."""
    if not (_PROC / "self" / "stat").is_file():
        note = Table("memory: skipped, this system has no /proc", ("",), [])
        return Section("memory", [note], {"skipped": True})
    short_s, long_s = (_QUICK_SHORT_S, _QUICK_LONG_S) if plan.quick else (SHORT_S, LONG_S)
    recordings = [plan.long(short_s), plan.long(long_s)]
    tables: list[Table] = []
    data: dict[str, Any] = {}
    for model in plan.models:
        found = [footprint(model, recording) for recording in recordings]
        tables.append(_table(model, found))
        data[model] = [one.as_json() for one in found]
    return Section("memory", tables, data)


def footprint(model: str, recording: Recording) -> Footprint:
    """Transcribe ``recording`` in a fresh process and watch it."""
    command = [sys.executable, "-m", "bench.one_file", model, str(recording.path)]
    began = time.perf_counter()
    peak = ready = 0.0
    at: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_INTERVAL_S):
            peak = max(peak, tree_mb(process.pid))

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for line in process.stdout or ():
                event = str(json.loads(line)["event"])
                at[event] = time.perf_counter() - began
                if event == "ready":
                    ready = tree_mb(process.pid)
        finally:
            ended.set()
            watcher.join()
    if process.returncode != 0 or "done" not in at:
        raise SystemExit(f"the process that transcribes {recording.name} failed")
    say(f"{model}, memory: {recording.duration_s:.0f} s of audio took {at['done']:.0f} s")
    first_s = at.get("first", at["done"]) - at["ready"]
    return Footprint(recording.duration_s, ready, peak, at["ready"], first_s, at["done"])


def tree_mb(root: int) -> float:
    """Resident megabytes of a process and its descendants, now."""
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            parent, resident = _stat(folder)
            children.setdefault(parent, []).append(int(folder.name))
            pages[int(folder.name)] = resident
    waiting, found = [root], 0
    while waiting:
        one = waiting.pop()
        found += pages.get(one, 0)
        waiting += children.get(one, [])
    return found * _page_bytes() / _MB


def _stat(folder: Path) -> tuple[int, int]:
    """Parent, and resident pages, of a process; nobody's and 0 when it has just ended."""
    try:
        # The name in parentheses may hold anything, parentheses and spaces included.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[_PAGES_OF_MEMORY - 2])


def _page_bytes() -> int:
    import resource  # noqa: PLC0415 – only where there is /proc

    return resource.getpagesize()


def _table(model: str, found: list[Footprint]) -> Table:
    rows = [
        (
            f"{one.audio_s / 60:.1f} min",
            f"{one.ready_mb:.0f}",
            f"{one.peak_mb:.0f}",
            f"{one.peak_mb - one.ready_mb:.0f}",
            f"{one.first_s:.2f}",
            f"{one.wall_s:.1f}",
        )
        for one in found
    ]
    columns = ("recording", "loaded MB", "peak MB", "added MB", "first segment s", "wall s")
    return Table(
        f"{model}, memory of the worker's processes",
        columns,
        rows,
        "the first segment counts from the loaded model; the wall time from the start of Python",
    )
