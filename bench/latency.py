"""Whether a clip waits behind long recordings: inside the engine, without queues or storage.

First a clip of 3 s on an idle engine, then the same while 3 h of audio are being transcribed;
then eight long files submitted before two hundred clips, and the order in which they end. Where
the engine knows priorities, clips are interactive and long files are bulk.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.engine import LocalEngine, PriorityName, has_text, worker_settings
from bench.plan import Plan, understood
from bench.recordings import Recording
from bench.report import Section, Table
from bench.stats import percentile
from bench.workspace import say
from whisperdrop.domain.job import Progress

CLIP_S = 3.0
LONG_S = 3 * 3600.0
LONG_FILES = 8
CLIPS = 200
_QUICK_LONG_S, _QUICK_LONG_FILES, _QUICK_CLIPS = 120.0, 2, 6
_TIMES, _QUICK_TIMES = 30, 4
_PAUSE_S = 0.1  # between two clips, so that they meet the long recording at different moments
_CLIENTS = 16  # that submit the clips
_PATIENCE_S = 600


@dataclass(frozen=True)
class Ended:
    """A file of the mixture: what it was, and the seconds until it was done."""

    kind: str
    since_start_s: float
    since_submission_s: float


class _EnoughError(Exception):
    """Ends the transcription of a long recording that has served its purpose."""


def run(plan: Plan) -> Section:
    """All three, for each model."""
    tables: list[Table] = []
    data: dict[str, Any] = {}
    for model in plan.models:
        clips = understood(plan.clips(), model)
        if not clips:
            continue
        with LocalEngine(worker_settings(model)) as engine:
            engine.transcribe(clips[0])
            found = _single(engine, plan)
            tables.append(_single_table(model, found))
            long_files = plan.long_files()
            names = list(itertools.islice(itertools.cycle(clips), plan.amount(CLIPS, _QUICK_CLIPS)))
            alone = mixture(engine, [], names)
            say(f"{model}, latency: {len(names)} clips alone are done")
            count = plan.amount(LONG_FILES, _QUICK_LONG_FILES)
            mixed = mixture(engine, (long_files * count)[:count], names)
            say(f"{model}, latency: {count} long files and {len(names)} clips are done")
            tables.append(_mixture_table(model, alone, mixed))
            data[model] = found | {
                "clips_alone": [one.__dict__ for one in alone],
                "order": "".join(one.kind[0] for one in mixed),
                "mixed": [one.__dict__ for one in mixed],
            }
    return Section("latency", tables, data)


def _single(engine: LocalEngine, plan: Plan) -> dict[str, list[float]]:
    """Seconds of the clip, on the idle engine and beside the long recording."""
    clip = plan.collection.nearest(CLIP_S)
    times = plan.amount(_TIMES, _QUICK_TIMES)
    idle = _repeated(engine, clip, times)
    long = plan.long(_QUICK_LONG_S if plan.quick else LONG_S)
    going, stop = threading.Event(), threading.Event()

    def on_progress(progress: Progress) -> None:
        if has_text(progress):
            going.set()
        if stop.is_set():
            raise _EnoughError

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.transcribe, long, on_progress=on_progress)
        running.add_done_callback(lambda _: going.set())
        try:
            if not going.wait(_PATIENCE_S):
                raise SystemExit("the long recording does not begin")
            beside = _repeated(engine, clip, times)
            unfinished = not running.done()
        finally:
            stop.set()
        _ignore_enough(running)
    if not unfinished:
        say("the long recording ended before the last clip: too short for this machine")
    return {"idle_s": idle, "beside_a_long_recording_s": beside}


def _repeated(engine: LocalEngine, clip: Recording, times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        engine.transcribe(clip, priority="interactive")
        found.append(time.perf_counter() - began)
        time.sleep(_PAUSE_S)
    return found


def _ignore_enough(running: "Future[str]") -> None:
    with contextlib.suppress(_EnoughError):
        running.result()


def mixture(
    engine: LocalEngine, long_files: Sequence[Recording], clips: Sequence[Recording]
) -> list[Ended]:
    """``long_files``, and ``clips`` once one of those has begun; in the order in which they end."""
    ended: list[Ended] = []
    going = threading.Event()
    start = time.perf_counter()

    def one(kind: str, priority: PriorityName, recording: Recording) -> None:
        began = time.perf_counter()
        engine.transcribe(
            recording, priority=priority, on_progress=lambda p: going.set() if has_text(p) else None
        )
        now = time.perf_counter()
        ended.append(Ended(kind, now - start, now - began))

    with ThreadPoolExecutor(max(1, len(long_files))) as bulk, ThreadPoolExecutor(_CLIENTS) as door:
        waiting = [bulk.submit(one, "long", "bulk", recording) for recording in long_files]
        if waiting and not going.wait(_PATIENCE_S):
            raise SystemExit("no long recording begins")
        start = time.perf_counter()
        waiting += [door.submit(one, "clip", "interactive", recording) for recording in clips]
        for future in waiting:
            future.result()
    return ended


def before_the_first_long(order: Sequence[Ended]) -> int:
    """Clips that ended before any long file did."""
    return sum(1 for _ in itertools.takewhile(lambda one: one.kind == "clip", order))


def _single_table(model: str, found: dict[str, list[float]]) -> Table:
    named = {
        "idle engine": found["idle_s"],
        "beside a long recording": found["beside_a_long_recording_s"],
    }
    rows = [
        (name, f"{percentile(each, 50):.3f}", f"{percentile(each, 95):.3f}", f"{max(each):.3f}")
        for name, each in named.items()
    ]
    times = len(found["idle_s"])
    return Table(
        f"{model}, a clip of {CLIP_S:.0f} s, {times} times", ("", "p50 s", "p95 s", "max s"), rows
    )


def _mixture_table(model: str, alone: Sequence[Ended], mixed: Sequence[Ended]) -> Table:
    rows = [
        _mixture_row("clips alone", alone),
        _mixture_row("after long files", mixed),
    ]
    clips = sum(one.kind == "clip" for one in mixed)
    first = before_the_first_long(mixed)
    return Table(
        f"{model}, {clips} clips from {_CLIENTS} clients, "
        f"{len(mixed) - clips} long files submitted before them",
        ("", "last clip s", "clip p50 s", "clip p95 s", "last long file s"),
        rows,
        f"{first} of {clips} clips ended before the first long file did",
    )


def _mixture_row(name: str, order: Sequence[Ended]) -> tuple[str, ...]:
    clips = [one for one in order if one.kind == "clip"]
    waits = [one.since_submission_s for one in clips]
    long_files = [one.since_start_s for one in order if one.kind == "long"]
    return (
        name,
        f"{max(one.since_start_s for one in clips):.1f}",
        f"{percentile(waits, 50):.2f}",
        f"{percentile(waits, 95):.2f}",
        f"{max(long_files):.1f}" if long_files else "",
    )
